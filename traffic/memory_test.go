// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

var arms = traffic.Arms{Stable: "v1", Candidate: "v2"}

func at(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
}

func observe(t *testing.T, r traffic.Router) traffic.Seen {
	t.Helper()
	seen, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestTheZeroMemoryCanDoEverything(t *testing.T) {
	t.Parallel()
	var m traffic.Memory
	if seen := observe(t, &m); !seen.Route.IsZero() || seen.Room != traffic.Plenty {
		t.Errorf("before any route: %+v", seen)
	}
	want := at(1)
	want.Split.Mirror = 333_333
	want.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	want.Split.Sticky.Cookie = "side"
	if err := m.Apply(t.Context(), 4, want); err != nil {
		t.Fatal(err)
	}
	seen := observe(t, &m)
	if !seen.Route.Equal(want) || seen.Fence != 4 || seen.Evidence != traffic.Effective || seen.Writer != "" {
		t.Errorf("observed %+v, want %v under fence 4", seen, want)
	}
}

func TestAMemoryKeepsToItsCaps(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: traffic.Percent(1), Evidence: traffic.Written}})
	if err := m.Apply(t.Context(), 1, at(1)); err != nil {
		t.Fatal(err)
	}
	seen := observe(t, m)
	if want := traffic.Percent(1); seen.Route.Split.Candidate != want || seen.Evidence != traffic.Written || seen.Room.Known || seen.Fence != 0 {
		t.Errorf("observed %+v, want %v written, no fence and no room", seen, want)
	}
	sticky := at(0)
	sticky.Split.Sticky.Header = "X-User"
	if err := m.Apply(t.Context(), 2, sticky); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("sticky: %v, want %v", err, errors.ErrUnsupported)
	}
	if err := m.Apply(t.Context(), 0, at(traffic.Full)); err != nil {
		t.Errorf("a lower fence without fencing: %v, want none", err)
	}
}

func TestEvidenceComesWhenItIsSettled(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{Settle: 2})
	if err := m.Apply(t.Context(), 1, at(50_000)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []traffic.Evidence{traffic.Written, traffic.Written, traffic.Effective, traffic.Effective} {
		if got := observe(t, m).Evidence; got != want {
			t.Errorf("look %d: %v, want %v", i, got, want)
		}
	}
	m = traffic.NewMemory(traffic.Options{Settle: -1})
	if err := m.Apply(t.Context(), 1, at(50_000)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got := observe(t, m).Evidence; got != traffic.Written {
			t.Fatalf("before Settle: %v, want %v", got, traffic.Written)
		}
	}
	m.Settle()
	if got := observe(t, m).Evidence; got != traffic.Effective {
		t.Errorf("after Settle: %v, want %v", got, traffic.Effective)
	}
}

func TestAForeignWriteIsShownAndUndone(t *testing.T) {
	t.Parallel()
	var m traffic.Memory
	if err := m.Apply(t.Context(), 7, at(50_000)); err != nil {
		t.Fatal(err)
	}
	m.Foreign(at(traffic.Full), "alice")
	if seen := observe(t, &m); !seen.Route.Equal(at(traffic.Full)) || seen.Fence != 0 || seen.Writer != "alice" {
		t.Errorf("observed %+v, want alice's route without a fence", seen)
	}
	if err := m.Apply(t.Context(), 6, at(0)); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("a stale fence: %v, want %v", err, traffic.ErrFenced)
	}
	if err := m.Apply(t.Context(), 7, at(50_000)); err != nil {
		t.Errorf("the same fence and route: %v, want none", err)
	}
	if seen := observe(t, &m); !seen.Route.Equal(at(50_000)) || seen.Fence != 7 || seen.Writer != "" {
		t.Errorf("observed %+v, want our route back", seen)
	}
}

