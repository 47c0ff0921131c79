// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// attend is a look that an order ends early.
func (r *Runner) attend(ctx context.Context, a *attention, w Wiring, s State) Observation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.interrupt = cancel
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.interrupt = nil
		a.mu.Unlock()
	}()
	return r.look(ctx, w, s)
}

// look finds out what Step needs, everything at once: one call that hangs costs
// a turn no more than its own timeout. What fails is left out.
func (r *Runner) look(ctx context.Context, w Wiring, s State) Observation {
	needs := r.cfg.Machine.Needs(s)
	if s.Intent.Abort && s.Intent.Run == s.Run && !s.Committed && s.Phase == Progressing {
		needs.Checks, needs.Tasks = nil, nil // nothing they could say would change the way home
	}
	o := Observation{}
	var g group
	g.add(len(needs.Targets) > 0, func() { o.Seen = r.see(ctx, w, needs.Targets) })
	g.add(len(needs.Checks) > 0, func() { o.Findings = r.ask(ctx, w, s, needs.Checks) })
	g.add(len(needs.Tasks) > 0, func() { o.Tasks = r.status(ctx, w, needs.Tasks) })
	g.add(r.cfg.Intent == nil, func() { o.Intent = &s.Intent })
	g.add(r.cfg.Intent != nil, func() { o.Intent = r.intent(ctx, s.Service) })
	g.add(r.cfg.Blocks != nil, func() { o.Blocks = r.blocks(ctx, s.Service) })
	g.wait()
	return o
}

// watch is since when this Runner has looked without a gap, up to now. A clock
// that was set breaks it, as does a long silence: neither is time watched.
func (a *attention) watch(now time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	passed := now.Sub(a.last) // by the monotonic clock
	jumped := now.Round(0).Sub(a.last.Round(0)) - passed
	if a.last.IsZero() || passed > Attention || jumped.Abs() > time.Second {
		a.watched = now
	}
	a.last = now
	return a.watched
}

// since is what watch last said.
func (a *attention) since() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watched
}

// group runs functions side by side, and a single one in place.
type group struct{ todo []func() }

func (g *group) add(when bool, f func()) {
	if when {
		g.todo = append(g.todo, f)
	}
}

func (g *group) wait() {
	if len(g.todo) == 0 {
		return
	}
	var wg sync.WaitGroup
	for _, f := range g.todo[1:] {
		wg.Go(f)
	}
	g.todo[0]()
	wg.Wait()
}

// gather calls f for every item side by side and keeps what it knows.
func gather[T any, K comparable, V any](items []T, f func(T) (K, V, bool)) map[K]V {
	known := make(map[K]V, len(items))
	var mu sync.Mutex
	var g group
	for _, item := range items {
		g.add(true, func() {
			if k, v, ok := f(item); ok {
				mu.Lock()
				defer mu.Unlock()
				known[k] = v
			}
		})
	}
	g.wait()
	return known
}

func (r *Runner) see(ctx context.Context, w Wiring, targets []string) map[string]traffic.Seen {
	return gather(targets, func(name string) (string, traffic.Seen, bool) {
		router := w.Routers[name]
		if router == nil {
			return name, traffic.Seen{}, false
		}
		ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		defer cancel()
		seen, err := router.Observe(ctx)
		if err != nil {
			r.cfg.Log.Warn("target not observed", "target", name, "err", err)
		}
		return name, seen, err == nil
	})
}

func (r *Runner) ask(ctx context.Context, w Wiring, s State, questions []Question) map[CheckID]analysis.Finding {
	arms := s.Release.Arms()
	memory := make(map[CheckID]analysis.State, len(s.Checks))
	for _, c := range s.Checks {
		memory[CheckID{c.Lane, c.Name}] = c.Finding.State
	}
	return gather(questions, func(q Question) (CheckID, analysis.Finding, bool) {
		judge := w.Judges[q.Name]
		if judge == nil {
			return q.CheckID, analysis.Finding{}, false
		}
		ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		defer cancel()
		f, err := judge.Judge(ctx, analysis.Check{
			Service: s.Service, Name: q.Name, Run: s.Run, Lane: q.Lane, Step: q.Step, Target: q.Target,
			Stable: arms.Stable, Candidate: arms.Candidate,
			Since: q.Since, Exposed: q.Exposed, Until: time.Now().UTC().Round(0), State: memory[q.CheckID],
		})
		if err != nil {
			r.cfg.Log.Warn("check not answered", "service", s.Service, "check", q.Name, "err", err)
		}
		return q.CheckID, f, err == nil
	})
}

func (r *Runner) status(ctx context.Context, w Wiring, refs []Ref) map[TaskID]TaskStatus {
	return gather(refs, func(ref Ref) (TaskID, TaskStatus, bool) {
		task := w.Tasks[ref.Name]
		if task == nil {
			return ref.TaskID, TaskUnknown, false
		}
		ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		defer cancel()
		status, err := task.Status(ctx, ref)
		if err != nil {
			r.cfg.Log.Warn("task status not known", "service", ref.Service, "task", ref.Name, "err", err)
		}
		return ref.TaskID, status, err == nil
	})
}

// words is what the tasks under way say of themselves, those that can.
func (r *Runner) words(ctx context.Context, w Wiring, s State) map[TaskID]string {
	return gather(r.cfg.Machine.Needs(s).Tasks, func(ref Ref) (TaskID, string, bool) {
		task, ok := w.Tasks[ref.Name].(Explainer)
		if !ok {
			return ref.TaskID, "", false
		}
		ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		defer cancel()
		text, err := task.Explain(ctx, ref)
		if err != nil {
			r.cfg.Log.Warn("task does not explain itself", "service", ref.Service, "task", ref.Name, "err", err)
		}
		return ref.TaskID, text, err == nil
	})
}

func (r *Runner) intent(ctx context.Context, service string) *Intent {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	intent, err := r.cfg.Intent(ctx, service)
	if err != nil {
		r.cfg.Log.Warn("intent not known", "service", service, "err", err)
		return nil
	}
	return &intent
}

func (r *Runner) blocks(ctx context.Context, service string) []Block {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	blocks, err := r.cfg.Blocks(ctx, service)
	if err != nil {
		r.cfg.Log.Warn("blocks not known", "service", service, "err", err)
		return append(blocks, Block{Why: "what blocks could not be found out"})
	}
	return blocks
}
