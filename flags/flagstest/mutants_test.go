// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/race"
)

// mutants are stores that are wrong in one way, by the case that must see it.
var mutants = map[string]map[string]twist{
	"no flags are published as an empty document": {
		"waits for a first flag": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			for {
				texts, changed, err := c.look()
				if err != nil || len(texts) > 0 {
					return c.follow(ctx, publish)
				}
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-changed:
				}
			}
		}},
	},
	"the whole document comes first": {
		"tells the first update as a change": {news: func(_ *client, u flags.Update) flags.Update { u.Full = false; return u }},
		"leaves a flag out": {news: func(_ *client, u flags.Update) flags.Update {
			delete(u.Flags, "b")
			return u
		}},
		"has flags under other keys": {news: func(_ *client, u flags.Update) flags.Update {
			for _, f := range u.Flags {
				f.Key = "feature:" + f.Key
			}
			return u
		}},
		"remembers what was removed": {news: func(c *client, u flags.Update) flags.Update {
			c.mu.Lock()
			defer c.mu.Unlock()
			if u.Full {
				maps.Copy(u.Flags, all(c.gone).Flags)
			}
			return u
		}},
	},
	"every change is told": {
		"tells old news again": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			before := map[string]*flags.Flag{}
			return c.follow(ctx, func(u flags.Update) {
				publish(u)
				old := flags.Update{Document: flags.Document{Flags: map[string]*flags.Flag{}}}
				for key, f := range u.Flags {
					if before[key] != nil {
						old.Flags[key] = before[key]
					}
					before[key] = f
				}
				publish(old)
				publish(u)
			})
		}},
		"tells the document and nothing else": {watch: onlyFirst},
		"tells no removal":                    {news: func(_ *client, u flags.Update) flags.Update { u.Removed = nil; return u }},
		"tells nothing new after the document": {news: func(_ *client, u flags.Update) flags.Update {
			if !u.Full {
				delete(u.Flags, "b")
			}
			return u
		}},
	},
	"a change during the first publish is told": {
		"listens after it has published": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			texts, _, err := c.look()
			if err != nil {
				return err
			}
			publish(all(texts))
			_, changed, err := c.look()
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
				return c.follow(ctx, publish)
			}
		}},
	},
	"writers at once are all told, however often somebody begins to watch": {
		"drops what comes too fast": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			n := 0
			return c.follow(ctx, func(u flags.Update) {
				if n++; n%4 != 3 {
					publish(u)
				}
			})
		}},
		"publishes from many goroutines": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			var group sync.WaitGroup
			defer group.Wait()
			return c.follow(ctx, func(u flags.Update) {
				for range 8 {
					group.Go(func() { publish(u) })
				}
			})
		}},
	},
	"what was published does not change": {
		"publishes flags that it writes to": {races: true, watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			mine := map[string]*flags.Flag{}
			return c.follow(ctx, func(u flags.Update) {
				for key, f := range u.Flags {
					if mine[key] == nil {
						mine[key] = f
					}
					*mine[key] = *f
					u.Flags[key] = mine[key]
				}
				publish(u)
			})
		}},
	},
	"two may watch at once": {
		"tells only who came last": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			c.mine.Lock()
			c.last++
			me := c.last
			c.mine.Unlock()
			return c.follow(ctx, func(u flags.Update) {
				c.mine.Lock()
				defer c.mine.Unlock()
				if u.Full || me == c.last {
					publish(u)
				}
			})
		}},
		"refuses the second": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			if !c.one.TryLock() {
				return fmt.Errorf("somebody watches")
			}
			defer c.one.Unlock()
			return c.follow(ctx, publish)
		}},
	},
	"another instance is told": {
		"tells only its own writes": {untold: true},
		"has flags of its own":      {apart: true},
	},
	"an ended context ends Watch with its cause": {
		"returns nil": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			_ = c.follow(ctx, publish)
			return nil
		}},
		"returns the context's error": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			if err := c.follow(ctx, publish); ctx.Err() == nil {
				return err
			}
			return ctx.Err()
		}},
		"goes on": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			return c.follow(context.WithoutCancel(ctx), publish)
		}},
	},
	"a context that has ended before is no reason to hang": {
		"waits for a change": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			if ctx.Err() != nil {
				_, changed, _ := c.look()
				<-changed
			}
			return c.follow(ctx, publish)
		}},
		"says that all is well": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			if ctx.Err() != nil {
				return nil
			}
			return c.follow(ctx, publish)
		}},
	},
	"Watch can be called again, and begins with what then stands": {
		"tells the first document again": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			return c.follow(ctx, func(u flags.Update) {
				c.mine.Lock()
				if u.Full && c.told == nil {
					c.told = u.Flags
				} else if u.Full {
					u.Flags = c.told
				}
				c.mine.Unlock()
				publish(u)
			})
		}},
		"can be watched once": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			if !c.one.TryLock() {
				return fmt.Errorf("it is closed")
			}
			return c.follow(ctx, publish)
		}},
		"goes on where it was": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			return c.follow(ctx, func(u flags.Update) {
				c.mine.Lock()
				c.last++
				u.Full = c.last == 1
				c.mine.Unlock()
				publish(u)
			})
		}},
	},
	"garbage leaves a flag as it was, and is a Problem": {
		"takes garbage for a removal": {news: func(_ *client, u flags.Update) flags.Update {
			for _, p := range u.Problems {
				u.Removed = append(u.Removed, p.Flag)
			}
			return u
		}},
		"takes garbage for a flag that is off": {news: func(_ *client, u flags.Update) flags.Update {
			for _, p := range u.Problems {
				u.Flags[p.Flag] = &flags.Flag{Key: p.Flag}
			}
			u.Problems = nil
			return u
		}},
		"passes garbage over": {news: func(_ *client, u flags.Update) flags.Update { u.Problems = nil; return u }},
		"only warns": {news: func(_ *client, u flags.Update) flags.Update {
			for i := range u.Problems {
				u.Problems[i].Warning = true
			}
			return u
		}},
		"gives up at garbage": {watch: func(ctx context.Context, c *client, publish func(flags.Update)) error {
			ctx, cancel := context.WithCancelCause(ctx)
			return c.follow(ctx, func(u flags.Update) {
				if len(u.Problems) > 0 {
					cancel(u.Problems[0])
					return
				}
				publish(u)
			})
		}},
	},
	"garbage that was there before is a Problem, too": {
		"passes over what is garbage at first": {news: func(_ *client, u flags.Update) flags.Update {
			if u.Full {
				u.Problems = nil
			}
			return u
		}},
	},
	"a client goes on through garbage": {
		"lets garbage take the others along": {news: func(_ *client, u flags.Update) flags.Update {
			if len(u.Problems) > 0 {
				u.Full, u.Flags = true, nil
			}
			return u
		}},
	},
	"an outage takes no flag away": {
		"takes an outage for no flags": {empty: true},
		"never comes back":             {deaf: true},
	},
	"a Watch that begins in an outage publishes nothing or ends": {
		"takes an outage for no flags at first": {empty: true},
	},
	"an outage is no end of the context": {
		"waits for the end of the outage": {stays: true},
	},
	"a restart is survived": {
		"does not see that it is not connected any more": {deaf: true},
	},
	"a flag that is not there is ErrNotFound": {
		"gives an empty flag": {get: func(_ context.Context, c *client, key string) (*flags.Flag, error) {
			f, err := c.read(key)
			if err != nil {
				return &flags.Flag{Key: key}, nil //nolint:nilerr // that is the mistake
			}
			return f, nil
		}},
		"gives nil and no error": {get: func(_ context.Context, c *client, key string) (*flags.Flag, error) {
			f, _ := c.read(key)
			return f, nil
		}},
		"deletes nothing gladly": {delete: func(ctx context.Context, c *client, key string, version int64) error {
			if _, err := c.read(key); err != nil {
				return nil //nolint:nilerr // that is the mistake
			}
			return c.drop(ctx, key, version)
		}},
	},
	"version 0 creates": {
		"takes version 0 for any": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			if before, err := c.read(f.Key); err == nil && f.Version == 0 {
				f = f.Clone()
				f.Version = before.Version
			}
			return c.save(ctx, f)
		}},
		"stores another version than it says": {stored: func(f, _ *flags.Flag) { f.Version++ }},
		"returns the version before": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			version, err := c.save(ctx, f)
			return version - 1, err
		}},
	},
	"a write that is not based on what stands is ErrConflict and changes nothing": {
		"takes whatever comes":          {put: compares(func(int64, int64) bool { return true })},
		"takes a write from the future": {put: compares(func(based, stands int64) bool { return based >= stands })},
		"takes a write from the past":   {put: compares(func(based, stands int64) bool { return based <= stands && (based > 0 || stands == 0) })},
		"has a conflict of its own": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			version, err := c.save(ctx, f)
			if err != nil {
				return 0, fmt.Errorf("conflict")
			}
			return version, nil
		}},
		"writes, and then says that it conflicts": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			version, err := c.save(ctx, f)
			if before, gone := c.read(f.Key); err != nil && gone == nil {
				f = f.Clone()
				f.Version = before.Version
				_, _ = c.save(ctx, f)
			}
			return version, err
		}},
	},
	"of two writers one wins":   {"compares, and then writes": {loose: true}},
	"of two processes one wins": {"excludes only itself": {private: true}},
	"a flag is deleted by its version": {
		"deletes whatever the version": {delete: func(ctx context.Context, c *client, key string, _ int64) error {
			f, err := c.read(key)
			if err != nil {
				return err
			}
			return c.drop(ctx, key, f.Version)
		}},
		"only disables": {delete: func(ctx context.Context, c *client, key string, version int64) error {
			f, err := c.read(key)
			if err != nil {
				return err
			}
			f.Enabled, f.Version = false, version
			_, err = c.save(ctx, f)
			return err
		}},
	},
	"a flag that could not be evaluated is ErrInvalid": {
		"does not check": {put: compares(func(based, stands int64) bool { return based == stands })},
		"has an error of its own": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			if err := f.Check(); err != nil {
				return 0, errors.New(err.Error())
			}
			return c.save(ctx, f)
		}},
	},
	"an ended context writes nothing": {
		"does not look at its context": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			return c.save(context.WithoutCancel(ctx), f)
		}},
		"deletes with any context": {delete: func(ctx context.Context, c *client, key string, version int64) error {
			return c.drop(context.WithoutCancel(ctx), key, version)
		}},
		"writes before it looks": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			version, err := c.save(context.WithoutCancel(ctx), f)
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return version, err
		}},
	},
	"no write is lost among many": {
		"compares, and writes later": {loose: true},
		"counts no versions": {
			put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
				_, err := c.save(ctx, f)
				return 1, err
			},
			stored: func(f, _ *flags.Flag) { f.Version = 1 },
		},
	},
	"Put neither changes nor keeps the flag": {
		"sets the caller's version": {put: func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
			version, err := c.save(ctx, f)
			if err == nil {
				f.Version = version
			}
			return version, err
		}},
		"keeps the caller's flag": {races: true, put: keepsFlags, get: givesKept},
		"tells the caller's flag": {races: true, put: keepsFlags, news: tellsKept},
	},
	"Get gives a copy": {
		"gives what it keeps": {races: true, get: func(_ context.Context, c *client, key string) (*flags.Flag, error) {
			c.mine.Lock()
			defer c.mine.Unlock()
			if c.wrote[key] == nil {
				f, err := c.read(key)
				if err != nil {
					return nil, err
				}
				c.wrote = map[string]*flags.Flag{key: f}
			}
			return c.wrote[key], nil
		}},
		"gives what it has told": {
			races: true,
			news: func(c *client, u flags.Update) flags.Update {
				c.mine.Lock()
				defer c.mine.Unlock()
				c.wrote = maps.Clone(u.Flags)
				return u
			},
			get: givesKept,
		},
	},
	"a flag comes back as it was written": {
		"loses fields that it does not know": {stored: func(f, _ *flags.Flag) { f.Extra = nil }},
		"loses a rollout's unknown fields": {stored: func(f, _ *flags.Flag) {
			if f.Rollout != nil {
				f.Rollout.Extra = nil
			}
		}},
		"loses annotations": {stored: func(f, _ *flags.Flag) { f.Annotations = nil }},
		"rounds percentages": {stored: func(f, _ *flags.Flag) {
			if f.Default != nil {
				f.Default.Split[0].Percent, f.Default.Split[1].Percent = 12_000, 88_000
			}
		}},
		"loses the schedule": {stored: func(f, _ *flags.Flag) { f.Schedule = nil }},
		"keeps large numbers as floats": {stored: func(f, _ *flags.Flag) {
			if f.Extra["x-number"] != nil {
				f.Extra["x-number"] = []byte("18446744073709552000")
			}
		}},
		"enables what was off": {stored: func(f, _ *flags.Flag) { f.Enabled = true }},
		"tells less than it has": {news: func(_ *client, u flags.Update) flags.Update {
			for _, f := range u.Flags {
				f.Owner = ""
			}
			return u
		}},
	},
	"the times are the store's": {
		"has each write create": {stored: func(f, _ *flags.Flag) { f.CreatedAt = f.UpdatedAt }},
		"does not touch":        {stored: func(f, _ *flags.Flag) { f.UpdatedAt = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }},
		"forgets since when": {stored: func(f, _ *flags.Flag) {
			if !f.FullyOnSince.IsZero() {
				f.FullyOnSince = f.UpdatedAt
			}
		}},
		"never clears since when": {stored: func(f, before *flags.Flag) {
			if before != nil && f.FullyOnSince.IsZero() {
				f.FullyOnSince = before.FullyOnSince
			}
		}},
		"forgets who": {stored: func(f, _ *flags.Flag) { f.UpdatedBy = "" }},
	},
	"keys are kept apart": {
		"folds case":           {keyed: strings.ToLower},
		"replaces what is odd": {keyed: func(key string) string { return strings.NewReplacer("/", "-", ".", "-", ":", "-").Replace(key) }},
		"cuts what is long":    {keyed: func(key string) string { return key[:min(len(key), 63)] }},
		"deletes by a pattern": {delete: func(ctx context.Context, c *client, key string, version int64) error {
			if key == "a" {
				for other := range all(c.texts).Flags {
					if strings.HasPrefix(other, key) && other != key {
						c.change(other, nil)
					}
				}
			}
			return c.drop(ctx, key, version)
		}},
	},
}

