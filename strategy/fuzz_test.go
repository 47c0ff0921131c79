// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/internal/race"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// FuzzStep drives the machine through worlds in which anything may happen
// between two turns, and holds every turn to the promises.
func FuzzStep(f *testing.F) {
	for plan := range plans() {
		for seed := range uint64(4) {
			f.Add(seed*7919+uint64(plan), uint8(plan), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24})
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, plan uint8, events []byte) {
		if len(events) > 400 {
			events = events[:400]
		}
		all := plans()
		newChaos(t, seed, all[int(plan)%len(all)]).live(events)
	})
}

// TestRandomWorldsKeepThePromises is FuzzStep's law over many seeds, with the
// seed named when it is broken.
func TestRandomWorldsKeepThePromises(t *testing.T) {
	t.Parallel()
	ends := map[strategy.Phase]int{}
	seeds := uint64(800)
	if race.Enabled {
		seeds = 150
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		events := make([]byte, 60+r.IntN(200))
		for i := range events {
			events[i] = byte(r.Uint32())
			if r.IntN(3) > 0 {
				events[i] = 255 // nothing happens: most turns are quiet
			}
		}
		all := plans()
		c := newChaos(t, seed, all[int(seed)%len(all)])
		c.live(events)
		ends[c.State.Phase]++
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if race.Enabled {
		return // too few worlds to have been everywhere
	}
	for _, phase := range []strategy.Phase{strategy.Promoted, strategy.RolledBack, strategy.RollbackFailed, strategy.Progressing, strategy.RollingBack, strategy.Partial} {
		if ends[phase] == 0 {
			t.Errorf("no world ended %v: %v; the law was not tried there", phase, ends)
		}
	}
}

func plans() []strategy.Plan {
	dial := func(target string, w float64) strategy.Dial {
		return strategy.Dial{Target: target, Split: traffic.Split{Candidate: traffic.Percent(w)}}
	}
	must := func(p strategy.Plan, err error) strategy.Plan {
		if err != nil {
			panic(err)
		}
		return p
	}
	return []strategy.Plan{
		must(strategy.Canary{Target: "a", Hold: time.Minute, Checks: []string{"errors"}, Watch: []string{"watched"}}.Plan()),
		must(strategy.Canary{
			Target: "a", Weights: strategy.Linear(traffic.Percent(30)), Hold: time.Minute, Min: 10 * time.Second, Checks: []string{"errors", "latency"},
			Before: []string{"scale"}, Back: strategy.Back{Stride: traffic.Percent(25), Pace: 20 * time.Second, Before: []string{"room"}},
		}.Plan()),
		must(strategy.BlueGreen{
			Target: "a", Before: []string{"deploy", "warm"}, PreviewHold: time.Minute, Approval: &strategy.Approval{Timeout: time.Hour},
			Checks: []string{"errors"}, Bake: 2 * time.Minute, Release: []string{"contract"}, OneWay: true,
		}.Plan()),
		must(strategy.Rings{Rings: []strategy.Group{{Name: "team", Targets: []string{"a"}}, {Name: "all", Targets: []string{"b", "c"}}}, Bake: time.Minute, Checks: []string{"errors"}, OnFail: strategy.ThisLane}.Plan()),
		must(strategy.Progressive{
			Waves:   []strategy.Group{{Name: "one", Targets: []string{"a"}}, {Name: "rest", Targets: []string{"b", "c", "d"}}},
			Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, MaxParallel: 2, Hold: time.Minute, Checks: []string{"errors"}, Watch: []string{"watched"},
		}.Plan()),
		{Lanes: []strategy.Lane{{Name: "l", Steps: []strategy.Step{
			{Set: []strategy.Dial{dial("a", 50), dial("b", 20)}, Hold: time.Minute, Checks: []string{"errors"}},
			{Set: []strategy.Dial{dial("a", 100), dial("b", 100)}, Hold: time.Minute},
			{Before: []string{"copy"}, Set: []strategy.Dial{dial("a", 0)}, Hold: time.Minute, Checks: []string{"errors"}, Commit: true},
		}}}, OnTimeout: strategy.HoldAndPage},
	}
}

// chaos is a world in which anything may happen.
type chaos struct {
	*strategytest.World
	t    *testing.T
	r    *rand.Rand
	plan strategy.Plan
	// version counts candidates.
	version int
	digest  string
	copied  strategy.Plan
}

func newChaos(t *testing.T, seed uint64, plan strategy.Plan) *chaos {
	t.Helper()
	c := &chaos{World: strategytest.NewWorld(), t: t, r: rand.New(rand.NewPCG(seed, 2)), plan: plan, version: 1}
	for _, name := range []string{"a", "b", "c", "d"} {
		target := c.Target(name)
		switch c.r.IntN(6) {
		case 0:
			target.Caps.Lag = time.Duration(c.r.IntN(90)) * time.Second
		case 1:
			target.Caps.Fencing = false
		case 2:
			target.Caps.Evidence = traffic.Written
		case 3:
			target.Caps.Granularity = traffic.Percent(1)
		}
	}
	c.start()
	return c
}

// start asks for a next candidate; a refusal is as good as none.
func (c *chaos) start() {
	stable := strategy.Revision{Version: "v1"}
	if c.State.LastGood.Version != "" {
		stable = c.State.LastGood
	}
	c.version++
	override := strategy.Override{}
	if c.r.IntN(2) == 0 {
		override.By = "ann"
	}
	_ = c.World.Start(strategy.Release{Stable: stable, Candidate: strategy.Revision{Version: fmt.Sprintf("v%d", c.version)}}, c.plan, override)
}

func (c *chaos) live(events []byte) {
	for _, e := range events {
		c.happen(e)
		if c.State.Phase == strategy.Idle {
			c.start()
			continue
		}
		c.turn()
		if c.t.Failed() {
			return
		}
	}
}

var (
	verdicts = []analysis.Verdict{analysis.Pending, analysis.Pass, analysis.Pass, analysis.Pass, analysis.Safe, analysis.Fail, analysis.Inconclusive}
	names    = []string{"a", "b", "c", "d"}
)

// happen changes something about the world.
func (c *chaos) happen(e byte) {
	target := c.Target(names[c.r.IntN(len(names))])
	percent := func() traffic.Weight { return traffic.Percent(float64(c.r.IntN(101))) }
	switch e % 32 {
	case 0, 1, 2:
		c.Verdicts[[]string{"errors", "latency", "watched"}[c.r.IntN(3)]] = verdicts[c.r.IntN(len(verdicts))]
	case 3:
		target.Seen.Room = traffic.Room{Known: true, Stable: percent(), Candidate: percent()}
	case 4:
		target.Seen.Room = traffic.Plenty
	case 5:
		target.Seen.Room = traffic.Room{}
	case 6:
		target.Blind = !target.Blind
	case 7:
		target.Broken = !target.Broken
	case 8:
		target.Seen.Route.Split.Candidate = percent()
	case 9:
		target.Seen.Route = traffic.Route{}
	case 10:
		target.Seen.Evidence = traffic.Evidence(c.r.IntN(4))
	case 11:
		c.Deaf = !c.Deaf
	case 12:
		c.Jump(time.Duration(c.r.IntN(7200)-3600) * time.Second)
	case 13:
		c.Unknown = !c.Unknown
	case 14:
		c.Intent.Hold = !c.Intent.Hold
	case 15:
		c.Intent.Abort, c.Intent.By = c.r.IntN(3) == 0, "ann"
	case 16:
		c.Intent.Promote = c.r.IntN(3) == 0
	case 17:
		c.Intent.Resume = c.State.Hold.ID
	case 18:
		c.Tasks["scale"] = strategy.TaskStatus(c.r.IntN(5))
	case 19:
		c.Tasks[[]string{"deploy", "warm", "contract", "copy", "room"}[c.r.IntN(5)]] = strategy.TaskStatus(c.r.IntN(5))
	case 20:
		clear(c.Tasks)
	case 21:
		c.Blocks = nil
		if c.r.IntN(2) == 0 {
			c.Blocks = []strategy.Block{{Why: "freeze", Until: c.Now.Add(time.Hour)}}
		}
	case 22:
		c.start()
	case 23:
		c.approve()
	case 24:
		if target.Caps.Fencing && c.r.IntN(3) == 0 {
			target.Seen.Fence += uint64(c.r.IntN(3))
		}
	default:
		c.Now = c.Now.Add(time.Duration(c.r.IntN(40_000)) * time.Millisecond)
	}
}

func (c *chaos) approve() {
	for i, lane := range c.State.Plan.Plan().Lanes {
		step := strategy.StepRef{Lane: lane.Name, Step: lane.Steps[c.State.Lanes[i].Step].Name}
		c.Intent.Approvals = append(c.Intent.Approvals, strategy.Grant{StepRef: step, Digest: c.State.Plan.Digest(), By: "ann"})
	}
}

// turn is one Step, held to the promises.
func (c *chaos) turn() {
	before, o := c.State, c.Observe()
	d, err := c.Machine.Step(c.Now, before, o)
	if err != nil {
		c.t.Errorf("Step: %v", err)
		return
	}
	again, _ := c.Machine.Step(c.Now, before, o)
	if !reflect.DeepEqual(d, again) {
		c.t.Errorf("the same inputs gave another decision:\n%+v\n%+v", d, again)
	}
	c.law(before, d, o)
	c.ignorance(before)
	if c.r.IntN(16) == 0 {
		c.survivesJSON(before, d, o)
		text := encode(c.t, before)
		scribble(&again.State)
		if encode(c.t, before) != text {
			c.t.Errorf("the state that was given shares something with the one returned")
		}
	}
	c.State = d.State
	if !c.Deaf {
		c.Act(d.Effects)
	}
}

// scribble writes over everything in a state that can be written to.
func scribble(s *strategy.State) {
	for i := range s.Lanes {
		s.Lanes[i] = strategy.LaneState{Status: 99}
	}
	for i := range s.Targets {
		clear(s.Targets[i].Route.Split.Match)
		s.Targets[i] = strategy.TargetState{Name: "scribbled"}
	}
	clear(s.Checks)
	clear(s.Tasks)
	clear(s.Quarantine)
	clear(s.Intent.Approvals)
	clear(s.Intent.Waive)
	clear(s.Next.Caps)
	s.Plan.Plan().Lanes[0].Steps[0].Name = "scribbled"
}

func encode(t *testing.T, s strategy.State) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("the state cannot be saved: %v", err)
	}
	return string(data)
}

