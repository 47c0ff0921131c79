// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/flags"
)

func TestUpdatesNamesTheFlagsThatChangedAndNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := flags.NewMemory(&flags.Flag{Key: "a", Enabled: true}, &flags.Flag{Key: "b", Enabled: true})
		client, err := flags.New(store, flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = client.Run(ctx) }()
		if err := client.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		next, stop := iter.Pull(client.Updates(ctx))
		defer stop()
		var got [][]string
		seen := make(chan []string)
		go func() {
			for {
				keys, ok := next()
				if !ok {
					close(seen)
					return
				}
				seen <- keys
			}
		}()
		synctest.Wait()
		if _, err := flags.Kill(ctx, store, "b", flags.Note{}); err != nil {
			t.Fatal(err)
		}
		got = append(got, <-seen)
		if err := store.Delete(ctx, "a", 1); err != nil {
			t.Fatal(err)
		}
		got = append(got, <-seen)
		if _, err := store.Put(ctx, &flags.Flag{Key: "c"}); err != nil {
			t.Fatal(err)
		}
		got = append(got, <-seen)
		b, err := store.Get(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		// All is written again, and only d is new.
		store.Replace(flags.Document{Flags: map[string]*flags.Flag{"b": b, "d": {Key: "d"}}})
		got = append(got, <-seen)
		if diff := cmp.Diff([][]string{{"b"}, {"a"}, {"c"}, {"c", "d"}}, got); diff != "" {
			t.Error(diff)
		}
		cancel()
		if keys, ok := <-seen; ok {
			t.Errorf("got %v after the end", keys)
		}
	})
}

func TestMapIsWhatFromMapReads(t *testing.T) {
	t.Parallel()
	who := flags.User("u").Str("plan", "pro").Num("build", 512).Bool("staff", true).
		Str("group", "a").Str("group", "b").Str("group", "c").Str("address.city", "Ulm").Num("address.geo.lat", 48.4).
		Str("os.version", "6.1").Str("os", "linux").Num("a.b.c", 1).Num("a.b", 2)
	want := map[string]any{
		"targetingKey": "u", "plan": "pro", "build": 512.0, "staff": true, "group": []any{"a", "b", "c"},
		"address": map[string]any{"city": "Ulm", "geo": map[string]any{"lat": 48.4}}, "os": "linux", "os.version": "6.1",
		"a": map[string]any{"b": 2.0, "b.c": 1.0},
	}
	if diff := cmp.Diff(want, who.Map()); diff != "" {
		t.Fatal(diff)
	}
	again := flags.FromMap(who.Map())
	if diff := cmp.Diff(want, again.Map()); diff != "" {
		t.Error(diff)
	}
}
