// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

type memorySession struct {
	d     *Memory
	l     *memoryLease
	fence uint64
	lease time.Duration
}

var errClosed = errors.New("migrate: session is closed")

// call is a Database's call of a session that is not fenced.
func (s *memorySession) call(ctx context.Context, name string, f func() error) error {
	return s.d.call(ctx, name, func() error {
		if s.l.fence != s.fence {
			return ErrFenced
		}
		return f()
	})
}

func (s *memorySession) Fence() uint64 { return s.fence }

func (s *memorySession) Renew(ctx context.Context) error {
	return s.call(ctx, "Renew", func() error {
		if s.l.owner == "" {
			return errClosed
		}
		s.l.until = time.Now().Add(s.lease)
		return nil
	})
}

func (s *memorySession) Now(ctx context.Context) (time.Time, error) {
	return time.Now(), s.call(ctx, "Now", func() error { return nil })
}

func (s *memorySession) Do(ctx context.Context, id string, w Work, next State) error {
	return s.call(ctx, "Do", func() error {
		r, err := s.d.find(id)
		if err != nil {
			return err
		}
		if r.State.Rev+1 != next.Rev {
			return fmt.Errorf("%w: rev %d is saved, and %d was to follow", ErrFenced, r.State.Rev, next.Rev)
		}
		if r.Order.Forbids(r.State.Phase, next.Phase) {
			return fmt.Errorf("%w: %s: an order came before the end of the way back", ErrRetry, id)
		}
		if err := s.guard(w.Guard); err != nil {
			return err
		}
		if w.Func != nil {
			if err := w.Func(ctx, (*sql.Tx)(nil)); err != nil {
				return err
			}
		}
		s.d.log = append(s.d.log, w.Statements...)
		s.d.learn(r, w.Statements)
		r.State = next.clone()
		return nil
	})
}

// learn makes the Holds of a step true once its statements have run, and false again.
func (d *Memory) learn(r *Record, statements []string) {
	for _, step := range r.Script.Steps {
		switch {
		case step.Holds == "" || len(statements) == 0:
		case slices.Equal(statements, step.Do):
			d.holds[step.Holds] = true
		case slices.Equal(statements, step.Undo):
			d.holds[step.Holds] = step.Phase == RollingBack // a file's way down is done, not undone
		case r.Kind == Versioned && r.opposes(step, statements):
			d.holds[step.Holds] = false
		}
	}
}

// opposes says whether statements are a step of a file's other way.
func (r *Record) opposes(step Step, statements []string) bool {
	return slices.ContainsFunc(r.Script.Steps, func(other Step) bool {
		return other.Phase != step.Phase && slices.Equal(statements, slices.Concat(other.Do, other.Undo))
	})
}

func (s *memorySession) guard(g *Guard) error {
	if g == nil {
		return nil
	}
	alive := s.d.alive(g.App, g.TTL)
	if len(alive) == 0 && !g.Only {
		return fmt.Errorf("%w: no instance of %s has registered", ErrUnguarded, g.App)
	}
	if live := slices.DeleteFunc(alive, func(i Instance) bool { return !g.Refuses(i.Version) }); len(live) > 0 {
		return &LiveError{Instances: live}
	}
	return nil
}

func (s *memorySession) Holds(ctx context.Context, query string) (bool, error) {
	var holds bool
	err := s.call(ctx, "Holds", func() error { holds = s.d.holds[query]; return nil })
	return holds, err
}

func (s *memorySession) Batch(ctx context.Context, b BatchOrder) (Batch, error) {
	var done Batch
	err := s.call(ctx, "Batch", func() error {
		r, err := s.d.find(b.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Progress, func(p Progress) bool { return p.Step == b.Step })
		if i < 0 {
			i = len(r.Progress)
			r.Progress = append(r.Progress, Progress{Step: b.Step, Total: cmp.Or(s.d.Rows, 1000)})
		}
		p := &r.Progress[i]
		if b.Restart {
			*p = Progress{Step: b.Step, Total: p.Total}
		}
		done.Size = cmp.Or(b.Size, 100)
		done.Seen = min(int64(done.Size), p.Total-p.Seen)
		if !b.Walk.Verify {
			done.Rows = done.Seen
		}
		p.Rows, p.Seen = p.Rows+done.Rows, p.Seen+done.Seen
		p.Share = float64(p.Seen) / float64(p.Total)
		p.Done = p.Seen >= p.Total
		done.Progress, done.Done = *p, p.Done
		return nil
	})
	return done, err
}

func (s *memorySession) Pressure(ctx context.Context) (Pressure, error) {
	return Pressure{}, s.call(ctx, "Pressure", func() error { return nil })
}

func (s *memorySession) Close(ctx context.Context) error {
	err := s.call(ctx, "Close", func() error { s.l.owner, s.l.until = "", time.Time{}; return nil })
	if errors.Is(err, ErrFenced) {
		return nil
	}
	return err
}
