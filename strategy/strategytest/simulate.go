// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// Simulation is one rollout, carried out by real Runners over a MemoryStore and
// traffic.Memory routers under a fake clock, while things go wrong.
type Simulation struct {
	// Seed reproduces everything that is drawn; what the scheduler interleaves
	// with several Runners is not drawn.
	Seed uint64
	// Plan is carried out from "v1" to "v2".
	Plan strategy.Plan
	// Bad is the step at which the candidate begins to fail its checks; the zero
	// StepRef is never. It depends on the position alone, so that a run with
	// faults can be held against one without.
	Bad strategy.StepRef
	// Runners is how many work at the same time. 0 is one.
	Runners int
	// Crashes are calls, counted over the whole simulation from 1, at which the
	// calling process dies: before the call has any effect, or with a minus after it.
	Crashes []int
	// Odds are the chances of what else goes wrong, per call.
	Odds Odds
}

// Odds are chances from 0 to 1 of what may happen at every call that a Runner
// makes. The zero Odds are a world without faults.
type Odds struct {
	// Crash ends the process, half of the time before the call and half after
	// it. Another takes its place after a moment.
	Crash float64
	// Lose loses the reply: the call has its effect, and returns an error.
	Lose float64
	// Fail returns an error without any effect.
	Fail float64
	// Stall holds the call up for as much as MaxStall before it has its effect,
	// even if the caller has given up by then: a write that arrives late.
	Stall    float64
	MaxStall time.Duration
	// Drift has somebody else change a route.
	Drift float64
}

// Outcome is how a Simulation ended.
type Outcome struct {
	Final strategy.State
	// Routes are the distinct routes each target accepted from the Runners, in order.
	Routes map[string][]traffic.Route
	// Calls counts what the Runners called, Writes lists which of the calls were
	// writes, Crashed, Drifted and Refused what happened.
	Calls, Crashed, Drifted, Refused int
	Writes                           []int
	// Lasted is in the time of the simulation.
	Lasted time.Duration
}

// SimulationLimit bounds a simulation in its own time.
const SimulationLimit = 14 * 24 * time.Hour

// ErrSimulation is what a call returns that a simulation made to fail.
var ErrSimulation = errors.New("strategytest: simulated fault")

// Simulate carries a simulation out. It fails t if the rollout has not ended
// after SimulationLimit, and names the seed.
func Simulate(t *testing.T, s Simulation) Outcome {
	t.Helper()
	var out Outcome
	synctest.Test(t, func(t *testing.T) { out = newSimulator(t, s).run(t) })
	return out
}

type simulator struct {
	Simulation
	store   *strategy.MemoryStore
	routers map[string]*traffic.Memory

	mu      sync.Mutex
	r       *rand.Rand
	out     Outcome
	done    atomic.Bool
	begun   map[strategy.TaskID]bool
	undone  map[strategy.TaskID]bool
	targets []string
	late    sync.WaitGroup
}

const service = "service"

func newSimulator(t *testing.T, s Simulation) *simulator {
	t.Helper()
	m := &simulator{
		Simulation: s, store: &strategy.MemoryStore{}, routers: map[string]*traffic.Memory{}, r: rand.New(rand.NewPCG(s.Seed, 3)),
		begun: map[strategy.TaskID]bool{}, undone: map[strategy.TaskID]bool{},
	}
	frozen, err := strategy.Freeze(s.Plan)
	if err != nil {
		t.Fatalf("seed %d: %v", s.Seed, err)
	}
	m.Plan = frozen.Plan() // every step named
	for _, lane := range m.Plan.Lanes {
		for _, step := range lane.Steps {
			for _, dial := range step.Set {
				if m.routers[dial.Target] == nil {
					m.routers[dial.Target] = traffic.NewMemory(traffic.Options{})
					m.targets = append(m.targets, dial.Target)
				}
			}
		}
	}
	return m
}

func (m *simulator) run(t *testing.T) Outcome {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), SimulationLimit)
	defer cancel()
	healthy := m.process(nil)
	release := strategy.NewRelease("v1", "v2")
	if _, err := healthy.runner(t).Start(ctx, service, strategy.Request{Release: release, Plan: m.Plan}); err != nil {
		t.Fatalf("seed %d: %v", m.Seed, err)
	}
	var wg sync.WaitGroup
	for range max(m.Runners, 1) {
		wg.Go(func() { m.live(ctx, t) })
	}
	wg.Wait()
	m.late.Wait()
	final, err := m.store.Load(t.Context(), service)
	if err != nil || final.Active() {
		t.Errorf("seed %d: the rollout did not end: %v at rev %d, %v", m.Seed, final.Phase, final.Rev, err)
	}
	m.out.Final, m.out.Lasted, m.out.Routes = final, time.Since(began), map[string][]traffic.Route{}
	for name, router := range m.routers {
		for _, a := range router.History() {
			if have := m.out.Routes[name]; len(have) == 0 || !have[len(have)-1].Equal(a.Route) {
				m.out.Routes[name] = append(have, a.Route)
			}
		}
	}
	return m.out
}

