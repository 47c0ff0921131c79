// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollbacktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// Subject is a target under test. It is at rest and healthy, with at least three
// revisions in its history, so that two can be gone back to.
type Subject struct {
	Target rollback.Target
	// Touch changes the target as somebody else would, without changing its
	// revision, so that tokens which were read before are stale. Nil if nobody
	// else can; the case is then skipped by name.
	Touch func(ctx context.Context) error
}

// patience is how long a target may take to become healthy, and a call to return.
// It is no measurement: only one that never does waits for so long.
const patience = 30 * time.Second

type check struct {
	name string
	// why is for whoever writes the target.
	why   string
	needs func(Subject) bool
	run   func(ctx context.Context, b bench) error
}

// Run holds a target against the law in rollback.Target. newSubject makes a
// fresh one for each case.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := newSubject(t)
			if c.needs != nil && !c.needs(s) {
				t.Skip("the subject gives no way to touch it")
			}
			if err := c.attempt(t.Context(), s, patience); err != nil {
				t.Errorf("%v\n%s", err, c.why)
			}
		})
	}
}

// attempt runs the case so that a target that panics or hangs fails it.
func (c check) attempt(ctx context.Context, s Subject, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- fmt.Errorf("panicked: %v", r)
			}
		}()
		b, err := newBench(ctx, s)
		if err == nil {
			err = c.run(ctx, b)
		}
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		// The case sees its context end as well and says more.
		select {
		case err := <-result:
			return err
		case <-time.After(time.Second):
			return errors.New("did not return")
		}
	}
}

// bench is a subject with what a look at it has shown.
type bench struct {
	Subject
	now rollback.Revision
	// one and two can be gone back to; missing cannot.
	one, two, missing rollback.Revision
	token             rollback.Token
}

func newBench(ctx context.Context, s Subject) (bench, error) {
	b := bench{Subject: s, missing: rollback.Revision{ID: "never-was", Digest: "sha256:never-was"}}
	var err error
	if b.now, b.token, err = s.Target.Current(ctx); err != nil {
		return b, fmt.Errorf("current: %w", err)
	}
	history, err := s.Target.History(ctx)
	if err != nil {
		return b, fmt.Errorf("history: %w", err)
	}
	for _, r := range history {
		switch {
		case r.Digest == b.now.Digest:
		case b.one.ID == "":
			b.one = r
		default:
			b.two = r
		}
	}
	if b.two.ID == "" {
		return b, fmt.Errorf("the subject has the history %v; two revisions besides the current one are needed", history)
	}
	return b, nil
}

// is reports an error unless want is the current revision.
func (b bench) is(ctx context.Context, want rollback.Revision) error {
	got, _, err := b.Target.Current(ctx)
	if err != nil {
		return fmt.Errorf("current: %w", err)
	}
	if got.Digest != want.Digest {
		return fmt.Errorf("current is %v, want %v", got, want)
	}
	return nil
}

// refused reports an error unless err wraps want and the target is as it was.
func (b bench) refused(ctx context.Context, err, want error, stays rollback.Revision) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%w; want an error that wraps %q", orNone(err), want.Error())
	}
	return b.is(ctx, stays)
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// healthy waits until the target says so of want.
func (b bench) healthy(ctx context.Context, want rollback.Revision) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := b.Target.Observe(ctx)
		health, reason := s.Judge(want)
		if err == nil && health == rollback.Healthy {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("never healthy: last was %v (%s), %w", health, reason, orNone(err))
		}
	}
}