func onlyFirst(ctx context.Context, c *client, publish func(flags.Update)) error {
	texts, _, err := c.look()
	if err != nil {
		return err
	}
	publish(all(texts))
	<-ctx.Done()
	return context.Cause(ctx)
}

// compares makes a Put that checks nothing but what good says of the versions.
func compares(good func(based, stands int64) bool) func(context.Context, *client, *flags.Flag) (int64, error) {
	return func(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		before, err := c.stands(f.Key)
		if err != nil {
			return 0, err
		}
		if !good(f.Version, version(before)) {
			return 0, flags.ErrConflict
		}
		next := f.Clone()
		return c.store(next, before)
	}
}

func keepsFlags(ctx context.Context, c *client, f *flags.Flag) (int64, error) {
	c.mine.Lock()
	if c.wrote == nil {
		c.wrote = make(map[string]*flags.Flag)
	}
	c.wrote[f.Key] = f
	c.mine.Unlock()
	return c.save(ctx, f)
}

func givesKept(_ context.Context, c *client, key string) (*flags.Flag, error) {
	c.mine.Lock()
	defer c.mine.Unlock()
	if f := c.wrote[key]; f != nil {
		return f, nil
	}
	return c.read(key)
}

func tellsKept(c *client, u flags.Update) flags.Update {
	c.mine.Lock()
	defer c.mine.Unlock()
	for key := range u.Flags {
		if f := c.wrote[key]; f != nil {
			u.Flags[key] = f
		}
	}
	return u
}

