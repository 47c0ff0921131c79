// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/observe"
)

// Subject is an observer under test.
type Subject struct {
	Observer observe.Observer
	// Told counts how often the event with this key has arrived where the
	// observer takes it, such as the lines of a log that name it. It may be nil
	// for an observer that nobody can look behind; cases that need it are then
	// skipped by name.
	Told func(observe.Key) int
	// Shares is what arrived of the event's shares. It may be nil likewise.
	Shares func(observe.Key) []observe.Share
	// Once says that the observer takes a repeat without counting it again.
	Once bool
}

// patience is how long an observer may take to return. It is no measurement:
// only one that never returns waits for so long.
const patience = 10 * time.Second

type check struct {
	name string
	// why is for whoever writes the observer.
	why   string
	needs func(Subject) bool
	run   func(ctx context.Context, s Subject) error
}

// Run holds an observer against the law in observe.Observer. newSubject makes a
// fresh one for each case.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := newSubject(t)
			if c.needs != nil && !c.needs(s) {
				t.Skip("the subject gives no way to look")
			}
			if err := c.attempt(t.Context(), s); err != nil {
				t.Errorf("%v\n%s", err, c.why)
			}
		})
	}
}

// attempt runs the case so that an observer that panics or hangs fails it.
func (c check) attempt(ctx context.Context, s Subject) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- fmt.Errorf("panicked: %v", r)
			}
		}()
		result <- c.run(ctx, s)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return errors.New("did not return")
	}
}

func told(s Subject) bool { return s.Told != nil }

var checks = []check{
	{
		name: "an event that was taken has arrived", needs: told,
		why: "nil means taken; an observer that cannot take an event must say so",
		run: checkArrives,
	},
	{
		name: "events of every kind are taken",
		why:  "a rollout tells all kinds; pass over what does not matter, without an error",
		run:  checkKinds,
	},
	{
		name: "events of unknown kinds are passed over",
		why:  "a newer teller has kinds, outcomes and causes that an older observer does not know",
		run:  checkUnknown,
	},
	{
		name: "the zero event does no harm",
		why:  "every field may be empty",
		run:  func(ctx context.Context, s Subject) error { return s.Observer.Observe(ctx, observe.Event{}) },
	},
	{
		name: "hostile text does no harm",
		why:  "versions, reasons and names come from outside: they may be huge, not UTF-8, or hold control characters",
		run:  checkHostile,
	},
	{
		name: "a repeat is no error",
		why:  "events are told at least once",
		run:  checkRepeat,
	},
	{
		name: "a repeat counts once", needs: func(s Subject) bool { return s.Once && s.Told != nil },
		why: "the subject says Once; put observe.Dedupe in front",
		run: checkOnce,
	},
	{
		name: "an older event after a newer one is no error",
		why:  "after a crash, or with two tellers, events come late",
		run:  checkLate,
	},
	{
		name: "many events at once all arrive",
		why:  "one observer serves all rollouts; make it safe for concurrent use",
		run:  checkConcurrent,
	},
	{
		name: "a cancelled context ends the call",
		why:  "Observe returns soon after its context ends",
		run:  checkCancelled,
	},
	{
		name: "a cancelled call does not claim what it did not do", needs: told,
		why: "if the context ended before the event was taken, return its error",
		run: checkCancelledClaim,
	},
	{
		name: "the event is left as it is",
		why:  "other observers read the same shares",
		run:  checkUnchanged,
	},
	{
		name: "the event is not kept", needs: func(s Subject) bool { return s.Shares != nil },
		why: "the teller may use the shares again; keep a Clone",
		run: checkNotKept,
	},
}

func sample(rev uint64) observe.Event {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return observe.Event{
		Service: "checkout", Environment: "production", Run: 1, Rev: rev, At: start.Add(time.Duration(rev) * time.Second),
		Kind: observe.StepEntered, Phase: "progressing", Plan: "canary", Lane: "all", Step: "25%", Version: "v2", From: "v1",
		Shares: []observe.Share{{Target: "eu", Candidate: 250_000}, {Target: "us", Candidate: 50_000}}, Started: start,
	}
}

