// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

// stage is a map of HAProxy whose writers take turns at each single command, in
// an order that the seed alone decides.
type stage struct {
	t      *testing.T
	chance *rand.Rand
	list   []entry
	parked chan *actor
	// What was ever in force: one value under each fence, and the highest.
	inForce map[uint64]string
	highest uint64
}

// actor is one writer on it.
type actor struct {
	stage  *stage
	fence  uint64
	weight traffic.Weight
	dies   int // before it has done so many commands; below 0 never
	turn   chan struct{}
	done   bool
	err    error
}

var errDied = errors.New("the process is gone")

func (a *actor) ask(_ context.Context, commands ...string) ([]string, error) {
	var answers []string
	for _, c := range commands {
		a.stage.parked <- a
		<-a.turn
		if a.dies == 0 {
			return nil, errDied
		}
		a.dies--
		answers = append(answers, a.stage.do(c))
	}
	return answers, nil
}

// do is what HAProxy does, as far as a Router asks for it.
func (s *stage) do(command string) string {
	f := strings.SplitN(command, " ", 5)
	switch f[0] + " " + f[1] {
	case "show stat":
		return "# pxname,svname,status,weight,bck,scur,stot\n" + f[2] + ",BACKEND,UP,1,0,0,0"
	case "show map":
		var lines []string
		for i, e := range s.list {
			lines = append(lines, fmt.Sprintf("0x%d %s %s", i+1, e.key, e.value))
		}
		return strings.Join(lines, "\n")
	case "add map":
		s.list = append(s.list, entry{f[3], f[4]})
	case "del map":
		before := len(s.list)
		s.list = slices.DeleteFunc(s.list, func(e entry) bool { return e.key == f[3] })
		if len(s.list) == before {
			return "Key not found."
		}
	case "get map":
		if len(s.list) == 0 {
			return "type=int, case=sensitive, found=no"
		}
		return fmt.Sprintf(`type=int, case=sensitive, found=yes, idx=list, key=%q, value=%q, type="str"`, s.list[0].key, s.list[0].value)
	default:
		s.t.Errorf("nobody should ask %q", command)
	}
	s.check()
	return ""
}

// check holds after each command, whoever gave it and whoever died.
func (s *stage) check() {
	if len(s.list) == 0 {
		if s.highest > 0 {
			s.t.Errorf("no route is in force any more")
		}
		return
	}
	fence, _, _ := s.list[0].fence()
	if fence < s.highest {
		s.t.Errorf("fence %d is in force after %d", fence, s.highest)
	}
	if was, ok := s.inForce[fence]; ok && was != s.list[0].value {
		s.t.Errorf("under fence %d both %q and %q were in force", fence, was, s.list[0].value)
	}
	s.highest = max(s.highest, fence)
	s.inForce[fence] = s.list[0].value
}

// play lets the writers run until all have ended.
func (s *stage) play(actors []*actor) {
	for _, a := range actors {
		go func() {
			r := &Router{config: Config{Map: "m"}, ask: a.ask}
			route := traffic.Route{Arms: traffic.Arms{Stable: "a", Candidate: "b"}, Split: traffic.Split{Candidate: a.weight}}
			a.err = r.Apply(s.t.Context(), a.fence, route)
			a.done = true
			s.parked <- a
		}()
	}
	var waiting []*actor
	for range actors {
		waiting = append(waiting, <-s.parked)
	}
	for len(waiting) > 0 {
		// Who parks first is up to the scheduler, who goes on is not.
		slices.SortFunc(waiting, func(a, b *actor) int { return slices.Index(actors, a) - slices.Index(actors, b) })
		i := s.chance.IntN(len(waiting))
		a := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		if a.done {
			continue
		}
		a.turn <- struct{}{}
		waiting = append(waiting, <-s.parked)
	}
}

// Four writers of random fences, some of which die midway, in five thousand
// orders: the fence in force never falls, a fence has one route, whoever is told
// nil was in force, and the highest that lives wins.
func TestHoweverWritersInterleaveTheFenceInForceNeverFalls(t *testing.T) {
	t.Parallel()
	runs := uint64(5000)
	if testing.Short() {
		runs = 1000
	}
	for seed := range runs {
		chance := rand.New(rand.NewPCG(seed, 1))
		s := &stage{t: t, chance: chance, parked: make(chan *actor), inForce: map[uint64]string{}}
		actors := make([]*actor, 4)
		for i := range actors {
			actors[i] = &actor{stage: s, fence: 1 + chance.Uint64N(6), weight: traffic.Weight(chance.Uint32N(3)), dies: -1, turn: make(chan struct{})}
			if chance.IntN(3) == 0 {
				actors[i].dies = chance.IntN(12)
			}
		}
		// The first of them is in force when the others begin.
		actors[0].dies = -1
		s.play(actors[:1])
		s.play(actors[1:])
		s.judge(actors)
		if t.Failed() {
			for _, a := range actors {
				t.Logf("fence %d, weight %d, dies %d: %v", a.fence, a.weight, a.dies, a.err)
			}
			t.Fatalf("with seed %d; left is %v", seed, s.list)
		}
	}
}

func (s *stage) judge(actors []*actor) {
	best := slices.MaxFunc(actors, func(a, b *actor) int { return int(a.fence) - int(b.fence) })
	for _, a := range actors {
		value := fmt.Sprintf("%d|a|b|-|,", a.weight)
		was := s.inForce[a.fence] == value
		switch {
		case errors.Is(a.err, errDied):
		case a.err == nil && !was:
			s.t.Errorf("fence %d was told nil and never was in force", a.fence)
		case errors.Is(a.err, traffic.ErrConflict) && was:
			s.t.Errorf("fence %d was told of a conflict, and its route was in force", a.fence)
		case errors.Is(a.err, traffic.ErrFenced) && a.fence == best.fence:
			s.t.Errorf("the highest fence was told that it is stale")
		case a.err != nil && !errors.Is(a.err, traffic.ErrFenced) && !errors.Is(a.err, traffic.ErrConflict):
			s.t.Errorf("fence %d: %v", a.fence, a.err)
		}
	}
	rival := func(a *actor) bool { return a.fence == best.fence && a.weight != best.weight }
	if !slices.ContainsFunc(actors, rival) && best.err != nil && !errors.Is(best.err, errDied) {
		s.t.Errorf("the highest fence was refused: %v", best.err)
	}
	alive := slices.DeleteFunc(slices.Clone(actors), func(a *actor) bool { return a.err != nil })
	if len(alive) == 0 {
		s.t.Errorf("nobody was accepted")
		return
	}
	for _, a := range alive {
		if s.highest < a.fence {
			s.t.Errorf("fence %d was accepted, and %d is in force", a.fence, s.highest)
		}
	}
}