func (c *chaos) survivesJSON(before strategy.State, d strategy.Decision, o strategy.Observation) {
	read, err := strategy.DecodeState([]byte(encode(c.t, before)))
	if err != nil {
		c.t.Errorf("the state does not survive JSON: %v", err)
		return
	}
	again, err := c.Machine.Step(c.Now, read, o)
	if err != nil || encode(c.t, again.State) != encode(c.t, d.State) || !reflect.DeepEqual(again.Effects, d.Effects) {
		c.t.Errorf("after JSON the decision is another one: %v", err)
	}
}

// law is what every decision must keep.
func (c *chaos) law(before strategy.State, d strategy.Decision, o strategy.Observation) {
	after := d.State
	newRun := after.Run != before.Run
	if n := after.Rev - before.Rev; n > 1 {
		c.t.Errorf("Rev went from %d to %d", before.Rev, after.Rev)
	}
	if n := after.Seq - before.Seq; n > 1 && !newRun {
		c.t.Errorf("Seq went from %d to %d", before.Seq, after.Seq)
	}
	if after.Rev == before.Rev && !reflect.DeepEqual(after, before) {
		c.t.Errorf("the state changed without a new Rev")
	}
	if d.Transition.Kind != 0 && after.Rev == before.Rev {
		c.t.Errorf("transition %v is not saved", d.Transition.Kind)
	}
	final := before.Phase == strategy.Promoted || before.Phase == strategy.RolledBack
	if final && !newRun && after.Phase != before.Phase {
		c.t.Errorf("%v became %v", before.Phase, after.Phase)
	}
	if after.Active() && !d.Wake.After(c.Now) && d.Transition.Kind == 0 {
		c.t.Errorf("asked to be woken at once although nothing happened")
	}
	if after.Active() && d.Wake.After(c.Now.Add(strategy.Attention)) {
		c.t.Errorf("asked to be woken after %v", d.Wake.Sub(c.Now))
	}
	if !newRun {
		c.weights(before, after)
	}
	c.effects(after, d.Effects, o)
	if after.Phase == strategy.RolledBack && before.Phase != strategy.RolledBack {
		c.arrived(after, o)
	}
}

