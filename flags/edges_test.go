// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// What decides at an edge, where one unit more or less would go unseen.

func TestAPlaceIsTheSameWhereverItIsComputed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hash       flags.Hash
		salt, unit string
		want       flags.Percent
	}{
		// MurmurHash3's reference, scaled to 100,000; the second is among the last.
		{"", "new-checkout-flow", "user-42", 93_261},
		{flags.Murmur3, "f", "87049", 99_999},
		// SHA-1 in float32, where float64 would have 95,874, and where it has 1.
		{flags.LaunchDarkly, "f.s", "u207", 95_875},
		{flags.LaunchDarkly, "f.s", "u8198340", 99_999},
		// Math.abs(hash) % 100 of Node: negative, plain, beyond the basic plane at both ends.
		{flags.Java31, "new-checkout-flow", "user-42", 94_000},
		{flags.Java31, "f", "é", 53_000},
		{flags.Java31, "f", "user-😀", 91_000},
		{flags.Java31, "f", "𐀀kim", 17_000},
	} {
		if got, err := flags.Bucket(c.hash, c.salt, c.unit); err != nil || got != c.want {
			t.Errorf("Bucket(%q, %q, %q) = %d, %v, want %d", c.hash, c.salt, c.unit, got, err, c.want)
		}
	}
}

func TestASplitEndsJustBelowItsEdge(t *testing.T) {
	t.Parallel()
	place := mustPlace(t, flags.Murmur3, "f", "kim")
	who := flags.User("kim")
	for _, c := range []struct {
		percent flags.Percent
		want    bool
	}{{place, false}, {place + 1, true}} {
		f := &flags.Flag{Key: "f", Enabled: true, Rollout: &flags.Rollout{Type: "percentage", Percentage: c.percent}}
		if got := started(t, f).Bool("f", !c.want, &who); got != c.want {
			t.Errorf("the unit at %v is in the first %v: %v", place, c.percent, got)
		}
	}
}

func TestLayersAndHoldoutsDrawByTheirOwnUnitAndSalt(t *testing.T) {
	t.Parallel()
	for _, salt := range []string{"", "pepper"} {
		inLayer, held := mustPlace(t, "", cmp.Or(salt, "layer:x:"), "acme"), mustPlace(t, "", cmp.Or(salt, "holdout:x:"), "acme")
		who := flags.User("kim").Str("tenant", "acme")
		for _, c := range []struct {
			from, to, part flags.Percent
			want           flags.Reason
		}{
			{inLayer, inLayer + 1, held, flags.Fallthrough},
			{inLayer, inLayer + 1, held + 1, flags.HeldOut},
			{inLayer + 1, flags.Everybody, held, flags.Excluded},
			{0, inLayer, held, flags.Excluded},
		} {
			source := newFeed(t)
			source.publish(flags.Update{Full: true, Document: flags.Document{
				Flags: map[string]*flags.Flag{"f": {
					Key: "f", Enabled: true, Layer: &flags.Slice{Layer: "x", From: c.from, To: c.to}, Holdouts: []string{"x"},
				}},
				Layers:   map[string]*flags.Layer{"x": {By: "tenant", Salt: salt}},
				Holdouts: map[string]*flags.Holdout{"x": {By: "tenant", Salt: salt, Percent: c.part}},
			}})
			if d := flags.Bool("f", false).Eval(source.client, &who); d.Reason != c.want {
				t.Errorf("salt %q: %v to %v, %v held out: %v, want %v", salt, c.from, c.to, c.part, d.Reason, c.want)
			}
		}
	}
}

func TestASplitsOwnUnitGoesBeforeTheFlags(t *testing.T) {
	t.Parallel()
	split := func(by string) *flags.Flag {
		return &flags.Flag{Key: "f", Enabled: true, By: "tenant", Default: &flags.Serve{By: by, Split: []flags.Share{{Variant: "on", Percent: 50_000}, {Variant: "off", Percent: 50_000}}}}
	}
	own, flag := started(t, split("device")), started(t, split(""))
	for i := range 30 {
		tenant, device := fmt.Sprintf("tenant-%d", i), fmt.Sprintf("device-%d", i)
		who := flags.User("kim").Str("tenant", tenant).Str("device", device)
		if got, want := own.Bool("f", false, &who), mustPlace(t, "", "f", device) < 50_000; got != want {
			t.Errorf("%s: %v", device, got)
		}
		if got, want := flag.Bool("f", false, &who), mustPlace(t, "", "f", tenant) < 50_000; got != want {
			t.Errorf("%s: %v", tenant, got)
		}
	}
	kim := flags.User("kim")
	if d := flags.Bool("f", true).Eval(flag, &kim); d.Value || d.Reason != flags.Anonymous {
		t.Errorf("the key was drawn in the place of a tenant: %+v", d)
	}
}

func TestOperatorsAtTheirEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		has  string
		op   flags.Op
		with string
		want bool
	}{
		{"5", flags.Greater, "5", false},
		{"5", flags.AtLeast, "5", true},
		{"5", flags.AtMost, "4.9", false},
		{"2026-01-01T00:00:00Z", flags.After, "2026-01-01T00:00:00Z", false},
		{"2026-01-01T00:00:00Z", flags.Before, "2026-01-01T00:00:00Z", false},
		{"v1.2.3", flags.SemVerEq, "1.2.3", true},
		{"1.2.4", flags.SemVerEq, "1.2.3", false},
		{"1.2.3", flags.SemVerGt, "1.2.3", false},
		{"1.2.3", flags.SemVerGte, "1.2.3", true},
		{"1.2.3", flags.SemVerLt, "1.2.3", false},
		{"1.2.4", flags.SemVerLte, "1.2.3", false},
		{"10.9.9.9", flags.CIDR, "10.1.2.3/8", true}, // the rest of the network's address does not count
		{"fe80::1%eth0", flags.CIDR, "fe80::/10", true},
		{"5", flags.StartsWith, `""`, false}, // no number starts with a string
		{`""`, flags.In, `""`, true},
		{`""`, flags.In, `"" a b c d e f g h i`, true},
		{"0", flags.In, "false", false},
		{"1", flags.In, "true", false},
		{"false", flags.In, `"" 0`, false},
	} {
		who := flags.User("someone")
		for _, v := range values(t, c.has) {
			who = who.With("it", v)
		}
		if got := holds(t, flags.Clause{Attribute: "it", Op: c.op, Values: values(t, c.with)}, who); got != c.want {
			t.Errorf("%s %s %s: %v", c.has, c.op, c.with, got)
		}
	}
	// Nobody has no key, not an empty one; and an attribute of that name is beyond the
	// eighth as good as before.
	if holds(t, flags.Clause{Attribute: "key", Op: flags.Exists}, flags.Context{}) {
		t.Error("nobody has a key")
	}
	who := flags.User("kim")
	for i := range 8 {
		who = who.Num(fmt.Sprint(i), 0)
	}
	if who = who.Str("key", "lou"); holds(t, flags.Clause{Attribute: "key", Op: flags.In, Values: values(t, "kim")}, who) {
		t.Error("the key was taken in the place of the attribute")
	}
}

func TestMistakesOfAFlagHaveTheirPath(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rule := func(op flags.Op, v flags.Value) *flags.Flag {
		return &flags.Flag{Key: "f", Rules: []flags.Rule{{When: []flags.Clause{{Attribute: "it", Op: op, Values: []flags.Value{v}}}, Serve: flags.Serve{Variant: "on"}}}}
	}
	split := func(shares ...flags.Share) *flags.Flag {
		return &flags.Flag{Key: "f", Default: &flags.Serve{Split: shares}}
	}
	for _, c := range []struct {
		flag *flags.Flag
		path string
	}{
		{&flags.Flag{}, "key"},
		{&flags.Flag{Key: "f", Variants: map[string]json.RawMessage{"": json.RawMessage("1")}}, "variants"},
		{&flags.Flag{Key: "f", Schedule: []flags.Window{{From: at, Until: at}}}, "schedule[0]"},
		{&flags.Flag{Key: "f", Prerequisites: []flags.Prerequisite{{Flag: "g"}}}, "prerequisites[0]"},
		{&flags.Flag{Key: "f", Prerequisites: []flags.Prerequisite{{Variants: []string{"on"}}}}, "prerequisites[0]"},
		{&flags.Flag{Key: "f", Prerequisites: []flags.Prerequisite{{Flag: "f", Variants: []string{"on"}}}}, "prerequisites[0].flag"},
		{&flags.Flag{Key: "f", Layer: &flags.Slice{Layer: "l", From: 5, To: 5}}, "layer"},
		{&flags.Flag{Key: "f", Rollout: &flags.Rollout{Type: "percentage", Percentage: flags.Everybody + 1}}, "rollout.percentage"},
		{rule(flags.StartsWith, flags.Number(5)), "rules[0].when[0].values[0]"},
		{rule(flags.Before, flags.Text("soon")), "rules[0].when[0].values[0]"},
		{rule(flags.In, flags.Value{}), "rules[0].when[0].values[0]"},
		{split(flags.Share{Variant: "on", Percent: flags.Everybody + 1}), "default.split[0].percent"},
		{split(flags.Share{Variant: "on", Percent: 60_000}, flags.Share{Variant: "off", Percent: 60_000}), "default.split"},
		{&flags.Flag{Key: "f", Default: &flags.Serve{Variant: "on"}, Rollout: &flags.Rollout{}}, "rollout"},
	} {
		var p flags.Problem
		if err := c.flag.Check(); !errors.As(err, &p) || p.Path != c.path || !errors.Is(err, flags.ErrInvalid) {
			t.Errorf("%v, want %s", err, c.path)
		}
	}
}