// live is one seat at which a process runs; when it dies another one sits down.
func (m *simulator) live(ctx context.Context, t *testing.T) {
	t.Helper()
	for ctx.Err() == nil && !m.done.Load() {
		life, kill := context.WithCancel(ctx)
		p := m.process(kill)
		final, err := p.runner(t).Run(life, service)
		kill()
		if life.Err() == nil || !p.dead.Load() && !final.Active() && final.Phase != strategy.Idle {
			m.done.Store(true)
			return
		}
		_ = err
		time.Sleep(m.pause(10 * time.Second))
	}
}

func (m *simulator) pause(most time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.r.Int64N(int64(most) + 1))
}

// process is a program that may die at any call. After that nothing it does has
// any effect.
type process struct {
	m      *simulator
	faulty bool
	dead   atomic.Bool
	die    func()
}

// process is a new one; without kill it is one that nothing happens to.
func (m *simulator) process(kill func()) *process {
	return &process{m: m, faulty: kill != nil, die: kill}
}

func (p *process) runner(t *testing.T) *strategy.Runner {
	t.Helper()
	w := strategy.Wiring{Routers: map[string]traffic.Router{}, Judges: map[string]analysis.Judge{}, Tasks: map[string]strategy.Task{}}
	for name, router := range p.m.routers {
		w.Routers[name] = &faultyRouter{p, name, router}
	}
	names := func(checks, tasks []string) {
		for _, n := range checks {
			w.Judges[n] = analysis.JudgeFunc(p.judge)
		}
		for _, n := range tasks {
			w.Tasks[n] = &faultyTask{p}
		}
	}
	names(p.m.Plan.Watch, p.m.Plan.Back.Before)
	for _, lane := range p.m.Plan.Lanes {
		for _, step := range lane.Steps {
			names(step.Checks, step.Before)
		}
	}
	r, err := strategy.NewRunner(strategy.Config{Store: &faultyStore{p, p.m.store}, Wire: strategy.Fixed(w), Poll: strategy.Attention})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fate is what happens at one call.
type fate struct {
	before, after error // returned instead of, or after, the effect
	stall         time.Duration
	kill          bool
	drift         string
}

func (p *process) fate(write bool) fate {
	m := p.m
	if !p.faulty {
		return fate{}
	}
	if p.dead.Load() {
		return fate{before: ErrSimulation}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Calls++
	if write {
		m.out.Writes = append(m.out.Writes, m.out.Calls)
	}
	for _, at := range m.Crashes {
		switch m.out.Calls {
		case at:
			return fate{before: ErrSimulation, kill: true}
		case -at:
			return fate{after: ErrSimulation, kill: true}
		}
	}
	var f fate
	odds := m.Odds
	switch x := m.r.Float64(); {
	case x < odds.Crash/2:
		f = fate{before: ErrSimulation, kill: true}
	case x < odds.Crash:
		f = fate{after: ErrSimulation, kill: true}
	case x < odds.Crash+odds.Lose:
		f = fate{after: ErrSimulation}
	case x < odds.Crash+odds.Lose+odds.Fail:
		f = fate{before: ErrSimulation}
	case x < odds.Crash+odds.Lose+odds.Fail+odds.Stall:
		f = fate{stall: time.Duration(m.r.Int64N(int64(odds.MaxStall) + 1))}
	case x < odds.Crash+odds.Lose+odds.Fail+odds.Stall+odds.Drift:
		f = fate{drift: m.targets[m.r.IntN(len(m.targets))]}
	}
	return f
}

// call makes one call as its fate will have it.
func (p *process) call(ctx context.Context, write bool, do func(context.Context) error) error {
	f := p.fate(write)
	if f.drift != "" {
		p.m.driftAway(f.drift)
	}
	if f.kill {
		p.m.mu.Lock()
		p.m.out.Crashed++
		p.m.mu.Unlock()
		p.dead.Store(true)
		defer p.die()
	}
	if f.before != nil {
		return f.before
	}
	if f.stall > 0 {
		return p.late(ctx, f.stall, do)
	}
	if err := do(ctx); err != nil {
		if errors.Is(err, traffic.ErrFenced) || errors.Is(err, strategy.ErrConflict) {
			p.m.mu.Lock()
			p.m.out.Refused++
			p.m.mu.Unlock()
		}
		return err
	}
	return f.after
}

// late lets the call have its effect after a while, whether or not the caller waits.
func (p *process) late(ctx context.Context, stall time.Duration, do func(context.Context) error) error {
	done := make(chan error, 1)
	p.m.late.Go(func() {
		time.Sleep(stall)
		done <- do(context.WithoutCancel(ctx))
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// driftAway changes a route as somebody does who knows nothing of fences.
func (m *simulator) driftAway(target string) {
	seen, err := m.routers[target].Observe(context.Background())
	if err != nil || seen.Route.IsZero() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen.Route.Split.Candidate = traffic.Percent(float64(m.r.IntN(101)))
	m.out.Drifted++
	m.routers[target].Foreign(seen.Route, "somebody")
}