// TestEveryCaseCatchesItsMutants tries the suite itself: a case that nothing wrong can
// fail proves nothing.
func TestEveryCaseCatchesItsMutants(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range cases() {
		if known[c.name] || c.name == "" || c.why == "" {
			t.Errorf("case %q is there twice or unexplained", c.name)
		}
		known[c.name] = true
		if len(mutants[c.name]) == 0 {
			t.Errorf("no mutant shows that %q can fail", c.name)
		}
		for name, m := range mutants[c.name] {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				if m.races && race.Enabled {
					t.Skip("the race detector sees the same")
				}
				// What is right never waits for so long, unless it waits to see
				// that nothing comes.
				got := record(t, c, newBackend(m).subject(300*time.Millisecond))
				if len(got.failures) == 0 {
					t.Error("it is not caught")
				}
				t.Log(got.failures)
			})
		}
	}
	for name := range mutants {
		if !known[name] {
			t.Errorf("there is no case %q", name)
		}
	}
}

func TestASubjectThatLacksSomethingIsSkippedByName(t *testing.T) {
	t.Parallel()
	for _, c := range cases() {
		got := record(t, c, Subject{Source: flags.NewMemory()})
		if want := slices.ContainsFunc(c.needs, func(n need) bool { return n.what != needStore.what }); got.skipped != want || len(got.failures) > 0 {
			t.Errorf("%q: skipped %v, want %v; failures %q", c.name, got.skipped, want, got.failures)
		}
	}
	if got := record(t, cases()[0], Subject{}); len(got.failures) == 0 {
		t.Error("a subject without a source is tried")
	}
}

// recorder is a testing.T that only notes what is said.
type recorder struct {
	ctx context.Context //nolint:containedctx // it lives as long as one case

	mu       sync.Mutex
	failures []string
	skipped  bool
}

// record runs the case against the subject.
func record(t *testing.T, c testCase, s Subject) *recorder {
	t.Helper()
	r := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.try(r, s)
	}()
	<-done
	return r
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(string, ...any) {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}
