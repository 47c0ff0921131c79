// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// regions is a fanout over memories.
func regions(t *testing.T, options ...traffic.Options) (*traffic.Fanout, []*traffic.Memory) {
	t.Helper()
	var members []traffic.Member
	var memories []*traffic.Memory
	for i, o := range options {
		m := traffic.NewMemory(o)
		memories = append(memories, m)
		members = append(members, traffic.Member{Name: []string{"eu", "us", "ap"}[i], Router: m})
	}
	f, err := traffic.NewFanout(members...)
	if err != nil {
		t.Fatal(err)
	}
	return f, memories
}

func TestAFanoutIsARouter(t *testing.T) {
	t.Parallel()
	coarse := traffic.Caps{Granularity: traffic.Percent(1), Fencing: true, Mirror: true, Evidence: traffic.Programmed}
	for name, o := range map[string][]traffic.Options{
		"one":        {{}},
		"three":      {{}, {Caps: coarse}, {}},
		"one behind": {{}, {Settle: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			traffictest.Run(t, func(t *testing.T) traffictest.Subject {
				f, memories := regions(t, o...)
				last := memories[len(memories)-1]
				return traffictest.Subject{Router: f, Foreign: foreign(last)}
			})
		})
	}
}

func TestAFanoutIsWhereItsLastMemberIs(t *testing.T) {
	t.Parallel()
	f, m := regions(t, traffic.Options{}, traffic.Options{}, traffic.Options{})
	if err := f.Apply(t.Context(), 1, at(250_000)); err != nil {
		t.Fatal(err)
	}
	for _, ahead := range m[:2] {
		if err := ahead.Apply(t.Context(), 2, at(0)); err != nil {
			t.Fatal(err)
		}
	}
	if seen := observe(t, f); !seen.Route.Equal(at(250_000)) || seen.Fence != 1 {
		t.Errorf("with one member not home: %+v, want it still at 25%%", seen)
	}
	if err := f.Apply(t.Context(), 2, at(0)); err != nil {
		t.Fatal(err)
	}
	if seen := observe(t, f); !seen.Route.Equal(at(0)) || seen.Fence != 2 {
		t.Errorf("with all home: %+v", seen)
	}
	m[1].Foreign(at(traffic.Full), "alice")
	if seen := observe(t, f); !seen.Route.Equal(at(traffic.Full)) || seen.Fence != 0 || seen.Writer != "us: alice" {
		t.Errorf("after a foreign write in one: %+v, want it named", seen)
	}
	m[0].SetRoom(traffic.Room{Known: true, Stable: 7, Candidate: traffic.Full})
	m[2].SetRoom(traffic.Room{Known: true, Stable: traffic.Full, Candidate: 9})
	if got, want := observe(t, f).Room, (traffic.Room{Known: true, Stable: 7, Candidate: 9}); got != want {
		t.Errorf("room %+v, want the least of all %+v", got, want)
	}
	m[1].SetRoom(traffic.Room{})
	if got := observe(t, f).Room; got != (traffic.Room{}) {
		t.Errorf("room %+v, want none: one member does not know its own", got)
	}
}

// failing is a member that cannot be reached.
type failing struct {
	*traffic.Memory
	mu  sync.Mutex
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *failing) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Memory.Apply(ctx, fence, r)
}

func (f *failing) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := f.failure(); err != nil {
		return traffic.Seen{}, err
	}
	return f.Memory.Observe(ctx)
}