func checkArrives(ctx context.Context, s Subject) error {
	e := sample(1)
	if err := s.Observer.Observe(ctx, e); err != nil {
		return err
	}
	key, _ := e.Key()
	if n := s.Told(key); n != 1 {
		return fmt.Errorf("an event told once arrived %d times", n)
	}
	return nil
}

func checkKinds(ctx context.Context, s Subject) error {
	var errs []error
	for i, kind := range observe.Kinds() {
		e := sample(uint64(i) + 1)
		e.Kind = kind
		if err := s.Observer.Observe(ctx, e); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", kind, err))
		}
	}
	return errors.Join(errs...)
}

func checkUnknown(ctx context.Context, s Subject) error {
	e := sample(1)
	e.Kind, e.Outcome, e.Cause, e.Verdict = 200, 200, 200, "splendid"
	return s.Observer.Observe(ctx, e)
}

func checkHostile(ctx context.Context, s Subject) error {
	for i, text := range []string{"\xff\xfe\x00", strings.Repeat("long ", 50_000), "\n\r\x1b[31m\"}{", "{{.}}%s%!"} {
		e := sample(uint64(i) + 1)
		e.Kind, e.Verdict = observe.Judged, text
		e.Environment, e.Lane, e.Step, e.Version, e.From = text, text, text, text, text
		e.Check, e.Reason, e.By, e.Phase, e.Plan = text, text, text, text, text
		e.Shares = []observe.Share{{Target: text, Candidate: 4_000_000_000}}
		if err := s.Observer.Observe(ctx, e); err != nil {
			return fmt.Errorf("text %d: %w", i, err)
		}
	}
	return nil
}

func checkRepeat(ctx context.Context, s Subject) error {
	for i := range 3 {
		if err := s.Observer.Observe(ctx, sample(1)); err != nil {
			return fmt.Errorf("time %d: %w", i+1, err)
		}
	}
	return nil
}

func checkOnce(ctx context.Context, s Subject) error {
	if err := checkRepeat(ctx, s); err != nil {
		return err
	}
	key, _ := sample(1).Key()
	if n := s.Told(key); n != 1 {
		return fmt.Errorf("an event told three times arrived %d times", n)
	}
	return nil
}

func checkLate(ctx context.Context, s Subject) error {
	for _, rev := range []uint64{9, 3} {
		if err := s.Observer.Observe(ctx, sample(rev)); err != nil {
			return fmt.Errorf("revision %d: %w", rev, err)
		}
	}
	return nil
}

func checkConcurrent(ctx context.Context, s Subject) error {
	const events = 64
	errs := make([]error, events)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range events {
		wg.Go(func() {
			<-start
			errs[i] = s.Observer.Observe(ctx, sample(uint64(i)+1))
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil || s.Told == nil {
		return err
	}
	for i := range events {
		key, _ := sample(uint64(i) + 1).Key()
		if n := s.Told(key); n != 1 {
			return fmt.Errorf("event %d arrived %d times", i+1, n)
		}
	}
	return nil
}

func checkCancelled(ctx context.Context, s Subject) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	// Whether it still takes the event is its own affair; attempt sees to it
	// that it returns.
	_ = s.Observer.Observe(ctx, sample(1))
	return nil
}

func checkCancelledClaim(ctx context.Context, s Subject) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	err := s.Observer.Observe(ctx, sample(1))
	key, _ := sample(1).Key()
	if n := s.Told(key); err == nil && n == 0 {
		return errors.New("returned nil for an event that did not arrive")
	}
	return nil
}

func checkUnchanged(ctx context.Context, s Subject) error {
	e := sample(1)
	if err := s.Observer.Observe(ctx, e); err != nil {
		return err
	}
	if want := sample(1); !slices.Equal(e.Shares, want.Shares) {
		return fmt.Errorf("shares were %v and are %v", want.Shares, e.Shares)
	}
	return nil
}

func checkNotKept(ctx context.Context, s Subject) error {
	e := sample(1)
	if err := s.Observer.Observe(ctx, e); err != nil {
		return err
	}
	e.Shares[0] = observe.Share{Target: "changed", Candidate: 1}
	key, _ := e.Key()
	if got, want := s.Shares(key), sample(1).Shares; !slices.Equal(got, want) {
		return fmt.Errorf("the teller used its shares again and the observer has %v, want %v", got, want)
	}
	return nil
}
