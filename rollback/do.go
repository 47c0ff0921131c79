// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Options of Do. The zero Options return automatically to the last known good
// revision, with the limits and times below.
type Options struct {
	Ask

	// Save keeps the ledger where a crash does not reach it. It is called with
	// the intent before anything is done and with the outcome after. It must
	// refuse, with ErrConflict, a ledger whose Rev is not one above the one it
	// has. Nil keeps nothing: a crash then forgets what was under way.
	Save func(ctx context.Context, l Ledger) error

	// Deadline is the time from the decision to a healthy target. 0 is ten
	// minutes. Going on after a crash gets at least half of it again, because
	// our own downtime says nothing about the target.
	Deadline time.Duration
	// Stable is how long the target must be healthy without a break, so that a
	// flicker is no recovery. 0 is ten seconds.
	Stable time.Duration
	// Poll is the time between two looks. 0 is two seconds.
	Poll time.Duration
	// Attempts bounds how often one call is tried where the deadline does not
	// bound it: until the decision, and for saving. 0 is eight.
	Attempts int
	// Pause is the time before the second attempt, about doubled with every
	// further one up to twenty times itself. 0 is a quarter of a second.
	Pause time.Duration
	// CallTimeout bounds a single call to the target or to Save. 0 is 30 seconds.
	CallTimeout time.Duration
}

func (o Options) withDefaults() Options {
	for _, f := range [...]struct {
		value *time.Duration
		zero  time.Duration
	}{
		{&o.Deadline, 10 * time.Minute},
		{&o.Stable, 10 * time.Second},
		{&o.Poll, 2 * time.Second},
		{&o.Pause, 250 * time.Millisecond},
		{&o.CallTimeout, 30 * time.Second},
	} {
		if *f.value <= 0 {
			*f.value = f.zero
		}
	}
	if o.Attempts <= 0 {
		o.Attempts = 8
	}
	return o
}

// Result is how a return ended.
type Result struct {
	Outcome Outcome
	// Ledger is the ledger as it is now. With a Save, it is what was saved.
	Ledger Ledger
	// Return is the decision, zero if it was refused.
	Return Return
	// Status is the last that was seen of the target.
	Status Status
	// Applies counts the calls that asked the target for the revision.
	Applies int
}

// Do brings target back. It ends with an outcome: RolledBack and a nil error, or
// an *Error that says how far it came:
//
//   - Refused: nothing was begun. The cause is an ErrRefused, or the target
//     could not be looked at.
//   - RollbackFailed: the revision was decided on, and the target was not healthy
//     in time (ErrDeadline), said that it failed (ErrFailed), refused
//     (ErrRefused), or was given yet another revision (ErrOvertaken). It is
//     final; a person must look. Doing the same again is refused.
//   - Unfinished: ctx ended, or the ledger could not be saved. Call Do again with
//     the ledger as it was saved; after an ErrConflict, load it first.
//
// A ledger with an open return is gone on with, whatever is asked for: Do looks
// at the target before it does anything, so that what was done is not done twice.
// Only a person who names another revision ends the open return and begins one.
//
// Do blocks and starts no goroutine. Two at once over the same ledger make the
// same decision under the same key, so the target takes it once.
func Do(ctx context.Context, target Target, l Ledger, options Options) (Result, error) {
	d := &doing{target: target, options: options.withDefaults(), ledger: l, begun: time.Now()}
	err := d.run(ctx)
	result := Result{Outcome: d.outcome, Ledger: d.ledger, Return: d.decision, Status: d.status, Applies: d.applies}
	if err == nil {
		return result, nil
	}
	return result, &Error{
		Service: l.Service, Outcome: d.outcome, Return: d.decision, Doing: d.step,
		Applied: d.applied, Applies: d.applies, Last: d.status, Err: err,
	}
}

// doing is one call of Do.
type doing struct {
	target   Target
	options  Options
	begun    time.Time
	ledger   Ledger
	decision Return
	outcome  Outcome
	step     string
	applied  bool
	applies  int
	status   Status
}

func (d *doing) run(ctx context.Context) error {
	if err := d.decide(ctx); err != nil {
		return err
	}
	deadline := d.decision.At.Add(d.options.Deadline)
	if grace := d.begun.Add(d.options.Deadline / 2); deadline.Before(grace) {
		deadline = grace
	}
	// The deadline is turned into a duration once, so that a clock that is set
	// while this runs changes nothing.
	bounded, cancel := context.WithTimeoutCause(ctx, min(time.Until(deadline), d.options.Deadline), ErrDeadline)
	defer cancel()
	err := d.apply(bounded)
	if err == nil {
		err = d.settle(bounded)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // not a verdict: somebody stopped us
	}
	return d.end(ctx, err)
}

// decide finds the open return to go on with, or plans and opens one.
func (d *doing) decide(ctx context.Context) error {
	d.step = "deciding"
	if open := d.ledger.Open; open != nil && !d.overrides(*open) {
		d.decision = *open
		return nil
	}
	refuse := func(err error) error {
		if ctx.Err() == nil {
			d.outcome = Refused
		}
		return err
	}
	d.step = "looking at the target"
	current, err := retry(ctx, d.options, func(ctx context.Context) (Revision, error) {
		current, _, err := d.target.Current(ctx)
		return current, err
	})
	if err != nil {
		return refuse(err)
	}
	history, err := retry(ctx, d.options, d.target.History)
	if err != nil {
		return refuse(err)
	}
	d.step = "planning"
	plan, err := d.ledger.Plan(time.Now(), current, history, d.options.Ask)
	if err != nil {
		return refuse(err)
	}
	d.step = "asking the target whether it can"
	if err := d.call(ctx, func(ctx context.Context) error { return d.target.Preflight(ctx, plan.To) }); err != nil {
		return refuse(err)
	}
	d.step = "saving the intent"
	next := d.ledger
	if next.Open != nil {
		next = next.End(time.Now(), RollbackFailed, "overridden by "+d.options.By)
		next.Rev = d.ledger.Rev // the end and the new beginning are one change
	}
	next = next.Begin(plan)
	if err := d.save(ctx, next); err != nil {
		return err
	}
	d.decision = plan
	return nil
}

