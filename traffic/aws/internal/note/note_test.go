// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package note_test

import (
	"errors"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/internal/note"
)

func route(stable, candidate string, w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: stable, Candidate: candidate}, Split: traffic.Split{Candidate: w}}
}

func FuzzANoteIsReadAsItWasWritten(f *testing.F) {
	f.Add(uint64(7), "blue", "green", uint32(250_000), "fence=1")
	f.Add(uint64(0), `a"b&c=d`, "ü é", uint32(1_000_000), "")
	f.Fuzz(func(t *testing.T, fence uint64, stable, candidate string, weight uint32, garbage string) {
		n := note.Note{Fence: fence, Route: route(stable, candidate, traffic.Weight(weight))}
		got, ok := note.Parse(n.String())
		if want := n.Route.Validate() == nil; ok != want || ok && (got.Fence != fence || !got.Route.Equal(n.Route)) {
			t.Errorf("%s is read as %v, %v", n, got, ok)
		}
		if got, ok := note.Parse(garbage); ok && got.Route.Validate() != nil {
			t.Errorf("%q is read as %v", garbage, got)
		}
	})
}

func TestAFenceOrdersTheWriters(t *testing.T) {
	t.Parallel()
	held := note.Note{Fence: 5, Route: route("a", "b", 10)}
	for _, c := range []struct {
		fence uint64
		route traffic.Route
		want  error
	}{
		{4, held.Route, traffic.ErrFenced},
		{5, held.Route, nil},
		{5, route("a", "b", 11), traffic.ErrConflict},
		{5, route("b", "a", 10), traffic.ErrConflict},
		{6, route("b", "a", 0), nil},
	} {
		if err := held.Admit(c.fence, c.route); !errors.Is(err, c.want) {
			t.Errorf("Admit(%d, %v): %v, want %v", c.fence, c.route, err, c.want)
		}
	}
	if err := (note.Note{}).Admit(0, held.Route); err != nil {
		t.Errorf("without a note: %v", err)
	}
}

func TestSharesAreToldInTheNamesThatAreKnown(t *testing.T) {
	t.Parallel()
	known := traffic.Arms{Stable: "a", Candidate: "b"}
	for _, c := range []struct {
		name   string
		shares []note.Share
		want   traffic.Route
		fails  bool
	}{
		{name: "nothing", fails: true},
		{name: "all 0", shares: []note.Share{{"a", 0}, {"b", 0}}, fails: true},
		{name: "three", shares: []note.Share{{"a", 1}, {"b", 1}, {"c", 1}}, fails: true},
		{name: "home", shares: []note.Share{{"b", 0}, {"a", 9}}, want: route("a", "b", 0)},
		{name: "away", shares: []note.Share{{"b", 3}}, want: route("a", "b", traffic.Full)},
		{name: "split", shares: []note.Share{{"b", 1}, {"a", 2}, {"c", 0}}, want: route("a", "b", 333_333)},
		{name: "one strange", shares: []note.Share{{"c", 1}}, want: route("c", "", 0)},
		{name: "one strange, one idle", shares: []note.Share{{"c", 1}, {"a", 0}}, want: route("c", "a", 0)},
		{name: "strange with known", shares: []note.Share{{"a", 1}, {"c", 3}}, want: route("c", "a", 250_000)},
		{name: "strange and equal", shares: []note.Share{{"c", 1}, {"d", 1}}, want: route("c", "d", 500_000)},
		{name: "next to nothing", shares: []note.Share{{"a", 10_000_000}, {"b", 1}}, want: route("a", "b", 1)},
		{name: "next to all", shares: []note.Share{{"a", 1}, {"b", 10_000_000}}, want: route("a", "b", traffic.Full-1)},
	} {
		got, err := note.Arrange(known, c.shares)
		if !got.Equal(c.want) || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}
