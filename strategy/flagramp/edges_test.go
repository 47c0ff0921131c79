// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagramp_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/strategy/flagramp"
	"github.com/rheostat-go/rheostat/traffic"
)

// written is a store that has a flag which was dialled to 25 %, and then changed.
func written(t *testing.T, f *flags.Flag, change func(*flags.Flag)) (*flags.Memory, *flagramp.Router) {
	t.Helper()
	f.Key, f.Enabled = key, true
	store := flags.NewMemory(f)
	r := ramp(t, store, flagramp.Options{})
	if err := r.Apply(t.Context(), 7, route(25)); err != nil {
		t.Fatal(err)
	}
	if _, err := flags.Edit(t.Context(), store, key, flags.Note{By: "kim"}, func(f *flags.Flag) error {
		change(f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return store, r
}

func TestWhatSomebodyElseWroteIsShownAsItIs(t *testing.T) {
	t.Parallel()
	split := func() *flags.Flag {
		return &flags.Flag{Default: &flags.Serve{Split: []flags.Share{{Variant: "on"}, {Variant: "off", Percent: flags.Everybody}}}}
	}
	type shares = []flags.Share
	for name, c := range map[string]struct {
		flag   *flags.Flag
		change func(*flags.Flag)
		want   float64 // of the candidate; below 0 no route says it
		mine   bool
	}{
		"nothing that counts": {split(), func(f *flags.Flag) { f.Description = "words" }, 25, true},
		"another share": {split(), func(f *flags.Flag) {
			f.Default.Split = shares{{Variant: "on", Percent: 30_000}, {Variant: "off", Percent: 70_000}}
		}, 30, false},
		"the shares reversed": {split(), func(f *flags.Flag) {
			f.Default.Split = shares{{Variant: "off", Percent: 75_000}, {Variant: "on", Percent: 25_000}}
		}, 25, false},
		"a variant twice": {split(), func(f *flags.Flag) {
			f.Default.Split = shares{{Variant: "on", Percent: 20_000}, {Variant: "off", Percent: 75_000}, {Variant: "on", Percent: 5_000}}
		}, 25, false},
		"one variant":          {split(), func(f *flags.Flag) { f.Default = &flags.Serve{Variant: "on"} }, 100, false},
		"the other variant":    {split(), func(f *flags.Flag) { f.Default = &flags.Serve{Variant: "off"} }, 0, false},
		"no default any more":  {split(), func(f *flags.Flag) { f.Default = nil }, 100, false},
		"a rollout to all":     {&flags.Flag{}, func(f *flags.Flag) { f.Rollout.Type = "all" }, 100, false},
		"a rollout of no type": {&flags.Flag{}, func(f *flags.Flag) { f.Rollout.Type = "" }, 100, false},
		"no rollout":           {&flags.Flag{}, func(f *flags.Flag) { f.Rollout = nil }, 100, false},
		"named users":          {&flags.Flag{}, func(f *flags.Flag) { f.Rollout.Type = "users" }, 0, false},
		"no note of a route":   {&flags.Flag{}, func(f *flags.Flag) { delete(f.Annotations, flagramp.Annotation) }, -1, false},
		"half a note":          {&flags.Flag{}, func(f *flags.Flag) { f.Annotations[flagramp.Annotation] = `{"fence":9,"route":5}` }, -1, false},
		"variants of its own": {split(), func(f *flags.Flag) {
			f.Variants = map[string]json.RawMessage{"on": json.RawMessage("1"), "off": json.RawMessage("2"), "third": json.RawMessage("3")}
			f.Default.Split = shares{{Variant: "on", Percent: 25_000}, {Variant: "off", Percent: 25_000}, {Variant: "third", Percent: 50_000}}
		}, -1, false},
		"another candidate": {split(), func(f *flags.Flag) {
			f.Variants = map[string]json.RawMessage{"on": json.RawMessage("1"), "off": json.RawMessage("2"), "third": json.RawMessage("3")}
			f.Default.Split = shares{{Variant: "third", Percent: 25_000}, {Variant: "off", Percent: 75_000}}
		}, -1, false},
		"another stable": {split(), func(f *flags.Flag) {
			f.Variants = map[string]json.RawMessage{"on": json.RawMessage("1"), "off": json.RawMessage("2"), "third": json.RawMessage("3")}
			f.Default.Split = shares{{Variant: "on", Percent: 25_000}, {Variant: "third", Percent: 75_000}}
		}, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, r := written(t, c.flag, c.change)
			seen, err := r.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.mine != (seen.Fence == 7) || c.mine != (seen.Writer == "") {
				t.Errorf("fence %d, writer %q", seen.Fence, seen.Writer)
			}
			switch {
			case c.want < 0 && !seen.Route.IsZero():
				t.Errorf("%v was made up", seen.Route)
			case c.want >= 0 && !seen.Route.Equal(route(c.want)):
				t.Errorf("%v, want %v%%", seen.Route, c.want)
			}
			if name == "half a note" { // then whoever comes next is let in
				if err := r.Apply(t.Context(), 1, route(10)); err != nil {
					t.Error(err)
				}
				return
			}
			before, err := store.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if name == "named users" {
				return // it is not to be dialled
			}
			if err := r.Apply(t.Context(), 7, route(25)); err != nil {
				t.Fatal(err)
			}
			after, err := store.Get(t.Context(), key)
			if err != nil || c.mine != (after.Version == before.Version) {
				t.Errorf("the same route again: version %d after %d, %v", after.Version, before.Version, err)
			}
			if seen, err = r.Observe(t.Context()); err != nil || seen.Fence != 7 || !seen.Route.Equal(route(25)) {
				t.Errorf("put right: %+v, %v", seen, err)
			}
		})
	}
}

func TestOnlyOffToOnIsAPlainRollout(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	r := ramp(t, store, flagramp.Options{Variants: map[string]string{"v1": "on", "v2": "off"}})
	back := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	if err := r.Apply(t.Context(), 1, back); err != nil {
		t.Fatal(err)
	}
	if f, err := store.Get(t.Context(), key); err != nil || f.Default == nil || f.Default.Split[0] != (flags.Share{Variant: "off", Percent: 10_000}) {
		t.Errorf("%+v, %v", f, err)
	}
}

// racing is a store where somebody else writes before each of the first writes.
type racing struct {
	*flags.Memory
	left int
}

func (s *racing) Put(ctx context.Context, f *flags.Flag) (int64, error) {
	if s.left--; s.left >= 0 {
		if _, err := flags.Edit(ctx, s.Memory, key, flags.Note{By: "kim"}, func(*flags.Flag) error { return nil }); err != nil {
			return 0, err
		}
	}
	return s.Memory.Put(ctx, f)
}

func TestAWriterWhoWasFasterIsNoReasonToGiveUpAtOnce(t *testing.T) {
	t.Parallel()
	for others, want := range map[int]error{9: nil, 10: traffic.ErrConflict} {
		store := &racing{Memory: flags.NewMemory(&flags.Flag{Key: key, Enabled: true}), left: others}
		if err := ramp(t, store, flagramp.Options{}).Apply(t.Context(), 1, route(25)); !errors.Is(err, want) {
			t.Errorf("after %d others: %v, want %v", others, err, want)
		}
	}
}

func TestCapsSayWhatCanBeKnown(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true})
	without, with := ramp(t, store, flagramp.Options{Lag: time.Minute}).Caps(), ramp(t, store, flagramp.Options{Client: client(t, store)}).Caps()
	if without.Lag != time.Minute || without.Evidence != traffic.Written || with.Evidence != traffic.Effective || !with.Room || !with.Fencing {
		t.Errorf("%+v and %+v", without, with)
	}
}

func TestAFlagThatWasKilledBeforeAnyRouteSaysByWhom(t *testing.T) {
	t.Parallel()
	seen, err := ramp(t, flags.NewMemory(&flags.Flag{Key: key, UpdatedBy: "kim"}), flagramp.Options{}).Observe(t.Context())
	if err != nil || seen.Writer != "kim" || !seen.Route.IsZero() {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestAStableArmThatIsNoVariantIsRefused(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	unnamed := route(25)
	unnamed.Arms.Stable = "v1"
	if err := ramp(t, store, flagramp.Options{}).Apply(t.Context(), 1, unnamed); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("an arm that is no variant: %v", err)
	}
}
