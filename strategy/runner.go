// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// Wiring is what a service's plans refer to by name.
type Wiring struct {
	Routers map[string]traffic.Router
	Judges  map[string]analysis.Judge
	Tasks   map[string]Task
}

// Config is what a Runner is made of.
type Config struct {
	// Store keeps the states. Required.
	Store Store
	// Wire gives the wiring of a service; Fixed is one for all. It is asked
	// every turn, so that it may change between two. Required.
	Wire func(ctx context.Context, service string) (Wiring, error)
	// Intent gives the operator's will, for those who keep it elsewhere, such as
	// in a Kubernetes object. An error means not known. nil keeps it in the
	// state, where the Runner's Hold, Resume, Abort, Promote, Waive and Approve put it.
	Intent func(ctx context.Context, service string) (Intent, error)
	// Blocks gives reasons not to move forward: freeze windows, locks, budgets.
	// An error blocks too. nil is none.
	Blocks func(ctx context.Context, service string) ([]Block, error)
	// Observers are told every transition after it was saved and acted on, at
	// least once: after a restart the recent ones are told again, so go by
	// (service, Rev). One that fails or hangs does not hold up the rollout.
	Observers []Observer
	// Log gets one line a transition and a warning a failed effect; nil is silent.
	Log *slog.Logger
	// Machine decides. The zero Machine is fine.
	Machine Machine
	// Poll is how often the world is looked at when nothing is due. 0 is 5 seconds.
	Poll time.Duration
	// CallTimeout bounds each call of a router, judge, task, store or observer.
	// 0 is 10 seconds.
	CallTimeout time.Duration
	// Attempts is how often an effect is tried in one turn, with growing, jittered
	// pauses. 0 is 3. What still fails is asked for again next turn.
	Attempts int
	// SingleWriter is your word that nothing but this Runner, and only one of it,
	// turns the routers that cannot refuse a stale writer.
	SingleWriter bool
}

// Fixed is one wiring for every service.
func Fixed(w Wiring) func(context.Context, string) (Wiring, error) {
	return func(context.Context, string) (Wiring, error) { return w, nil }
}

const (
	defaultPoll        = 5 * time.Second
	defaultCallTimeout = 10 * time.Second
	defaultAttempts    = 3
)

// Runner carries rollouts out: it loads, observes, steps, saves, acts and tells,
// in that order. It is safe for concurrent use, and several Runners may share a
// Store: the one that was overtaken is refused by the store, or by the target.
type Runner struct {
	cfg Config

	mu       sync.Mutex
	services map[string]*attention
}

// attention is what a Runner remembers of a service between turns. None of it
// matters to correctness: a new Runner knows nothing and goes on.
type attention struct {
	turn  sync.Mutex    // one turn at a time in this process
	nudge chan struct{} // somebody gave an order

	mu sync.Mutex
	// interrupt ends the look that is under way, nil if none is.
	interrupt context.CancelFunc
	// watched is since when this Runner has looked without a gap, last the end of it.
	watched, last time.Time

	logged    uint64 // guarded by turn, as is what follows
	observers []told
}

// NewRunner checks the config, and names the field that is missing.
func NewRunner(cfg Config) (*Runner, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("strategy: Config.Store is nil; use MemoryStore in tests and OpenFileStore otherwise")
	case cfg.Wire == nil:
		return nil, errors.New("strategy: Config.Wire is nil; use Fixed for one wiring")
	case cfg.Poll < 0 || cfg.CallTimeout < 0 || cfg.Attempts < 0:
		return nil, errors.New("strategy: Config.Poll, CallTimeout and Attempts must not be negative; 0 is the default")
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = defaultCallTimeout
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = defaultAttempts
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{cfg: cfg, services: map[string]*attention{}}, nil
}

// Request asks for a run.
type Request struct {
	Release Release
	Plan    Plan
	// Override is needed to try a quarantined revision again, or to start right
	// after an automatic return.
	Override Override
}

