// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"log/slog"
	"time"
)

// Observer is told what happened. Implementations must be safe for concurrent use.
type Observer interface {
	// Transition is called with the state that t led to.
	Transition(ctx context.Context, s State, t Transition) error
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, s State, t Transition) error

// Transition calls f.
func (f ObserverFunc) Transition(ctx context.Context, s State, t Transition) error {
	return f(ctx, s, t)
}

// tellTimeout is how long a turn waits for one observer. One that takes longer
// goes on by itself and gets nothing new until it is done.
const tellTimeout = time.Second

// told is how far one observer has been told.
type told struct {
	rev  uint64
	busy chan struct{} // full while it is being told
}

// tell logs and tells every recent transition that this Runner has not told
// yet. What an observer failed to take is told again next turn, as long as it is
// recent.
func (r *Runner) tell(ctx context.Context, a *attention, s State) {
	if a.upToDate(s.Recent[recentTransitions-1].Rev) {
		return
	}
	journal := s.Journal()
	for k, t := range journal {
		// After a start only the newest is news to the log.
		if t.Rev > a.logged && (a.logged > 0 || k == len(journal)-1) {
			r.log(ctx, s, t)
		}
		a.logged = max(a.logged, t.Rev)
	}
	for i := range a.observers {
		for _, t := range journal {
			if t.Rev <= a.observers[i].rev {
				continue
			}
			if !r.tellOne(ctx, a.observers[i].busy, r.cfg.Observers[i], s, t) {
				break
			}
			a.observers[i].rev = t.Rev
		}
	}
}

// tellRest gives observers that did not take the end of a run a few more chances:
// there is no next turn that would.
func (r *Runner) tellRest(ctx context.Context, a *attention, s State) {
	a.turn.Lock()
	defer a.turn.Unlock()
	for n := 1; n <= r.cfg.Attempts && !a.upToDate(s.Recent[recentTransitions-1].Rev); n++ {
		pause := time.NewTimer(backoff(n))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		r.tell(ctx, a, s)
	}
}

// upToDate reports whether everybody knows the latest transition.
func (a *attention) upToDate(rev uint64) bool {
	for i := range a.observers {
		if a.observers[i].rev < rev {
			return false
		}
	}
	return a.logged >= rev
}

// log writes one line a transition, with what it has to say and nothing else.
func (r *Runner) log(ctx context.Context, s State, t Transition) {
	attrs := []slog.Attr{
		slog.String("transition", t.Kind.String()), slog.String("service", s.Service), slog.Uint64("run", t.Run),
		slog.Uint64("rev", t.Rev), slog.Uint64("seq", t.Seq), slog.String("phase", s.Phase.String()),
	}
	if t.Lane != "" {
		attrs = append(attrs, slog.String("lane", t.Lane), slog.String("step", t.Step), slog.String("weight", t.Weight.String()))
	}
	if t.Kind == VerdictChanged {
		attrs = append(attrs, slog.String("verdict", t.Verdict.String()))
	}
	for _, more := range []struct{ key, value string }{{"subject", t.Subject}, {"reason", t.Reason}, {"by", t.By}} {
		if more.value != "" {
			attrs = append(attrs, slog.String(more.key, more.value))
		}
	}
	r.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "rollout", attrs...)
}

// tellOne reports whether the observer took the transition.
func (r *Runner) tellOne(ctx context.Context, busy chan struct{}, observer Observer, s State, t Transition) bool {
	select {
	case busy <- struct{}{}:
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := observer.Transition(ctx, s.Clone(), t)
		<-busy // before it is known to be done: the next transition follows at once
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			r.cfg.Log.Warn("observer failed", "service", s.Service, "rev", t.Rev, "err", err)
		}
		return err == nil
	case <-ctx.Done():
		r.cfg.Log.Warn("observer is slow; not waited for", "service", s.Service, "rev", t.Rev)
		return false
	}
}