func TestHistoryIsWhatWasAcceptedAndBounded(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{History: 3})
	for fence := range uint64(5) {
		for range 2 {
			if err := m.Apply(t.Context(), fence, at(traffic.Weight(fence))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.Apply(t.Context(), 1, at(9)); !errors.Is(err, traffic.ErrFenced) {
		t.Fatalf("a stale fence: %v", err)
	}
	want := []traffic.Accepted{{2, at(2)}, {3, at(3)}, {4, at(4)}}
	if got := m.History(); !reflect.DeepEqual(got, want) {
		t.Errorf("history %v, want %v", got, want)
	}
}

func TestAMemorySharesNothingWithItsCallers(t *testing.T) {
	t.Parallel()
	var m traffic.Memory
	r := at(0)
	r.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}}
	if err := m.Apply(t.Context(), 1, r); err != nil {
		t.Fatal(err)
	}
	r.Split.Match[0].Value = "caller"
	observe(t, &m).Route.Split.Match[0].Value = "observer"
	m.History()[0].Route.Split.Match[0].Value = "historian"
	foreign := at(0)
	foreign.Split.Match = []traffic.Match{{Cookie: "a"}}
	if got := m.History()[0].Route.Split.Match[0].Value; got != "yes" {
		t.Errorf("history shows a match of %q, want %q", got, "yes")
	}
	if got := observe(t, &m).Route.Split.Match[0].Value; got != "yes" {
		t.Errorf("observed a match of %q, want %q", got, "yes")
	}
	m.Foreign(foreign, "")
	foreign.Split.Match[0].Cookie = "b"
	if seen := observe(t, &m); seen.Route.Split.Match[0].Cookie != "a" || seen.Writer != "foreign" {
		t.Errorf("observed %+v, want the foreign route as it was written", seen)
	}
}

func TestAMemoryMayBeUsedByManyAtOnce(t *testing.T) {
	t.Parallel()
	var m traffic.Memory
	var wg sync.WaitGroup
	for fence := range uint64(50) {
		wg.Go(func() {
			if err := m.Apply(t.Context(), fence, at(traffic.Weight(fence))); err != nil && !errors.Is(err, traffic.ErrFenced) {
				t.Errorf("fence %d: %v", fence, err)
			}
			m.SetRoom(traffic.Plenty)
			m.History()
			observe(t, &m)
		})
	}
	wg.Wait()
	if seen := observe(t, &m); seen.Fence != 49 || !seen.Route.Equal(at(49)) {
		t.Errorf("observed %+v, want fence 49 to have won", seen)
	}
}

func TestRoomIsToldByTheOwner(t *testing.T) {
	t.Parallel()
	blind := traffic.Caps{Granularity: 1, Evidence: traffic.Written}
	half := traffic.Room{Known: true, Stable: traffic.Full, Candidate: traffic.Full / 2}
	broken := errors.New("no answer")
	tell := func(r traffic.Room, err error) func(context.Context) (traffic.Room, error) {
		return func(context.Context) (traffic.Room, error) { return r, err }
	}
	for _, tt := range []struct {
		name string
		wrap func(traffic.Router) traffic.Router
		want traffic.Room
	}{
		{"assumed", traffic.AssumeRoom, traffic.Plenty},
		{"told", func(r traffic.Router) traffic.Router { return traffic.WithRoom(r, tell(half, nil)) }, half},
		{"an error is not known", func(r traffic.Router) traffic.Router { return traffic.WithRoom(r, tell(half, broken)) }, traffic.Room{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := traffic.NewMemory(traffic.Options{Caps: blind})
			r := tt.wrap(m)
			want := blind
			want.Room = true
			if got := r.Caps(); got != want {
				t.Errorf("caps %+v, want %+v", got, want)
			}
			if err := r.Apply(t.Context(), 1, at(7)); err != nil {
				t.Fatal(err)
			}
			if seen := observe(t, r); seen.Room != tt.want || !seen.Route.Equal(at(7)) {
				t.Errorf("observed %+v, want room %+v", seen, tt.want)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Observe(ctx); err == nil {
				t.Error("an error of the router was swallowed")
			}
		})
	}
}

func ExampleMemory() {
	ctx := context.Background()
	router := traffic.NewMemory(traffic.Options{})
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}

	route.Split.Candidate = traffic.Percent(5)
	fmt.Println("applied:", router.Apply(ctx, 2, route))
	seen, _ := router.Observe(ctx)
	fmt.Println(seen.Evidence, "-", seen.Route)

	// A writer that was overtaken is told so, and changes nothing.
	route.Split.Candidate = traffic.Full
	fmt.Println("overtaken:", errors.Is(router.Apply(ctx, 1, route), traffic.ErrFenced))
	// Output:
	// applied: <nil>
	// effective - 5% to v2, rest to v1
	// overtaken: true
}

func ExampleAssumeRoom() {
	// A router that cannot know how much each side could carry.
	router := traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: traffic.Percent(1), Evidence: traffic.Written}})
	seen, _ := traffic.AssumeRoom(router).Observe(context.Background())
	fmt.Println(router.Caps().Room, seen.Room == traffic.Plenty)
	// Output: false true
}
