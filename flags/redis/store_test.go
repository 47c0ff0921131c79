// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

// theirs is a flag as a program writes it that knows nothing of this package.
const theirs = `{"enabled":true,"team":"growth","rollout":{"type":"percentage","percentage":10,"note":"ours"}}`

func TestAnotherProgramCanReadWhatIsWritten(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	for _, rollout := range []*flags.Rollout{
		nil, {Type: "all"}, {Type: "percentage", Percentage: 12_500}, {Type: "users", Users: []string{"1", "2"}},
	} {
		put(t, s, &flags.Flag{Key: "checkout", Enabled: true, Rollout: rollout, Extra: map[string]json.RawMessage{"team": json.RawMessage(`"x"`)}})
		var got struct {
			Enabled bool
			Team    string
			Rollout *struct {
				Type       string
				Percentage float64
				Users      []string
			}
		}
		text := c.Get(t.Context(), "feature:checkout").Val()
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if !got.Enabled || got.Team != "x" || (got.Rollout == nil) != (rollout == nil) {
			t.Errorf("written as %s", text)
		}
		if rollout != nil && (got.Rollout.Type != rollout.Type || got.Rollout.Percentage != rollout.Percentage.Float() || !cmp.Equal(got.Rollout.Users, rollout.Users)) {
			t.Errorf("the rollout %+v is written as %s", rollout, text)
		}
		c.Del(t.Context(), "feature:checkout")
	}
}

