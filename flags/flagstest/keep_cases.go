// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

var writerCases = []testCase{
	{
		name: "no write is lost among many", needs: []need{needStore},
		why: "Writers that read, change and write, and begin again after ErrConflict, leave the sum of what they did. Each success " +
			"has a version of its own, above those before.",
		run: checkSum,
	},
	{
		name: "Put neither changes nor keeps the flag", needs: []need{needStore},
		why: "The flag is the caller's: Put does not write to it, its Version neither, and what he does with it afterwards " +
			"changes nothing that is stored or told.",
		run: func(r *run) {
			w := r.watch(r.Source)
			w.whole()
			f := full("a")
			before := textOf(f)
			version := r.put(f)
			if after := textOf(f); after != before {
				r.Errorf("Put has changed the flag from %s to %s", before, after)
			}
			stored := textOf(r.get("a"))
			scribble(f)
			if now := textOf(r.get("a")); now != stored {
				r.Errorf("a flag that was changed after Put changed what is stored from %s to %s", stored, now)
			}
			r.put(form("b", 1)) // told after a
			w.await(func() string {
				if w.flags["a"] == nil || w.flags["b"] == nil {
					return "the flags are not told"
				}
				if told := textOf(w.flags["a"]); told != stored || w.flags["a"].Version != version {
					return fmt.Sprintf("a flag is told as %s and stored as %s", told, stored)
				}
				return ""
			})
		},
	},
	{
		name: "Get gives a copy", needs: []need{needStore},
		why: "The caller may change what Get gave him; that is how flags are edited. Nothing that is stored or told changes.",
		run: func(r *run) {
			r.put(full("a"))
			w := r.watch(r.Source)
			w.whole()
			stored := textOf(r.get("a"))
			scribble(r.get("a"))
			if now := textOf(r.get("a")); now != stored {
				r.Errorf("who changed what Get gave him changed what is stored from %s to %s", stored, now)
			}
			w.stop()
		},
	},
}

