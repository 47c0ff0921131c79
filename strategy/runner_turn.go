// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Run carries the service's rollout out until it has ended, and returns its last
// state. The error is nil if the candidate was promoted, an *Outcome if not, and
// ctx's cause if ctx was done first; call Run again to go on, in this process or
// another. It has no logic of its own: it calls Reconcile when that is due.
func (r *Runner) Run(ctx context.Context, service string) (State, error) {
	a := r.attention(service)
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures, last := 0, State{}
	for {
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("strategy: %s: %w", service, context.Cause(ctx))
		case <-a.nudge:
		case <-timer.C:
		}
		d, err := r.Reconcile(ctx, service)
		if d.State.Rev > 0 {
			last = d.State
		}
		switch {
		case ctx.Err() != nil:
			continue
		case errors.Is(err, ErrNoRun) || errors.Is(err, ErrVersion):
			return d.State, err
		case err == nil && d.Wake.IsZero():
			r.tellRest(ctx, a, d.State)
			return d.State, d.State.Err()
		}
		wait := min(time.Until(d.Wake), r.cfg.Poll)
		if err != nil {
			failures++
			wait = min(backoff(failures), r.cfg.Poll)
			r.cfg.Log.Warn("turn failed", "service", service, "err", err)
		} else {
			failures = 0
		}
		timer.Reset(max(wait, 0))
	}
}

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// backoff is a pause that doubles with every failure, between half of that and
// all of it, so that many who fail together do not try again together.
func backoff(failures int) time.Duration {
	full := min(firstPause<<min(failures-1, 10), maxPause)
	return full/2 + rand.N(full/2+1)
}

// Reconcile does one turn. Call it again at Decision.Wake at the latest, sooner
// if the world may have changed, and again after a while if it fails: the
// decision may have been saved and its effects not all be true, in which case
// both the decision and an error are returned.
func (r *Runner) Reconcile(ctx context.Context, service string) (Decision, error) {
	a := r.attention(service)
	a.turn.Lock()
	defer a.turn.Unlock()
	s, err := r.load(ctx, service)
	if err != nil {
		return Decision{}, err
	}
	if s.Phase == Idle {
		return Decision{State: s}, fmt.Errorf("%w: service %q", ErrNoRun, service)
	}
	wiring, err := r.cfg.Wire(ctx, service)
	if err != nil {
		return Decision{State: s}, fmt.Errorf("strategy: %s: wiring: %w", service, err)
	}
	r.tell(ctx, a, s) // what an earlier process may have left untold
	o := r.attend(ctx, a, wiring, s)
	now := time.Now()
	o.Watched = a.watch(now)
	d, err := r.cfg.Machine.Step(now, s, o)
	if err != nil {
		return d, fmt.Errorf("strategy: %s: %w", service, err)
	}
	if d.State.Rev != s.Rev {
		if err := r.save(ctx, service, s.Rev, d.State, d.journal()...); err != nil {
			return Decision{State: s}, err
		}
	}
	err = r.act(ctx, wiring, d.Effects)
	r.tell(ctx, a, d.State)
	return d, err
}

func (d Decision) journal() []Transition {
	if d.Transition.Kind == 0 {
		return nil
	}
	return []Transition{d.Transition}
}

// act makes effects true, in order. Moving forward stops at the first that
// fails, because dials are turned in order. On the way home nothing waits for
// long for anything else.
func (r *Runner) act(ctx context.Context, w Wiring, effects []Effect) error {
	var errs []error
	var pending []<-chan error
	forward := true
	for _, effect := range effects {
		route, ok := effect.(*SetRoute)
		switch {
		case ok && route.Home:
			done := make(chan error, 1)
			go func() { done <- r.try(ctx, w, effect) }()
			pending = append(pending, done)
			head(done)
		case ok && !forward:
		default:
			if err := r.try(ctx, w, effect); err != nil {
				errs = append(errs, err)
				forward = forward && !ok
			}
		}
	}
	for _, done := range pending {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// headStart is how long one dial on the way home may keep the next one waiting.
const headStart = 250 * time.Millisecond

// head waits a little for an effect, so that order is kept where all is well.
func head(done chan error) {
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	select {
	case err := <-done:
		done <- err
	case <-timer.C:
	}
}

// try makes one effect true, a few times over if need be.
func (r *Runner) try(ctx context.Context, w Wiring, effect Effect) error {
	for n := 1; ; n++ {
		err := r.call(ctx, w, effect)
		if err == nil {
			return nil
		}
		final := n >= r.cfg.Attempts || ctx.Err() != nil || errors.Is(err, traffic.ErrFenced) ||
			errors.Is(err, traffic.ErrConflict) || errors.Is(err, errors.ErrUnsupported)
		r.cfg.Log.Warn("effect failed", "effect", describe(effect), "attempt", n, "err", err)
		if final {
			return fmt.Errorf("strategy: %s: %w", describe(effect), err)
		}
		pause := time.NewTimer(backoff(n))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

func (r *Runner) call(ctx context.Context, w Wiring, effect Effect) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	switch e := effect.(type) {
	case *SetRoute:
		if router := w.Routers[e.Target]; router != nil {
			return router.Apply(ctx, e.Fence, e.Route)
		}
	case *DoTask:
		if task := w.Tasks[e.Ref.Name]; task != nil {
			return task.Do(ctx, e.Ref)
		}
	case *UndoTask:
		if task := w.Tasks[e.Ref.Name]; task != nil {
			return task.Undo(ctx, e.Ref)
		}
	}
	return errors.New("it is not wired any more; wire it, or abort with it unwired and mend by hand")
}

func describe(effect Effect) string {
	switch e := effect.(type) {
	case *SetRoute:
		return fmt.Sprintf("set target %q to %v under fence %d", e.Target, e.Route, e.Fence)
	case *DoTask:
		return fmt.Sprintf("do task %q", e.Ref.Name)
	case *UndoTask:
		return fmt.Sprintf("undo task %q", e.Ref.Name)
	}
	return "unknown effect"
}