func TestAForeignFlagIsEditedAndKeepsItsFields(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	set(t, c, "feature:a", theirs)
	f, err := flags.Ramp(t.Context(), s, "a", "on", 20_000, flags.Note{By: "ada", Why: "it is well"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Version != 1 {
		t.Errorf("the version is %d, want the first", f.Version)
	}
	text := c.Get(t.Context(), "feature:a").Val()
	for _, want := range []string{`"team":"growth"`, `"percentage":20`, `"note":"ours"`, `"version":1`, `"updated_by":"ada"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %s: %s", want, text)
		}
	}
}

func TestAForeignWriteInBetweenIsAConflict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// stands is what is there when the flag is read; "" is what this package wrote.
		stands string
		write  func(stands string) string
	}{
		{"over a flag of theirs", theirs, func(s string) string { return strings.Replace(s, "10", "11", 1) }},
		{"over a flag of ours", "", func(string) string { return theirs }},
		{"over a flag of ours, with its version and seal kept", "", func(s string) string {
			return strings.Replace(s, `"percentage":10`, `"percentage":11`, 1)
		}},
		{"a kill", "", func(s string) string { return strings.Replace(s, `"enabled":true`, `"enabled":false`, 1) }},
		{"of what is no flag", theirs, func(string) string { return `{` }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, c := mini(t)
			s := newStore(t, c, redisflags.Options{})
			if test.stands == "" {
				put(t, s, percent("a", 10_000))
			} else {
				set(t, c, "feature:a", test.stands)
			}
			f, err := s.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			before := c.Get(t.Context(), "feature:a").Val()
			now := test.write(before)
			if now == before {
				t.Fatal("the test writes what stands")
			}
			set(t, c, "feature:a", now)
			if _, err := s.Put(t.Context(), f); !errors.Is(err, flags.ErrConflict) {
				t.Errorf("Put: %v, want ErrConflict", err)
			}
			if err := s.Delete(t.Context(), "a", f.Version); !errors.Is(err, flags.ErrConflict) {
				t.Errorf("Delete: %v, want ErrConflict", err)
			}
			if text := c.Get(t.Context(), "feature:a").Val(); text != now {
				t.Errorf("it was overwritten: %s", text)
			}
		})
	}
}

// between is a hook that does something once, just before a script runs.
type between struct {
	redis.Hook
	do func()
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if do := b.do; do != nil && strings.HasPrefix(cmd.Name(), "eval") {
			b.do = nil
			do()
		}
		return next(ctx, cmd)
	}
}

func TestAForeignWriteBetweenTheLookAndTheScriptIsAConflict(t *testing.T) {
	t.Parallel()
	m, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	set(t, c, "feature:a", theirs)
	f, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	c.AddHook(&between{do: func() { _ = m.Set("feature:a", `{"enabled":false}`) }})
	if _, err := s.Put(t.Context(), f); !errors.Is(err, flags.ErrConflict) {
		t.Errorf("Put: %v, want ErrConflict", err)
	}
	if text, _ := m.Get("feature:a"); text != `{"enabled":false}` {
		t.Errorf("it was overwritten: %s", text)
	}
}

func TestAWriteWhoseReplyWasLostIsNoConflict(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	put(t, s, percent("b", 1)) // so that the script is known
	c.AddHook(&again{})
	version, err := s.Put(t.Context(), percent("a", 1))
	if err != nil || version != 2 {
		t.Fatalf("Put: %d, %v; want version 2", version, err)
	}
}

// again sends each script twice, as a client does that has not seen the reply.
type again struct{ between }

func (*again) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			if err := next(ctx, redis.NewCmd(ctx, cmd.Args()...)); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func TestAFlagWithoutAHashIsDrawnAsTheOptionsSay(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{Hash: flags.Java31})
	hash := func(key string) flags.Hash {
		t.Helper()
		f, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return f.Hash
	}
	set(t, c, "feature:a", theirs)
	set(t, c, "feature:b", `{"enabled":true,"hash":"unleash"}`)
	put(t, s, percent("c", 1))
	if got := []flags.Hash{hash("a"), hash("b"), hash("c")}; !cmp.Equal(got, []flags.Hash{flags.Java31, flags.Unleash, ""}) {
		t.Errorf("the hashes are %q", got)
	}
	if _, err := flags.Kill(t.Context(), s, "a", flags.Note{}); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, c, redisflags.Options{}) // another process, which does not know
	if got := hash("a"); got != flags.Java31 {
		t.Errorf("after a write the flag is drawn by %q: its people have changed", got)
	}
}

func TestWritesAreCountedToldAndLogged(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{Prefix: "x[1]*:", Meta: "y:"})
	sub := c.Subscribe(t.Context(), "y:changes")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := percent("a", 1)
	f.UpdatedBy, f.Why = "ada", strings.Repeat("ä", 2000)
	version := put(t, s, f)
	if err := s.Delete(t.Context(), "a", version); err != nil {
		t.Fatal(err)
	}
	if err := s.Define(t.Context(), flags.Document{Layers: map[string]*flags.Layer{"l": {}}}); err != nil {
		t.Fatal(err)
	}
	entries := c.XRange(t.Context(), "y:log", "-", "+").Val()
	var did, told []string
	for i, e := range entries {
		did = append(did, fmt.Sprint(e.Values["version"], " ", e.Values["do"], " ", e.Values["key"]))
		message, err := sub.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, strings.Replace(message.Payload, " "+entries[i].ID+" ", " ID ", 1))
	}
	if diff := cmp.Diff([]string{"1 put x[1]*:a", "2 delete x[1]*:a", "3 put y:layers"}, did); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1 ID x[1]*:a", "2 ID x[1]*:a", "3 ID y:layers"}, told); diff != "" {
		t.Error(diff)
	}
	if by, why := entries[0].Values["by"], fmt.Sprint(entries[0].Values["why"]); by != "ada" || len(why) > 1100 || !strings.HasPrefix(why, "ää") {
		t.Errorf("by %v, %d bytes of why", by, len(why))
	}
	if n := c.Get(t.Context(), "y:version").Val(); n != "3" {
		t.Errorf("the version is %s", n)
	}
	c.Set(t.Context(), "xA*:b", theirs, 0) // which the prefix, as a pattern, would match
	put(t, s, percent("c", 3))
	client := run(t, s)
	until(t, "the flag", func() bool { return shown(client, "c") == 3 })
	if n := client.Status().Flags; n != 1 {
		t.Errorf("%d flags", n)
	}
}

func TestVersionsGoOnFromWhatARestoredFlagSays(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	set(t, c, "feature:a", `{"version":41,"enabled":true}`)
	f, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if version := put(t, s, f); version != 42 {
		t.Errorf("version %d follows 41", version)
	}
	if version := put(t, s, percent("b", 1)); version != 43 {
		t.Errorf("version %d follows 42", version)
	}
}

func TestWhatIsNoFlagIsNeitherReadNorWrittenOver(t *testing.T) {
	t.Parallel()
	m, c := mini(t)
	s := newStore(t, c, redisflags.Options{MaxBytes: 1000})
	set(t, c, "feature:text", `{"enabled":`)
	set(t, c, "feature:long", `{"enabled":true,"description":"`+strings.Repeat("x", 1000)+`"}`)
	set(t, c, "feature:empty", "")
	if _, err := m.Push("feature:list", "a"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"text", "long", "empty", "list"} {
		if _, err := s.Get(t.Context(), key); !errors.Is(err, flags.ErrInvalid) || !strings.Contains(err.Error(), key) {
			t.Errorf("Get(%q): %v, want ErrInvalid with the key", key, err)
		}
		if _, err := s.Put(t.Context(), percent(key, 1)); !errors.Is(err, flags.ErrConflict) {
			t.Errorf("Put(%q): %v, want ErrConflict", key, err)
		}
		if err := s.Delete(t.Context(), key, 0); !errors.Is(err, flags.ErrConflict) {
			t.Errorf("Delete(%q): %v, want ErrConflict", key, err)
		}
	}
	f := percent("new", 1)
	f.Description = strings.Repeat("x", 1000)
	if _, err := s.Put(t.Context(), f); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("Put of what is too long to be read again: %v, want ErrInvalid", err)
	}
	f.Description = strings.Repeat("x", 1000-250) // with what the store adds it fits
	put(t, s, f)
	if _, err := s.Get(t.Context(), "new"); err != nil {
		t.Error(err)
	}
	if _, err := s.Put(t.Context(), percent(strings.Repeat("k", 2000), 1)); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("Put under a key of 2000 bytes: %v, want ErrInvalid", err)
	}
}

func TestSegmentsLayersAndHoldoutsAreWrittenAndTold(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{})
	put(t, s, &flags.Flag{Key: "a", Enabled: true, Rules: []flags.Rule{{
		When: []flags.Clause{{Op: flags.InSegment, Values: []flags.Value{flags.Text("staff")}}}, Serve: flags.Serve{Variant: "on"},
	}}, Rollout: &flags.Rollout{Type: "users"}, Holdouts: []string{"h"}, Layer: &flags.Slice{Layer: "l", To: flags.Everybody}})
	doc := flags.Document{
		Segments: map[string]*flags.Segment{"staff": {Keys: []string{"kim"}}},
		Layers:   map[string]*flags.Layer{"l": {}}, Holdouts: map[string]*flags.Holdout{"h": {}},
	}
	client := run(t, s)
	until(t, "the client", func() bool { return client.Status().Ready })
	if err := s.Define(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	kim, handle := flags.User("kim"), flags.Bool("a", false)
	until(t, "the segment", func() bool { return handle.On(client, &kim) })
	if diff := cmp.Diff(doc.Layers, client.Document().Layers); diff != "" {
		t.Error(diff)
	}
	// Garbage keeps what was, and says so.
	set(t, c, "features:segments", `{"staff":`)
	c.Publish(t.Context(), "features:changes", "features:segments")
	until(t, "the problem", func() bool { return len(client.Status().Problems) == 1 })
	if p := client.Status().Problems[0]; p.Path != "segments" {
		t.Errorf("the problem is %v", p)
	}
	if !handle.On(client, &kim) {
		t.Error("the segment is gone with the garbage")
	}
	if err := s.Define(t.Context(), flags.Document{Segments: map[string]*flags.Segment{"staff": {}}}); err != nil {
		t.Fatal(err)
	}
	until(t, "nobody in it", func() bool { return !handle.On(client, &kim) })
	bad := flags.Document{Segments: map[string]*flags.Segment{"everybody": {Rules: [][]flags.Clause{{}}}}}
	if err := s.Define(t.Context(), bad); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("Define of what is not sound: %v, want ErrInvalid", err)
	}
}

func TestErrorsTellNoPassword(t *testing.T) {
	t.Parallel()
	m, _ := mini(t)
	m.RequireUserAuth("app", "right")
	const secret = "hunter2-and-more"
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), Username: "app", Password: secret, MaxRetries: -1})
	defer c.Close()
	s := newStore(t, c, redisflags.Options{})
	check := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("the error is %v", e)
			}
		}
	}
	_, err := s.Get(t.Context(), "a")
	check(err)
	// Old servers say what they were sent.
	c.AddHook(&telling{text: "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `app`, `" + secret + "`"})
	_, err = s.Get(t.Context(), "a")
	check(err)
	if !strings.Contains(err.Error(), "HELLO") {
		t.Errorf("the error says too little: %v", err)
	}
	check(s.Watch(t.Context(), func(flags.Update) {}))
}

// telling fails every connection with a text.
type telling struct {
	between
	text string
}

func (h *telling) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		err := errors.New(h.text)
		for _, c := range cmds {
			c.SetErr(err)
		}
		return err
	}
}

func TestNewRefusesWhatWouldNotWork(t *testing.T) {
	t.Parallel()
	plain := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { plain.Close() })
	slow := redis.NewClient(&redis.Options{ReadTimeout: -1})
	t.Cleanup(func() { slow.Close() })
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { ring.Close() })
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { cluster.Close() })
	replicas := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, RouteRandomly: true})
	t.Cleanup(func() { replicas.Close() })
	tagged := redisflags.Options{Prefix: "{flags}feature:", Meta: "{flags}features:"}
	for _, test := range []struct {
		name        string
		client      redis.UniversalClient
		o           redisflags.Options
		want        string // "" is no error
		unsupported bool
	}{
		{"plain", plain, redisflags.Options{}, "", false},
		{"nil", nil, redisflags.Options{}, "nil", false},
		{"no timeout", slow, redisflags.Options{}, "ReadTimeout", false},
		{"a ring", ring, tagged, "ring", true},
		{"a cluster", cluster, tagged, "", false},
		{"a cluster without a tag", cluster, redisflags.Options{}, "hash tag", false},
		{"a cluster with two tags", cluster, redisflags.Options{Prefix: "{a}", Meta: "{b}"}, "hash tag", false},
		{"replicas", replicas, tagged, "replicas", true},
		{"a prefix of its own keys", plain, redisflags.Options{Prefix: "f:", Meta: "f:meta:"}, "Options.Meta", false},
		{"a hash", plain, redisflags.Options{Hash: "md5"}, "Options.Hash", false},
		{"a size", plain, redisflags.Options{MaxBytes: -1}, "Options.MaxBytes", false},
		{"a time", plain, redisflags.Options{Reload: -time.Second}, "Options.Reload", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := redisflags.New(test.client, test.o)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("New: %v, want %q", err, test.want)
			}
			if errors.Is(err, errors.ErrUnsupported) != test.unsupported {
				t.Errorf("New: %v; unsupported: want %v", err, test.unsupported)
			}
		})
	}
}