// checkSum has writers count in one flag.
func checkSum(r *run) {
	const writers, times = 4, 10
	r.put(&flags.Flag{Key: "a", Enabled: true, Annotations: map[string]string{"n": "0"}})
	var mu sync.Mutex
	versions := make(map[int64]bool)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range times {
				version, err := r.count("a")
				if err != nil {
					r.Errorf("counting: %v", err)
					return
				}
				mu.Lock()
				if versions[version] {
					r.Errorf("two writes have the version %d", version)
				}
				versions[version] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := r.get("a").Annotations["n"]; n != strconv.Itoa(writers*times) {
		r.Errorf("after %d writes that each add 1 the flag says %s", writers*times, n)
	}
}

// count adds 1 to the flag's annotation, however often others are faster.
func (r *run) count(key string) (int64, error) {
	for {
		f, err := r.store.Get(r.ctx, key)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(f.Annotations["n"])
		if err != nil {
			return 0, err
		}
		before := f.Version
		f.Annotations["n"] = strconv.Itoa(n + 1)
		version, err := r.store.Put(r.ctx, f)
		switch {
		case err == nil && version <= before:
			return 0, fmt.Errorf("version %d follows %d", version, before)
		case !errors.Is(err, flags.ErrConflict):
			return version, err
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		}
	}
}

var keepCases = []testCase{
	{
		name: "a flag comes back as it was written", needs: []need{needStore},
		why: "Every field that JSON shows is kept, and so are the fields that nobody here knows: another program's, or a newer " +
			"version's. Only Version and the times are the store's.",
		run: func(r *run) {
			w := r.watch(r.Source)
			w.whole()
			for _, f := range []*flags.Flag{full("a"), seed("b"), {Key: "c"}} {
				r.put(f)
				want := bare(f)
				if got := bare(r.get(f.Key)); got != want {
					r.Errorf("a flag was written as\n%s\nand read as\n%s", want, got)
				}
				w.await(func() string {
					if told := w.flags[f.Key]; told == nil || bare(told) != want {
						return fmt.Sprintf("the flag %q is not told as it was written: %s", f.Key, textOf(told))
					}
					return ""
				})
			}
			// Written by who read it, and knows no more of it.
			f := r.get("a")
			f.Enabled = !f.Enabled
			want := bare(f)
			r.put(f)
			if got := bare(r.get("a")); got != want {
				r.Errorf("an edited flag was written as\n%s\nand read as\n%s", want, got)
			}
		},
	},
	{
		name: "the times are the store's", needs: []need{needStore},
		why: "Put calls Flag.Touch: CreatedAt is the first write's and stays, UpdatedAt the last one's, FullyOnSince is when the flag " +
			"came to serve everybody one variant. What the caller says is not believed. UpdatedBy and Why are his.",
		run: checkTimes,
	},
	{
		name: "keys are kept apart", needs: []need{needStore},
		why: "Two keys are two flags, however alike they look. A key that the store cannot have is an error, and not another key.",
		run: checkKeys,
	},
}

// checkTimes follows one flag through four writes.
func checkTimes(r *run) {
	lie := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	write := func(change func(*flags.Flag)) *flags.Flag {
		f := &flags.Flag{Key: "a"}
		if stands, err := r.store.Get(r.ctx, "a"); err == nil {
			f = stands
		}
		f.CreatedAt, f.UpdatedAt, f.FullyOnSince = lie, lie, lie
		change(f)
		r.put(f)
		return r.get("a")
	}
	first := write(func(f *flags.Flag) { f.Enabled, f.UpdatedBy, f.Why = true, "ada", "it is ready" })
	if first.CreatedAt.IsZero() || first.CreatedAt.Equal(lie) || !first.UpdatedAt.Equal(first.CreatedAt) || !first.FullyOnSince.Equal(first.CreatedAt) {
		r.Errorf("after the first write, which has it fully on: created %v, updated %v, fully on since %v", first.CreatedAt, first.UpdatedAt, first.FullyOnSince)
	}
	if first.UpdatedBy != "ada" || first.Why != "it is ready" {
		r.Errorf("written by %q, who says %q", first.UpdatedBy, first.Why)
	}
	pause(r.ctx, 2*time.Millisecond) // the clock of times is coarse
	second := write(func(f *flags.Flag) { f.Description, f.FullyOnSince = "words", first.FullyOnSince })
	if !second.CreatedAt.Equal(first.CreatedAt) || !second.UpdatedAt.After(first.UpdatedAt) || !second.FullyOnSince.Equal(first.FullyOnSince) {
		r.Errorf("after a write of words: created %v, updated %v, fully on since %v; before: %v, %v, %v",
			second.CreatedAt, second.UpdatedAt, second.FullyOnSince, first.CreatedAt, first.UpdatedAt, first.FullyOnSince)
	}
	third := write(func(f *flags.Flag) { f.Rollout = &flags.Rollout{Type: "percentage", Percentage: 10_000} })
	if !third.CreatedAt.Equal(first.CreatedAt) || !third.FullyOnSince.IsZero() {
		r.Errorf("at 10%%: created %v, fully on since %v", third.CreatedAt, third.FullyOnSince)
	}
	fourth := write(func(f *flags.Flag) { f.Rollout = nil })
	if !fourth.FullyOnSince.Equal(fourth.UpdatedAt) || !fourth.FullyOnSince.After(first.FullyOnSince) {
		r.Errorf("fully on again: since %v, updated %v", fourth.FullyOnSince, fourth.UpdatedAt)
	}
}

// checkKeys writes flags whose keys are alike.
func checkKeys(r *run) {
	versions := make(map[string]int64)
	want := make(map[string]int)
	for i, key := range []string{
		"a", "A", "a.b", "a-b", "a_b", "a/b", "a:b", "a b", "ä", "a\u0308", "*", "a*", "{a}", "a'b\"c", "..", "日本", strings.Repeat("long", 50),
	} {
		version, err := r.store.Put(r.ctx, form(key, i+1))
		if errors.Is(err, flags.ErrConflict) {
			r.Errorf("the key %q is taken for another: %v", key, err)
		}
		if err != nil { // a store may have rules for its keys
			continue
		}
		versions[key], want[key] = version, i+1
	}
	if want["a"] != 1 {
		r.Errorf("the key %q is refused", "a")
	}
	for key, n := range want {
		r.holds(key, n, versions[key])
	}
	r.watch(r.Source).shows(want)
	if err := r.store.Delete(r.ctx, "a", versions["a"]); err != nil {
		r.Errorf("Delete: %v", err)
	}
	delete(want, "a")
	r.watch(r.Source).shows(maps.Clone(want))
}

// bare is the flag as JSON without what a store sets.
func bare(f *flags.Flag) string {
	f = f.Clone()
	f.Version, f.CreatedAt, f.UpdatedAt, f.FullyOnSince = 0, time.Time{}, time.Time{}, time.Time{}
	return textOf(f)
}

// scribble writes to everything that a copy of f would share with it.
func scribble(f *flags.Flag) {
	f.Enabled, f.Version, f.Description = !f.Enabled, 99, "scribbled"
	for name := range f.Variants {
		f.Variants[name] = json.RawMessage(`"scribbled"`)
	}
	for i := range f.Targets {
		f.Targets[i].Keys[0] = "scribbled"
	}
	for i := range f.Rules {
		f.Rules[i].ID = "scribbled"
		for k := range f.Rules[i].When {
			f.Rules[i].When[k].Values[0] = flags.Text("scribbled")
		}
	}
	if f.Default != nil {
		f.Default.Split[0].Variant = "scribbled"
	}
	if f.Annotations != nil {
		f.Annotations["fence"] = "scribbled"
	}
	for name := range f.Extra {
		f.Extra[name] = json.RawMessage(`"scribbled"`)
	}
}

// full is a flag that has much of what a flag can have, and what it cannot.
func full(key string) *flags.Flag {
	return parsed(key, `{
		"enabled": true,
		"variants": {"red": "#f00 <&> ü \u0001", "blue": "#00f"},
		"off": "blue",
		"schedule": [{"from": "2026-01-02T03:04:05.000006Z"}],
		"prerequisites": [{"flag": "other", "variants": ["on"]}],
		"targets": [{"variant": "red", "keys": ["user-1", "user 2", "日本"]}],
		"rules": [{"id": "staff", "when": [{"attribute": "email", "op": "ends_with", "values": ["@example.com"]}], "variant": "red"}],
		"default": {"split": [{"variant": "red", "percent": 12.345}, {"variant": "blue", "percent": 87.655}], "by": "account"},
		"salt": "pepper", "hash": "murmur3", "permanent": true, "private": true, "description": "a\nb", "owner": "ada",
		"updated_by": "ada", "why": "because", "annotations": {"fence": "18446744073709551615"},
		"x-number": 18446744073709551615, "x-float": 0.1, "x-nested": {"b": [1, {"a": null}], "a": "<>&"}, "x-null": null
	}`)
}

// seed is a flag of the simplest form, with fields of somebody else.
func seed(key string) *flags.Flag {
	return parsed(key, `{"enabled": true, "team": "growth", "rollout": {"type": "users", "users": ["1", "2"], "note": {"of": "theirs"}}}`)
}

func parsed(key, text string) *flags.Flag {
	f, err := flags.ParseFlag(key, []byte(text))
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		panic("BUG: flagstest: " + err.Error())
	}
	return f
}