func TestAKeyThatIsATargetTwiceIsAWarningIfTheVariantsDiffer(t *testing.T) {
	t.Parallel()
	f := &flags.Flag{Key: "f", Enabled: true, Targets: []flags.Target{
		{Variant: "on", Keys: []string{"kim", "kim"}}, {Variant: "off", Keys: []string{"lou", "kim"}},
	}}
	doc := document(f)
	problems := doc.Check()
	if len(problems) != 1 || !problems[0].Warning || problems[0].Path != "targets[1].keys" || !strings.Contains(problems[0].Error(), `"kim" is a target of "on"`) {
		t.Error(problems)
	}
	if kim := flags.User("kim"); !started(t, f).Bool("f", false, &kim) {
		t.Error("the first target does not come first")
	}
}

func TestANumberTooLargeForAFloatIsNoWholeNumber(t *testing.T) {
	t.Parallel()
	client := started(t, parse(t, "f", `{"enabled":true,"variants":{"a":1e17},"default":{"variant":"a"}}`))
	if d := flags.Int("f", 7).Eval(client, nil); d.Value != 7 || d.Reason != flags.TypeMismatch {
		t.Errorf("%+v", d)
	}
}

func TestAFullDocumentIsAllThereIs(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	f := &flags.Flag{Key: "f", Enabled: true}
	groups := flags.Document{
		Flags:    map[string]*flags.Flag{"f": f},
		Segments: map[string]*flags.Segment{"s": {}}, Layers: map[string]*flags.Layer{"l": {}}, Holdouts: map[string]*flags.Holdout{"h": {}},
	}
	source.publish(flags.Update{Full: true, Document: groups})
	source.publish(flags.Update{Document: document(f)}) // says nothing of them
	if doc := source.client.Document(); len(doc.Segments)+len(doc.Layers)+len(doc.Holdouts) != 3 {
		t.Errorf("%+v", doc)
	}
	source.publish(flags.Update{Document: flags.Document{Layers: map[string]*flags.Layer{"m": {}, "n": {}}}})
	if doc := source.client.Document(); len(doc.Segments) != 1 || len(doc.Layers) != 2 || len(doc.Holdouts) != 1 {
		t.Errorf("%+v", doc)
	}
	source.publish(flags.Update{Full: true, Document: document(f)})
	if doc := source.client.Document(); len(doc.Segments)+len(doc.Layers)+len(doc.Holdouts) != 0 || len(doc.Flags) != 1 {
		t.Errorf("%+v", doc)
	}
}

func TestAFlagThatMovesWithItsLayerTakesItsNewForm(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	source.publish(flags.Update{Full: true, Document: document(&flags.Flag{Key: "f", Enabled: true})})
	source.publish(flags.Update{Document: flags.Document{
		Flags: map[string]*flags.Flag{"f": {Key: "f"}}, Layers: map[string]*flags.Layer{"l": {}},
	}})
	if source.client.Bool("f", true, nil) {
		t.Error("a layer that came along kept the flag as it was")
	}
}

func TestAnUpdateForgetsNotWhenAFlagWasEvaluated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFeed(t)
		f := &flags.Flag{Key: "f", Enabled: true, UpdatedAt: time.Now().Add(-90 * day)}
		source.publish(flags.Update{Full: true, Document: document(f)})
		source.client.Bool("f", false, nil)
		source.publish(flags.Update{Full: true, Document: document(f.Clone())})
		if list := source.client.Stale(0); len(list) != 1 || list[0].Evaluated.IsZero() {
			t.Errorf("%+v", list)
		}
	})
}

func TestAStoreInMemoryIsNobodyElsesMemory(t *testing.T) {
	t.Parallel()
	f := parse(t, "f", `{"enabled":true,"targets":[{"variant":"on","keys":["kim"]}]}`)
	store := flags.NewMemory(f)
	f.Targets[0].Keys[0] = "changed"
	got, err := store.Get(t.Context(), "f")
	if err != nil || got.Targets[0].Keys[0] != "kim" {
		t.Errorf("%+v, %v: shared with NewMemory's caller", got, err)
	}
	got.Targets[0].Keys[0] = "lou"
	version, err := store.Put(t.Context(), got)
	if err != nil || version != 2 || got.Version != 1 {
		t.Errorf("version %d, %v, and of the caller's %d", version, err, got.Version)
	}
	got.Targets[0].Keys[0] = "changed"
	if got, _ = store.Get(t.Context(), "f"); got.Targets[0].Keys[0] != "lou" {
		t.Error("shared with Put's caller")
	}
	doc := document(parse(t, "g", `{"enabled":true}`))
	store.Replace(doc)
	delete(doc.Flags, "g")
	if _, err := store.Get(t.Context(), "g"); err != nil {
		t.Errorf("shared with Replace's caller: %v", err)
	}
}