// Start begins a run, or queues it behind the one under way, which then goes
// home. It is safe to repeat: asking for the release that is under way, or was
// promoted and is in force, changes nothing; a run keeps the plan it began with.
//
// The plan is held against the wiring first: what a router cannot do, and every
// check or task that is not wired, is a *PlanError. The release may be refused
// with ErrInvalidRelease, ErrQuarantined, ErrFlapping, ErrNotHome or ErrUnknown.
func (r *Runner) Start(ctx context.Context, service string, req Request) (State, error) {
	wiring, err := r.cfg.Wire(ctx, service)
	if err != nil {
		return State{}, fmt.Errorf("strategy: %s: wiring: %w", service, err)
	}
	caps := make(map[string]traffic.Caps, len(wiring.Routers))
	for name, router := range wiring.Routers {
		caps[name] = router.Caps()
	}
	plan, adjusted, err := Accept(req.Plan, caps, r.cfg.SingleWriter)
	if err != nil {
		return State{}, err
	}
	if err := wired(plan, wiring); err != nil {
		return State{}, err
	}
	for _, a := range adjusted {
		r.cfg.Log.Info("weight adjusted to the router", "service", service, "lane", a.Lane, "step", a.Step, "target", a.Target, "wanted", a.Wanted, "given", a.Given)
	}
	launch := Launch{Service: service, Release: req.Release, Plan: plan, Caps: plan.only(caps), Override: req.Override}
	return r.amend(ctx, service, func(s State) (State, Transition, error) {
		o := Observation{Seen: r.see(ctx, wiring, plan.targets())}
		return r.cfg.Machine.Start(time.Now(), s, launch, o)
	})
}

func (f Frozen) targets() []string {
	names := make([]string, len(f.in.targets))
	for i := range f.in.targets {
		names[i] = f.in.targets[i].name
	}
	return names
}

// only is the caps of the plan's own targets.
func (f Frozen) only(caps map[string]traffic.Caps) map[string]traffic.Caps {
	caps = maps.Clone(caps)
	maps.DeleteFunc(caps, func(name string, _ traffic.Caps) bool {
		for i := range f.in.targets {
			if f.in.targets[i].name == name {
				return false
			}
		}
		return true
	})
	return caps
}

// wired refuses a plan that names checks or tasks nobody answers to.
func wired(plan Frozen, w Wiring) error {
	p, v := plan.in.plan, validator{}
	check := func(field string, names []string) {
		for _, n := range names {
			if w.Judges[n] == nil {
				v.add(field, fmt.Sprintf("there is no judge %q", n), "wire one, or mend the name")
			}
		}
	}
	task := func(field string, names []string) {
		for _, n := range names {
			if w.Tasks[n] == nil {
				v.add(field, fmt.Sprintf("there is no task %q", n), "wire one, or mend the name")
			}
		}
	}
	check("watch", p.Watch)
	task("back.before", p.Back.Before)
	for _, lane := range p.Lanes {
		for _, step := range lane.Steps {
			v.laneName, v.step = lane.Name, step.Name
			check("checks", step.Checks)
			task("before", step.Before)
		}
	}
	if len(v.problems) > 0 {
		return &PlanError{v.problems}
	}
	return nil
}

// amend changes a state outside of a turn, by compare-and-swap. change returns
// no transition if there is nothing to save.
func (r *Runner) amend(ctx context.Context, service string, change func(State) (State, Transition, error)) (State, error) {
	for {
		s, err := r.load(ctx, service)
		if err != nil {
			return State{}, err
		}
		next, t, err := change(s)
		if err != nil || t.Kind == 0 {
			return s, err
		}
		switch err := r.save(ctx, service, s.Rev, next, t); {
		case err == nil:
			r.nudge(service)
			return next, nil
		case !errors.Is(err, ErrConflict) || ctx.Err() != nil:
			return State{}, err
		}
	}
}

func (r *Runner) load(ctx context.Context, service string) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	s, err := r.cfg.Store.Load(ctx, service)
	if err != nil {
		return State{}, fmt.Errorf("strategy: %s: load: %w", service, err)
	}
	return s, nil
}

func (r *Runner) save(ctx context.Context, service string, prev uint64, next State, log ...Transition) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	if err := r.cfg.Store.Save(ctx, service, prev, next, log...); err != nil {
		return fmt.Errorf("strategy: %s: save: %w", service, err)
	}
	return nil
}

// attention is what this Runner remembers of the service, from nothing at first.
func (r *Runner) attention(service string) *attention {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.services[service]
	if a == nil {
		a = &attention{nudge: make(chan struct{}, 1)}
		for range r.cfg.Observers {
			a.observers = append(a.observers, told{busy: make(chan struct{}, 1)})
		}
		r.services[service] = a
	}
	return a
}

// nudge wakes a Run that waits, and ends a look that is under way: what it would
// find out is about a state that has changed. An order need not wait for a judge
// that hangs.
func (r *Runner) nudge(service string) {
	a := r.attention(service)
	a.mu.Lock()
	if a.interrupt != nil {
		a.interrupt()
	}
	a.mu.Unlock()
	select {
	case a.nudge <- struct{}{}:
	default:
	}
}