func TestAMemberThatIsDownKeepsNoOtherFromGoingHome(t *testing.T) {
	t.Parallel()
	down := errors.New("no route to host")
	eu, us := &failing{Memory: traffic.NewMemory(traffic.Options{})}, traffic.NewMemory(traffic.Options{})
	f, err := traffic.NewFanout(traffic.Member{Name: "eu", Router: eu}, traffic.Member{Name: "us", Router: us})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(t.Context(), 1, at(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	eu.fail(down)
	if err := f.Apply(t.Context(), 2, at(0)); !errors.Is(err, down) || !strings.HasPrefix(err.Error(), "eu: ") {
		t.Errorf("%v, want one that names eu", err)
	}
	if seen := observe(t, us); !seen.Route.Equal(at(0)) {
		t.Errorf("us is at %v, want home", seen.Route)
	}
	if _, err := f.Observe(t.Context()); !errors.Is(err, down) {
		t.Errorf("observed: %v, want not known", err)
	}
	eu.fail(nil)
	if seen := observe(t, f); !seen.Route.Equal(at(traffic.Full)) {
		t.Errorf("observed %v, want what eu still has", seen.Route)
	}
	// Whoever was overtaken stops at once, and turns nothing after that.
	eu.fail(traffic.ErrFenced)
	if err := f.Apply(t.Context(), 3, at(50_000)); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("%v, want %v", err, traffic.ErrFenced)
	}
	if seen := observe(t, us); seen.Fence != 2 {
		t.Errorf("us was turned under fence %d after eu had refused", seen.Fence)
	}
}

func TestAFanoutCanDoWhatAllItsMembersCan(t *testing.T) {
	t.Parallel()
	member := func(name string, c traffic.Caps) traffic.Member {
		return traffic.Member{Name: name, Router: traffic.NewMemory(traffic.Options{Caps: c})}
	}
	f, err := traffic.NewFanout(
		member("a", traffic.Caps{Granularity: 4000, Match: true, Query: true, Sticky: true, Fencing: true, Room: true, Evidence: traffic.Effective, Lag: time.Second}),
		member("b", traffic.Caps{Granularity: 10_000, Match: true, Mirror: true, Fencing: true, Evidence: traffic.Programmed, Lag: time.Minute, Toggle: true, Drops: true}))
	if err != nil {
		t.Fatal(err)
	}
	want := traffic.Caps{Granularity: 20_000, Match: true, Fencing: true, Evidence: traffic.Programmed, Lag: time.Minute, Toggle: true, Drops: true}
	if got := f.Caps(); got != want {
		t.Errorf("caps %+v, want %+v", got, want)
	}
	fenced := traffic.Caps{Granularity: 1, Fencing: true, Evidence: traffic.Written}
	steps := func(g traffic.Weight) traffic.Caps {
		c := fenced
		c.Granularity = g
		return c
	}
	for name, tt := range map[string]struct {
		members []traffic.Member
		says    string // "" is accepted
	}{
		"nobody":              {nil, "give it a member"},
		"no name":             {[]traffic.Member{member("", fenced)}, "name \"\""},
		"a name twice":        {[]traffic.Member{member("a", fenced), member("a", fenced)}, "name \"a\""},
		"no router":           {[]traffic.Member{{Name: "a"}}, "no Router"},
		"no fencing":          {[]traffic.Member{member("a", traffic.Caps{Granularity: 1, Evidence: traffic.Written})}, "cannot fence"},
		"nothing in common":   {[]traffic.Member{member("a", steps(499_979)), member("b", steps(499_973))}, "meet those before it nowhere"},
		"a switch and a dial": {[]traffic.Member{member("a", steps(traffic.Full)), member("b", steps(3))}, ""},
	} {
		_, err := traffic.NewFanout(tt.members...)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

func ExampleNewFanout() {
	eu, us := traffic.NewMemory(traffic.Options{}), traffic.NewMemory(traffic.Options{})
	both, err := traffic.NewFanout(traffic.Member{Name: "eu", Router: eu}, traffic.Member{Name: "us", Router: us})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	if err := both.Apply(ctx, 1, route); err != nil {
		fmt.Println(err)
	}
	us.Foreign(traffic.Route{Arms: route.Arms}, "alice")
	seen, _ := both.Observe(ctx)
	fmt.Println(seen.Route, "by", seen.Writer)
	// Output: 0% to v2, rest to v1 by us: alice
}