func TestOnlyTheVersionThatStandsMayBeWrittenOver(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: "f", Version: 5})
	for _, version := range []int64{0, 4, 6} {
		if _, err := store.Put(t.Context(), &flags.Flag{Key: "f", Version: version}); !errors.Is(err, flags.ErrConflict) {
			t.Errorf("put over %d: %v", version, err)
		}
		if err := store.Delete(t.Context(), "f", version); !errors.Is(err, flags.ErrConflict) {
			t.Errorf("delete of %d: %v", version, err)
		}
	}
	if _, err := store.Put(t.Context(), &flags.Flag{Key: "f", Version: 5, Off: "none"}); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("a flag that is not sound: %v", err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errDown)
	if _, err := store.Put(ctx, &flags.Flag{Key: "f", Version: 5}); !errors.Is(err, errDown) {
		t.Errorf("put after the end: %v", err)
	}
	if err := store.Delete(ctx, "f", 5); !errors.Is(err, errDown) {
		t.Errorf("delete after the end: %v", err)
	}
	if f, err := store.Get(t.Context(), "f"); err != nil || f.Version != 5 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAWatcherOfMemoryHearsOfWhatChangedAndOfNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := flags.NewMemory(&flags.Flag{Key: "a"}, &flags.Flag{Key: "b"})
		var heard []string
		hold := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- store.Watch(ctx, func(u flags.Update) {
				keys := make([]string, 0, len(u.Flags))
				for key := range u.Flags {
					keys = append(keys, key)
				}
				slices.Sort(keys)
				heard = append(heard, fmt.Sprintf("full=%v %v gone %v", u.Full, keys, u.Removed))
				clear(u.Flags) // it is the watcher's
				<-hold
			})
		}()
		step := func(change func()) {
			synctest.Wait()
			change()
			hold <- struct{}{}
		}
		put := func(key string, version int64) {
			if _, err := store.Put(ctx, &flags.Flag{Key: key, Version: version}); err != nil {
				t.Error(err)
			}
		}
		step(func() { put("a", 1) })
		step(func() { put("c", 0) })
		step(func() {
			if err := store.Delete(ctx, "c", 1); err != nil {
				t.Error(err)
			}
		})
		// A replacement and a write, both while the watcher is busy, are all there is.
		step(func() { store.Replace(document(&flags.Flag{Key: "d", Version: 1})); put("d", 1) })
		synctest.Wait()
		stop()
		hold <- struct{}{}
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{"full=true [a b] gone []", "full=false [a] gone []", "full=false [c] gone []", "full=false [] gone [c]", "full=true [d] gone []"}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %q", heard)
		}
		put2, err := store.Get(t.Context(), "d")
		if err != nil || put2.Version != 2 {
			t.Errorf("%+v, %v", put2, err)
		}
	})
}

// reply is logic that always says the same.
type reply struct {
	variant string
	reason  flags.Reason
	err     error
}

func (r reply) Decide(flags.Context) (string, flags.Reason, error) { return r.variant, r.reason, r.err }

func TestLogicGoesBeforeRulesAndMayFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply   reply
		variant string
		reason  flags.Reason
	}{
		{reply{"off", flags.Matched, nil}, "off", flags.Matched},
		{reply{"", flags.Fallthrough, nil}, "", flags.Fallthrough},
		{reply{"unheard-of", flags.Matched, nil}, "", flags.Failed},
		{reply{"off", flags.Matched, errDown}, "", flags.Failed},
	} {
		client := started(t, &flags.Flag{Key: "f", Enabled: true, Logic: c.reply, Rules: []flags.Rule{{Serve: flags.Serve{Variant: "on"}}}})
		if d := client.Raw("f", nil); d.Variant != c.variant || d.Reason != c.reason || (d.Value == nil) != (c.variant == "") {
			t.Errorf("%+v: %+v", c.reply, d)
		}
	}
}

func TestAFlagOfNoVariantIsNeverStale(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory()
	f := parse(t, "f", `{"enabled":true,"variants":{"a":1}}`) // everybody gets the caller's default
	if _, err := store.Put(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if f, err := store.Get(t.Context(), "f"); err != nil || !f.FullyOnSince.IsZero() || f.UpdatedAt.Location() != time.UTC {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestTimesOfWritesAreInUTC(t *testing.T) {
	t.Parallel()
	var f flags.Flag
	f.Touch(nil, time.Date(2026, 1, 1, 2, 0, 0, 1999, time.FixedZone("east", 2*60*60)))
	if want := time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC); f.CreatedAt != want || f.UpdatedAt != want {
		t.Errorf("%v and %v", f.CreatedAt, f.UpdatedAt)
	}
}
