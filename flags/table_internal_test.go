// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestATableFindsWhatAMapFinds(t *testing.T) {
	t.Parallel()
	want := map[string]int32{}
	at := newTable(3) // and grows
	for i := range int32(5000) {
		// Of every length, alike in front and behind.
		key := strings.Repeat("x", int(i%40)) + fmt.Sprint(i) + strings.Repeat("y", int(i%7))
		want[key] = i
		if _, had := at.add(key, i); had {
			t.Fatalf("%q was there before", key)
		}
	}
	for key, num := range want {
		if got, ok := at.find(key); !ok || got != num {
			t.Errorf("%q is %d, %v, and not %d", key, got, ok, num)
		}
		if other, ok := at.find(key + "z"); ok {
			t.Errorf("%qz is %d, and was never added", key, other)
		}
		if before, had := at.add(key, -1); !had || before != num {
			t.Errorf("%q was added twice", key)
		}
	}
	if got := slices.Sorted(slices.Values(at.all())); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("%d keys, and not %d", len(got), len(want))
	}
}

func TestACopyOfATableIsAnother(t *testing.T) {
	t.Parallel()
	var empty *table
	for _, before := range []*table{empty, newTable(0), newTable(100)} {
		first := before.clone()
		for i := range int32(50) {
			first.add(fmt.Sprint(i), i)
		}
		second := first.clone()
		second.add("more", 1)
		if first.has("more") || before.has("1") || !second.has("49") || !second.has("more") {
			t.Error("a copy and its original share something")
		}
	}
}

func TestNobodyIsInNoTable(t *testing.T) {
	t.Parallel()
	var none *table
	some := newTable(1)
	some.add("", 7)
	some.add("kim", 7)
	for _, at := range []*table{none, {}, newTable(0), some} {
		if at.has("") || at.has("lou") {
			t.Error("nobody was found")
		}
	}
	if len(some.all()) != 1 || none.all() != nil {
		t.Error("nobody was added")
	}
}
