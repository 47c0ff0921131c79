// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"context"
	"iter"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// The types here are what a simulated process sees of the world: the real
// thing, behind calls that may fail, stall, lose their reply or be its last.

// answer makes a call that reads. The channel keeps an answer that comes too
// late apart from a caller that has gone on.
func answer[T any](ctx context.Context, p *process, ask func(context.Context) (T, error)) (T, error) {
	result := make(chan T, 1)
	err := p.call(ctx, false, func(ctx context.Context) error {
		v, err := ask(ctx)
		result <- v
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return <-result, nil
}

type faultyStore struct {
	p     *process
	store strategy.Store
}

func (s *faultyStore) Load(ctx context.Context, service string) (strategy.State, error) {
	return answer(ctx, s.p, func(ctx context.Context) (strategy.State, error) { return s.store.Load(ctx, service) })
}

func (s *faultyStore) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	return s.p.call(ctx, true, func(ctx context.Context) error { return s.store.Save(ctx, service, prev, next, log...) })
}

func (s *faultyStore) List(ctx context.Context) iter.Seq2[string, error] { return s.store.List(ctx) }

type faultyRouter struct {
	p      *process
	name   string
	router traffic.Router
}

func (r *faultyRouter) Caps() traffic.Caps { return r.router.Caps() }

func (r *faultyRouter) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	return r.p.call(ctx, true, func(ctx context.Context) error { return r.router.Apply(ctx, fence, route) })
}

func (r *faultyRouter) Observe(ctx context.Context) (traffic.Seen, error) {
	return answer(ctx, r.p, r.router.Observe)
}

// judge fails at the step where the simulation says so, and passes elsewhere.
func (p *process) judge(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
	verdict := analysis.Pass
	for _, lane := range p.m.Plan.Lanes {
		if bad := p.m.Bad; lane.Name == c.Lane && bad.Lane == c.Lane && lane.Steps[c.Step].Name == bad.Step {
			verdict = analysis.Fail
		}
	}
	if err := p.call(ctx, false, func(context.Context) error { return nil }); err != nil {
		return analysis.Finding{}, err
	}
	return c.Finding(verdict, verdict.String()), nil
}

// faultyTask is done as soon as it is begun.
type faultyTask struct{ p *process }

func (t *faultyTask) Status(ctx context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	return answer(ctx, t.p, func(context.Context) (strategy.TaskStatus, error) {
		t.p.m.mu.Lock()
		defer t.p.m.mu.Unlock()
		if r.Back && t.p.m.undone[r.TaskID] || !r.Back && t.p.m.begun[r.TaskID] {
			return strategy.TaskDone, nil
		}
		return strategy.TaskTodo, nil
	})
}

func (t *faultyTask) Do(ctx context.Context, r strategy.Ref) error {
	return t.p.call(ctx, true, func(context.Context) error {
		t.p.m.mu.Lock()
		defer t.p.m.mu.Unlock()
		t.p.m.begun[r.TaskID] = true
		return nil
	})
}

func (t *faultyTask) Undo(ctx context.Context, r strategy.Ref) error {
	return t.p.call(ctx, true, func(context.Context) error {
		t.p.m.mu.Lock()
		defer t.p.m.mu.Unlock()
		t.p.m.undone[r.TaskID] = true
		return nil
	})
}
