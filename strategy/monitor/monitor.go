// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
)

// Watch is what is watched, and by whom.
type Watch struct {
	// Service is the name that its state is kept under. Required.
	Service string
	// Target is what runs it. Required.
	Target rollback.Target
	// Judges may fail the revision at any time, and all must let it pass at the end.
	// There is no other arm to compare it with: a Limit, a BurnRate or a Threshold fit.
	// Without any, only the target's own word counts.
	Judges map[string]analysis.Judge
	// Arm is the name that judges know the service's requests by; "" is "candidate".
	Arm string

	Limits
	// Every is the time between two turns of Run. 0 is ten seconds.
	Every time.Duration
	// Return is how it goes back: its times, budgets and doors. Trigger, By, Why, To and
	// Save are the monitor's.
	Return rollback.Options
	// Observe, if set, is told of each state that was saved, for logs, metrics and pages.
	Observe func(ctx context.Context, s State)
}

// Monitor carries a Watch out. It is safe for concurrent use, and so are several over one
// Store, in several processes.
type Monitor struct {
	store Store
	w     Watch
}

// New is a Monitor. The error names the field that is wrong.
func New(store Store, w Watch) (*Monitor, error) {
	var err error
	switch {
	case store == nil:
		return nil, errors.New("monitor: it has no store")
	case w.Service == "":
		return nil, errors.New("monitor: Service is empty: name what is watched")
	case w.Target == nil:
		return nil, errors.New("monitor: Target is nil")
	case w.Every < 0 || w.Every > Attention:
		return nil, fmt.Errorf("monitor: Every %v: want 0 for ten seconds, or up to %v: time in which nobody looks does not count", w.Every, Attention)
	}
	for name, j := range w.Judges {
		if j == nil {
			return nil, fmt.Errorf("monitor: Judges[%q] is nil", name)
		}
	}
	if w.Limits, err = w.filled(); err != nil {
		return nil, err
	}
	w.Every = cmp.Or(w.Every, 10*time.Second)
	w.Arm = cmp.Or(w.Arm, "candidate")
	return &Monitor{store: store, w: w}, nil
}

// Begin watches what the target is asked to run now. A revision that is watched already
// goes on being watched, and one that took its place begins a new watch. It is the caller's
// word that a deployment was made: a revision whose watch has ended is watched anew.
func (m *Monitor) Begin(ctx context.Context) (State, error) {
	current, _, err := m.w.Target.Current(ctx)
	if err != nil {
		return State{}, fmt.Errorf("monitor: begin: %w", err)
	}
	s, err := m.store.Load(ctx, m.w.Service)
	if err != nil {
		return State{}, fmt.Errorf("monitor: begin: %w", err)
	}
	if !s.over() && (s.Revision.Digest == current.Digest || s.Ledger.Open != nil) {
		return s, nil
	}
	ledger := s.Ledger
	ledger.Service = m.w.Service
	if ledger.Running != current.Digest { // what a return has brought was not deployed
		if ledger, err = ledger.Deployed(time.Now(), current); err != nil {
			return s, fmt.Errorf("monitor: begin: %w", err)
		}
	}
	next := State{Version: StateVersion, Rev: s.Rev + 1, Run: s.Run + 1, Revision: current, Began: time.Now().Round(0).UTC(), Ledger: ledger, Why: "begun"}
	return next, m.save(ctx, s.Rev, next)
}

// Reconcile makes one turn, and says when to make the next; zero is never. A turn that goes
// back takes until the target is healthy or the return's deadline has passed. An error
// changes nothing about what is wanted: make another turn.
func (m *Monitor) Reconcile(ctx context.Context) (State, time.Time, error) {
	s, err := m.store.Load(ctx, m.w.Service)
	if err != nil {
		return s, time.Now().Add(m.w.Every), fmt.Errorf("monitor: %w", err)
	}
	if !s.over() && !s.Returning {
		next, err := Step(time.Now(), s, m.look(ctx, s), m.w.Limits)
		if err == nil {
			err = m.save(ctx, s.Rev, next)
		}
		if err != nil {
			return s, time.Now().Add(m.w.Every), fmt.Errorf("monitor: %w", err)
		}
		s = next
	}
	if !s.over() && s.Returning && s.Held == "" {
		s, err = m.back(ctx, s)
	}
	if s.over() {
		return s, time.Time{}, err
	}
	return s, time.Now().Add(m.w.Every), err
}

// Run makes turns until the watch is over, or ctx is. An error of a turn is for the next one
// to get over; the state says what it waits for.
func (m *Monitor) Run(ctx context.Context) (State, error) {
	for {
		s, wake, err := m.Reconcile(ctx)
		if ctx.Err() != nil {
			return s, errors.Join(context.Cause(ctx), err)
		}
		if wake.IsZero() {
			return s, err
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// look finds out what can be.
func (m *Monitor) look(ctx context.Context, s State) Observation {
	o := Observation{Judges: slices.Sorted(maps.Keys(m.w.Judges)), Findings: map[string]analysis.Finding{}}
	if current, _, err := m.w.Target.Current(ctx); err == nil {
		o.Current = current
	}
	if status, err := m.w.Target.Observe(ctx); err == nil {
		o.Status = &status
	}
	for _, name := range o.Judges {
		c := analysis.Check{
			Service: m.w.Service, Name: name, Run: s.Run, Lane: "watch", Candidate: m.w.Arm, Target: m.w.Service,
			Since: s.Began, Exposed: s.Began, Until: time.Now(), State: s.Findings[name].State,
		}
		if f, err := m.w.Judges[name].Judge(ctx, c); err == nil && f.Answers(c) {
			o.Findings[name] = f
		}
	}
	return o
}

func (m *Monitor) save(ctx context.Context, prev uint64, next State) error {
	if err := m.store.Save(ctx, m.w.Service, prev, next); err != nil {
		return err
	}
	if m.w.Observe != nil {
		m.w.Observe(ctx, next)
	}
	return nil
}
