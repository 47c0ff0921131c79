// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Hold stops everything that moves forward, and the clocks, until Resume. It
// survives restarts. A failing check still goes home.
func (r *Runner) Hold(ctx context.Context, service, by, why string) error {
	return r.order(ctx, service, "hold", by, why, func(_ State, i *Intent) error {
		i.Hold = true
		return nil
	})
}

// Resume ends the operator's hold, takes back an abort that came past a commit, and releases the machine's own if it stopped
// for a person. It also sends a run that ended RollbackFailed on its way home again.
func (r *Runner) Resume(ctx context.Context, service, by, why string) error {
	return r.order(ctx, service, "resume", by, why, func(s State, i *Intent) error {
		i.Hold, i.Abort, i.Resume = false, false, s.Hold.ID
		return nil
	})
}

// Abort goes home. Nothing beats it but a commit, past which there is no home to
// go to: the run then stops for a person.
func (r *Runner) Abort(ctx context.Context, service, by, why string) error {
	return r.order(ctx, service, "abort", by, why, func(_ State, i *Intent) error {
		i.Abort = true
		return nil
	})
}

// Promote passes every remaining gate of the run, and takes back a hold and an
// abort that came past a commit. Room, observation, freeze
// windows and watched checks still count.
func (r *Runner) Promote(ctx context.Context, service, by, why string) error {
	return r.order(ctx, service, "promote", by, why, func(s State, i *Intent) error {
		i.Promote, i.Hold, i.Abort, i.Resume = true, false, false, s.Hold.ID
		return nil
	})
}

// Waive passes the gates of one step.
func (r *Runner) Waive(ctx context.Context, service string, step StepRef, by, why string) error {
	return r.order(ctx, service, "waive "+step.Lane+" "+step.Step, by, why, func(s State, i *Intent) error {
		i.Waive = append(i.Waive, step)
		return s.known(step)
	})
}

// Approve grants one step of this run under its present plan.
func (r *Runner) Approve(ctx context.Context, service string, step StepRef, by, why string) error {
	return r.order(ctx, service, "approve "+step.Lane+" "+step.Step, by, why, func(s State, i *Intent) error {
		i.Approvals = append(i.Approvals, Grant{StepRef: step, Digest: s.Plan.Digest(), By: by, Why: why})
		return s.known(step)
	})
}

// known refuses a step that the plan does not have.
func (s State) known(ref StepRef) error {
	if i := s.Plan.in.lane(ref.Lane); i >= 0 && slices.Contains(s.Plan.in.lanes[i].stepNames, ref.Step) {
		return nil
	}
	return fmt.Errorf("strategy: %s: the plan has no lane %q with a step %q", s.Service, ref.Lane, ref.Step)
}

// order writes the operator's will into the state. by is required: who asked is kept.
func (r *Runner) order(ctx context.Context, service, what, by, why string, change func(State, *Intent) error) error {
	switch {
	case by == "":
		return fmt.Errorf("strategy: %s: %s: say who asks", service, what)
	case r.cfg.Intent != nil:
		return fmt.Errorf("strategy: %s: %s: the operator's will comes from Config.Intent, give it there: %w", service, what, errors.ErrUnsupported)
	}
	_, err := r.amend(ctx, service, func(s State) (State, Transition, error) {
		if s.Phase == Idle || s.Phase == Promoted || s.Phase == RolledBack {
			return s, Transition{}, fmt.Errorf("%w: service %q has none under way", ErrNoRun, service)
		}
		next := s.Clone()
		if next.Intent.Run != s.Run {
			next.Intent = Intent{Run: s.Run}
		}
		next.Intent.By, next.Intent.Why = by, why
		if err := change(s, &next.Intent); err != nil {
			return s, Transition{}, err
		}
		t := turn{in: s.Plan.in, now: time.Now().UTC().Round(0), s: next}
		t.note(Ordered, -1, what, why, by)
		t.keep()
		return t.s, t.made, nil
	})
	return err
}

// Explain says why a service's rollout does not move, what it waits for and
// until when. It looks at the world as a turn does and changes nothing.
func (r *Runner) Explain(ctx context.Context, service string) (Explanation, error) {
	s, err := r.load(ctx, service)
	if err != nil {
		return Explanation{}, err
	}
	if s.Phase == Idle {
		return Explanation{}, fmt.Errorf("%w: service %q", ErrNoRun, service)
	}
	wiring, err := r.cfg.Wire(ctx, service)
	if err != nil {
		return Explanation{}, fmt.Errorf("strategy: %s: wiring: %w", service, err)
	}
	a := r.attention(service)
	watched := a.since()
	o := r.look(ctx, wiring, s)
	o.Watched, o.Words = watched, r.words(ctx, wiring, s)
	return r.cfg.Machine.Explain(time.Now(), s, o), nil
}