// frozen is a run's plan, copied once a run.
func (c *chaos) frozen(f strategy.Frozen) strategy.Plan {
	if c.digest != f.Digest() {
		c.digest, c.copied = f.Digest(), f.Plan()
	}
	return c.copied
}

// weights holds the commanded weights to the plan.
func (c *chaos) weights(before, after strategy.State) {
	plan := c.frozen(after.Plan)
	for i, now := range after.Targets {
		was := before.Targets[i]
		lane := slices.IndexFunc(plan.Lanes, func(l strategy.Lane) bool {
			return slices.ContainsFunc(l.Steps, func(s strategy.Step) bool {
				return slices.ContainsFunc(s.Set, func(d strategy.Dial) bool { return d.Target == now.Name })
			})
		})
		position := after.Lanes[lane].Step + 1
		if after.Lanes[lane].Stage == strategy.Preparing {
			position-- // the step's dials are yet to be turned
		}
		var step traffic.Weight
		for _, s := range plan.Lanes[lane].Steps[:position] {
			for _, d := range s.Set {
				if d.Target == now.Name {
					step = d.Split.Candidate
				}
			}
		}
		w, old := now.Route.Split.Candidate, was.Route.Split.Candidate
		home := after.Lanes[lane].Status == strategy.Returning || after.Lanes[lane].Status == strategy.Home
		switch {
		case home && w > old:
			c.t.Errorf("target %s rose from %v to %v on the way home", now.Name, old, w)
		case !home && w < old && !after.Committed && after.Lanes[lane].Stage != strategy.Arming:
			c.t.Errorf("target %s fell from %v to %v before any commit", now.Name, old, w)
		case !home && w > step && !after.Committed:
			c.t.Errorf("target %s is asked for %v, above the step's %v", now.Name, w, step)
		}
	}
}

