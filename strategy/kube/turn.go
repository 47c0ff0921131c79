// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// turn holds one service's object for as long as one turn of a Controller takes, so that
// the state, the spec and the intent in it are read once and not three times. It saves
// calls and decides nothing: a save carries the resourceVersion of what is held. It also
// keeps what the turn saw of the world, so that why nothing moves can be told without
// looking again. A nil turn holds nothing.
type turn struct {
	mu         sync.Mutex
	service    string
	held       *unstructured.Unstructured
	generation int64 // of the spec that this turn acted upon
	saw        strategy.Observation
}

type turnKey struct{ store *Store }

// withTurn begins a turn.
func withTurn(ctx context.Context, s *Store) (context.Context, *turn) {
	t := &turn{saw: strategy.Observation{
		Seen: map[string]traffic.Seen{}, Findings: map[strategy.CheckID]analysis.Finding{},
		Tasks: map[strategy.TaskID]strategy.TaskStatus{}, Words: map[strategy.TaskID]string{},
	}}
	return context.WithValue(ctx, turnKey{s}, t), t
}

// turnOf is the turn under way, nil outside of one.
func turnOf(ctx context.Context, s *Store) *turn {
	t, _ := ctx.Value(turnKey{s}).(*turn)
	return t
}

func (t *turn) object(service string) *unstructured.Unstructured {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.service != service {
		return nil
	}
	return t.held
}

// hold keeps the object as it was read or written last. Nobody changes it afterwards.
func (t *turn) hold(service string, object *unstructured.Unstructured) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.service, t.held = service, object
}

func (t *turn) forget() { t.hold("", nil) }

func (t *turn) consider(generation int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation = generation
}

func (t *turn) considered() int64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.generation
}

// note keeps something that the turn saw.
func (t *turn) note(keep func(saw *strategy.Observation)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep(&t.saw)
}

// watch is a wiring whose answers the turn notes.
func (t *turn) watch(w strategy.Wiring) strategy.Wiring {
	watched := strategy.Wiring{
		Routers: make(map[string]traffic.Router, len(w.Routers)), Judges: make(map[string]analysis.Judge, len(w.Judges)),
		Tasks: make(map[string]strategy.Task, len(w.Tasks)),
	}
	for name, router := range w.Routers {
		watched.Routers[name] = watchedRouter{router, t, name}
	}
	for name, judge := range w.Judges {
		watched.Judges[name] = analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
			f, err := judge.Judge(ctx, c)
			if err == nil {
				t.note(func(saw *strategy.Observation) { saw.Findings[strategy.CheckID{Lane: c.Lane, Name: c.Name}] = f })
			}
			return f, err
		})
	}
	for name, task := range w.Tasks {
		watched.Tasks[name] = watchedTask{task, t}
	}
	return watched
}

type watchedRouter struct {
	traffic.Router
	turn *turn
	name string
}

func (w watchedRouter) Observe(ctx context.Context) (traffic.Seen, error) {
	seen, err := w.Router.Observe(ctx)
	if err == nil {
		w.turn.note(func(saw *strategy.Observation) { saw.Seen[w.name] = seen })
	}
	return seen, err
}

type watchedTask struct {
	strategy.Task
	turn *turn
}

func (w watchedTask) Status(ctx context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	status, err := w.Task.Status(ctx, r)
	if err != nil {
		return status, err
	}
	words := ""
	if explains, ok := w.Task.(strategy.Explainer); ok && status == strategy.TaskRunning {
		if text, err := explains.Explain(ctx, r); err == nil {
			words = text // what it says decides nothing, and that it cannot say it, neither
		}
	}
	w.turn.note(func(saw *strategy.Observation) { saw.Tasks[r.TaskID], saw.Words[r.TaskID] = status, words })
	return status, nil
}