// overrides reports whether a person wants to go elsewhere than the open return.
func (d *doing) overrides(open Return) bool {
	return d.options.Trigger == Human && d.options.To != "" && d.options.To != open.To.ID
}

// apply makes the target accept the decision, trying until the deadline. It looks
// before every attempt: the one before, or one before a crash, may have arrived.
func (d *doing) apply(ctx context.Context) error {
	d.step = "applying"
	var last error
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			if err := pause(ctx, d.options.Pause, attempt); err != nil {
				return errors.Join(err, last)
			}
		}
		current, token, err := d.current(ctx)
		switch {
		case err != nil:
			last = err
			continue
		case current.Digest == d.decision.To.Digest:
			d.applied = true
			return nil
		case current.Digest != d.decision.From.Digest:
			return fmt.Errorf("%s: %w", current, ErrOvertaken)
		}
		d.applies++
		last = once(ctx, d.options, func(ctx context.Context) error {
			_, err := d.target.Apply(ctx, d.decision.To, token, d.decision.Key)
			return err
		})
		switch {
		case last == nil:
			d.applied = true
			return nil
		case errors.Is(last, ErrRefused):
			return last
		}
	}
}

// settle waits until the target has been healthy for long enough. Not knowing is
// not healthy, and it is not failed either: only the deadline ends it.
func (d *doing) settle(ctx context.Context) error {
	d.step = "waiting for the target to be healthy"
	var since time.Time
	for {
		var health Health
		var reason string
		err := once(ctx, d.options, func(ctx context.Context) (err error) {
			d.status, err = d.target.Observe(ctx)
			return err
		})
		if err == nil {
			health, reason = d.status.Judge(d.decision.To)
		} else {
			reason = err.Error()
		}
		now := time.Now()
		switch {
		case health == Failed:
			return fmt.Errorf("%s: %w", reason, ErrFailed)
		case health != Healthy:
			since = time.Time{}
			if err := d.overtaken(ctx); err != nil {
				return err
			}
		case since.IsZero():
			since = now
		}
		if !since.IsZero() && now.Sub(since) >= d.options.Stable {
			return nil
		}
		if err := pause(ctx, d.options.Poll, 0); err != nil {
			return fmt.Errorf("%w; last seen: %v, %s", err, health, reason)
		}
	}
}

// overtaken tells whether somebody deployed another revision. A target that
// cannot be looked at was not overtaken as far as anybody knows.
func (d *doing) overtaken(ctx context.Context) error {
	current, _, err := d.current(ctx)
	if err != nil || current.Digest == d.decision.To.Digest || current.Digest == d.decision.From.Digest {
		return nil
	}
	return fmt.Errorf("%s: %w", current, ErrOvertaken)
}

// end records the verdict. Until it is saved there is none.
func (d *doing) end(ctx context.Context, cause error) error {
	outcome, why := RolledBack, ""
	if cause != nil {
		outcome, why = RollbackFailed, cause.Error()
	}
	doing := d.step
	d.step = "saving the outcome"
	if err := d.save(ctx, d.ledger.End(time.Now(), outcome, why)); err != nil {
		return errors.Join(err, cause)
	}
	d.step, d.outcome = doing, outcome
	d.decision = d.ledger.Returns[len(d.ledger.Returns)-1]
	return cause
}

func (d *doing) save(ctx context.Context, next Ledger) error {
	if d.options.Save != nil {
		if err := d.call(ctx, func(ctx context.Context) error { return d.options.Save(ctx, next) }); err != nil {
			return err
		}
	}
	d.ledger = next
	return nil
}

// current looks once.
func (d *doing) current(ctx context.Context) (current Revision, token Token, err error) {
	err = once(ctx, d.options, func(ctx context.Context) (err error) {
		current, token, err = d.target.Current(ctx)
		return err
	})
	return current, token, err
}

func (d *doing) call(ctx context.Context, f func(context.Context) error) error {
	_, err := retry(ctx, d.options, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// retry calls f until it succeeds, says something final, or was tried enough.
func retry[T any](ctx context.Context, o Options, f func(context.Context) (T, error)) (value T, err error) {
	for attempt := range o.Attempts {
		if attempt > 0 {
			if stopped := pause(ctx, o.Pause, attempt); stopped != nil {
				return value, errors.Join(stopped, err)
			}
		}
		err = once(ctx, o, func(ctx context.Context) (err error) {
			value, err = f(ctx)
			return err
		})
		if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrConflict) {
			return value, err
		}
	}
	return value, fmt.Errorf("%d attempts: %w", o.Attempts, err)
}

// once makes one call with its own timeout, and none once ctx has ended.
func once(ctx context.Context, o Options, f func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, o.CallTimeout)
	defer cancel()
	return f(ctx)
}

// maxFactor bounds a pause to twenty times the first.
const maxFactor = 20

// pause waits for about base, doubled with every attempt after the first, or
// until ctx ends. Half of it is chance, so that many who wait do not come back together.
func pause(ctx context.Context, base time.Duration, attempt int) error {
	wait := base
	if attempt > 0 {
		wait = base * time.Duration(min(1<<min(attempt-1, 10), maxFactor))
		wait = wait/2 + rand.N(wait/2+1)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