// effects holds every write to what is saved and to the room that was seen.
func (c *chaos) effects(after strategy.State, effects []strategy.Effect, o strategy.Observation) {
	for _, e := range effects {
		set, ok := e.(*strategy.SetRoute)
		if !ok {
			continue
		}
		target, _ := after.Target(set.Target)
		if set.Fence != target.Fence || !set.Route.Equal(target.Route) || set.Fence > after.Seq {
			c.t.Errorf("effect %+v does not follow from the state", set)
		}
		seen, ok := o.Seen[set.Target]
		was, is := seen.Route.Split.Candidate, set.Route.Split.Candidate
		if seen.Route.Arms != set.Route.Arms {
			was = 0
		}
		switch {
		case !ok && !set.Home:
			c.t.Errorf("target %s is written to without having been seen", set.Target)
		case !ok:
		case is > was && !set.Home && (!seen.Room.Known || seen.Room.Candidate < is):
			c.t.Errorf("target %s is raised to %v, room %+v", set.Target, is, seen.Room)
		case is < was && seen.Room.Known && seen.Room.Stable < traffic.Full-is:
			c.t.Errorf("target %s is lowered to %v, room %+v", set.Target, is, seen.Room)
		case is < was && !seen.Room.Known && !set.Home:
			c.t.Errorf("target %s is lowered to %v, and the room is not known", set.Target, is)
		}
	}
}

// arrived holds a run that says it is home to what was seen.
func (c *chaos) arrived(after strategy.State, o strategy.Observation) {
	for _, target := range after.Targets {
		if target.Fence == 0 {
			continue
		}
		seen, ok := o.Seen[target.Name]
		if target.Route.Split.Touches() {
			c.t.Errorf("rolled back with target %s asked for %v", target.Name, target.Route)
		}
		if !ok || seen.Route.Split.Touches() || !seen.Route.Equal(target.Route) {
			c.t.Errorf("rolled back with target %s showing %v", target.Name, seen.Route)
		}
	}
}

// ignorance holds the machine to standing still when it knows nothing.
func (c *chaos) ignorance(before strategy.State) {
	d, err := c.Machine.Step(c.Now, before, strategy.Observation{})
	if err != nil {
		c.t.Errorf("Step without an observation: %v", err)
		return
	}
	switch d.Transition.Kind {
	case strategy.DialsTurned, strategy.StepEntered, strategy.StepSettled, strategy.LaneArmed, strategy.TaskStarted, strategy.LaneDone:
		if before.Phase == strategy.Progressing {
			c.t.Errorf("moved forward in ignorance: %v", d.Transition.Kind)
		}
	}
	for i := range d.State.Lanes {
		if d.State.Run == before.Run && (d.State.Lanes[i].Step > before.Lanes[i].Step || d.State.Lanes[i].Held > before.Lanes[i].Held) {
			c.t.Errorf("lane %d moved in ignorance", i)
		}
	}
}
