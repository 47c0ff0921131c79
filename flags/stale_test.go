// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

const day = 24 * time.Hour

// later moves on and writes the flag with change.
func later(t *testing.T, store flags.Store, key string, after time.Duration, change func(*flags.Flag)) {
	t.Helper()
	time.Sleep(after)
	if _, err := flags.Edit(t.Context(), store, key, flags.Note{By: "kim", Why: "test"}, func(f *flags.Flag) error {
		change(f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestFullyOnSinceIsTheChangeThatMadeItSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		store := flags.NewMemory()
		if _, err := store.Put(t.Context(), &flags.Flag{Key: "f", Enabled: true, Rollout: &flags.Rollout{Type: "percentage", Percentage: 50_000}}); err != nil {
			t.Fatal(err)
		}
		since := func() time.Duration {
			f, err := store.Get(t.Context(), "f")
			if err != nil {
				t.Fatal(err)
			}
			if f.FullyOnSince.IsZero() {
				return -1
			}
			return f.FullyOnSince.Sub(begin)
		}
		check := func(want time.Duration, why string) {
			t.Helper()
			if got := since(); got != want {
				t.Errorf("%s: since %v, want %v", why, got, want)
			}
		}
		check(-1, "at 50 %")
		later(t, store, "f", day, func(f *flags.Flag) { f.Rollout.Percentage = flags.Everybody })
		check(day, "at 100 %")
		later(t, store, "f", day, func(f *flags.Flag) { f.Description = "words" })
		check(day, "a change that changes nothing for anybody")
		// All rules say the same as the default: still everybody.
		later(t, store, "f", day, func(f *flags.Flag) {
			f.Rules = []flags.Rule{{When: []flags.Clause{{Attribute: "plan", Op: flags.Exists}}, Serve: flags.Serve{Variant: "on"}}}
		})
		check(day, "a rule for what everybody has")
		later(t, store, "f", day, func(f *flags.Flag) { f.Rules[0].Variant = "off" })
		check(-1, "a rule that differs")
		later(t, store, "f", day, func(f *flags.Flag) { f.Rules = nil })
		check(5*day, "everybody again")
		later(t, store, "f", day, func(f *flags.Flag) { f.Rollout.Percentage = 0 })
		check(6*day, "everybody gets the other variant")
		later(t, store, "f", day, func(f *flags.Flag) { f.Enabled = false })
		check(-1, "killed")
	})
}

func TestStaleFlagsAreReportedAndRetired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := flags.NewMemory()
		for _, f := range []*flags.Flag{
			{Key: "old", Enabled: true},
			{Key: "asked", Enabled: true},
			{Key: "switch", Enabled: true, Permanent: true},
			{Key: "ramping", Enabled: true, Rollout: &flags.Rollout{Type: "percentage", Percentage: 10_000}},
			{Key: "killed"},
		} {
			time.Sleep(time.Hour)
			if _, err := store.Put(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * day)
		if _, err := store.Put(t.Context(), &flags.Flag{Key: "young", Enabled: true}); err != nil {
			t.Fatal(err)
		}
		client, err := flags.New(store, flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		run(t, client)
		time.Sleep(11 * day)
		flags.Bool("asked", false).On(client, nil)
		asked := time.Now().UTC().Truncate(time.Minute)
		list := client.Stale(0)
		if len(list) != 2 || list[0].Flag.Key != "old" || list[1].Flag.Key != "asked" || list[0].Variant != "on" {
			t.Fatalf("%+v", list)
		}
		if !list[0].Evaluated.IsZero() || asked.Sub(list[1].Evaluated).Abs() > time.Minute {
			t.Errorf("evaluated %v and %v, now %v", list[0].Evaluated, list[1].Evaluated, asked)
		}
		if got := client.Stale(day); len(got) != 3 {
			t.Errorf("after a day %d are stale", len(got))
		}
		for key, want := range map[string]error{"old": nil, "young": flags.ErrNotStale, "switch": flags.ErrNotStale, "ramping": flags.ErrNotStale, "killed": flags.ErrNotStale, "none": flags.ErrNotFound} {
			if err := flags.Retire(t.Context(), store, key, 0); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", key, err, want)
			}
		}
		synctest.Wait()
		if d := flags.Bool("old", true).Eval(client, nil); d.Reason != flags.NotFound || !d.Value {
			t.Errorf("retired, and still %+v", d)
		}
	})
}

func TestAnExplanationNamesEachStep(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	doc, err := flags.ParseDocument([]byte(`{"flags":{
		"gate":{"enabled":true},
		"f":{"enabled":true,"prerequisites":[{"flag":"gate","variants":["on"]}],"holdouts":["h"],"layer":{"layer":"l","from":0,"to":100},
			"targets":[{"variant":"on","keys":["tess"]}],
			"rules":[{"id":"pro","when":[{"attribute":"plan","op":"in","values":["pro"]}],"variant":"on"},{"when":[{"attribute":"age","op":"gte","values":[18]}],"split":[{"variant":"on","percent":30},{"variant":"off","percent":70}]}]}},
		"layers":{"l":{}},"holdouts":{"h":{"percent":0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	source.publish(flags.Update{Document: doc, Full: true})
	kim := flags.User("kim").Str("plan", "free").Num("age", 30)
	want := `f for "kim": off = false (split)
  prerequisite gate is on: true
  among the targets: false
  holdout h has those below 0%: the unit stands at ` + place(t, "holdout:h:", "kim") + `
  layer l, slice from 0% to 100%: the unit stands at ` + place(t, "layer:l:", "kim") + `
  rule pro: no, for plan in, which is "free"
  rule 2: yes: "kim" stands at ` + place(t, "f", "kim") + ` among on 0%–30% off 30%–100%
`
	if got := source.client.Explain("f", &kim); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := source.client.Explain("nowhere", nil); got != "nowhere: not found\n" {
		t.Error(got)
	}
	tess := flags.User("tess")
	if got := source.client.Explain("f", &tess); !strings.HasSuffix(got, "among the targets: true\n") {
		t.Error(got)
	}
}

func place(tb testing.TB, salt, unit string) string {
	tb.Helper()
	return mustPlace(tb, flags.Murmur3, salt, unit).String()
}

func TestADocumentTellsWhatIsStaleWithoutAClient(t *testing.T) {
	t.Parallel()
	doc, err := flags.ParseDocument([]byte(`{"flags": {
		"everybody": {"enabled": true, "fully_on_since": "2026-02-01T00:00:00Z"},
		"older":     {"enabled": true, "fully_on_since": "2026-01-01T00:00:00Z"},
		"fresh":     {"enabled": true, "fully_on_since": "2026-05-30T00:00:00Z"},
		"permanent": {"enabled": true, "fully_on_since": "2026-01-01T00:00:00Z", "permanent": true},
		"half":      {"enabled": true, "updated_at": "2026-01-01T00:00:00Z", "rollout": {"type": "percentage", "percentage": 50}},
		"undated":   {"enabled": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	keys := func(after time.Duration) string {
		var list []string
		for _, s := range doc.Stale(now, after) {
			list = append(list, s.Flag.Key+"="+s.Variant)
		}
		return strings.Join(list, " ")
	}
	if got, want := keys(0), "older=on everybody=on"; got != want {
		t.Errorf("after %v: %q, want %q", flags.StaleAfter, got, want)
	}
	if got, want := keys(day), "older=on everybody=on fresh=on"; got != want {
		t.Errorf("after a day: %q, want %q", got, want)
	}
}
