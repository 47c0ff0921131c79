// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestWatchTellsEachDriftOnceAndItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &failing{Memory: traffic.NewMemory(traffic.Options{})}
		if err := m.Apply(t.Context(), 1, at(50_000)); err != nil {
			t.Fatal(err)
		}
		var told []string
		step := 0
		go func() {
			for _, do := range []func(){
				func() { m.Foreign(at(traffic.Full), "alice") },
				func() { m.Foreign(at(traffic.Full), "bob") },
				func() { m.fail(errors.New("no route to host")) },
				func() { m.fail(nil) },
				func() { _ = m.Memory.Apply(t.Context(), 2, at(50_000)) },
				func() { m.Foreign(at(0), "carol") },
			} {
				time.Sleep(time.Minute)
				do()
			}
		}()
		for d, err := range traffic.Watch(t.Context(), m, at(50_000), 10*time.Second) {
			if err != nil {
				told = append(told, err.Error())
			} else {
				told = append(told, d.String())
			}
			if step++; step == 5 {
				break
			}
		}
		want := []string{
			`"100% to v2, rest to v1" instead of "5% to v2, rest to v1", written by alice`,
			`"100% to v2, rest to v1" instead of "5% to v2, rest to v1", written by bob`,
			"traffic: watch: no route to host",
			`back at "5% to v2, rest to v1"`,
			`"0% to v2, rest to v1" instead of "5% to v2, rest to v1", written by carol`,
		}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%q\nwant\n%q", told, want)
		}
	})
}

func TestWatchRefusesWhatCannotBeWanted(t *testing.T) {
	t.Parallel()
	for _, want := range []traffic.Route{{}, at(traffic.Percent(50))} {
		switched := traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: traffic.Full, Evidence: traffic.Written}})
		n := 0
		for _, err := range traffic.Watch(t.Context(), switched, want, 0) {
			n++
			if err == nil {
				t.Errorf("%v is watched for", want)
			}
		}
		if n != 1 {
			t.Errorf("%d errors, want one", n)
		}
	}
}
