// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// watched is a Database that tells when a state or a batch was saved, and that dies when
// it is told to.
type watched struct {
	migrate.Database
	// at is the call at which it dies, from 1; 0 is never. late is after it was done.
	at   int
	late bool
	// saved is called after each.
	saved func(migrate.State)

	calls int
	dead  atomic.Bool
	state migrate.State
}

var errDead = errors.New("the process died here")

func (w *watched) Lock(ctx context.Context, name, owner string, d time.Duration) (migrate.Session, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	s, err := w.Database.Lock(ctx, name, owner, d)
	return &watchedSession{s, w}, err
}

func (w *watched) Load(ctx context.Context, id string) (migrate.Record, error) {
	if w.dead.Load() {
		return migrate.Record{}, errDead
	}
	return w.Database.Load(ctx, id)
}

type watchedSession struct {
	migrate.Session
	w *watched
}

func (s *watchedSession) call(f func() error) error {
	w := s.w
	w.calls++
	if w.dead.Load() || w.calls == w.at && !w.late {
		w.dead.Store(true)
		return errDead
	}
	if err := f(); err != nil {
		return err
	}
	if w.calls == w.at {
		w.dead.Store(true)
	}
	if w.saved != nil {
		w.saved(w.state)
	}
	if w.dead.Load() {
		return errDead
	}
	return nil
}

func (s *watchedSession) Do(ctx context.Context, id string, work migrate.Work, next migrate.State) error {
	return s.call(func() error {
		err := s.Session.Do(ctx, id, work, next)
		if err == nil {
			s.w.state = next
		}
		return err
	})
}

func (s *watchedSession) Batch(ctx context.Context, b migrate.BatchOrder) (done migrate.Batch, err error) {
	err = s.call(func() (err error) { done, err = s.Session.Batch(ctx, b); return err })
	return done, err
}

func (s *watchedSession) Renew(ctx context.Context) error {
	if s.w.dead.Load() {
		return errDead
	}
	return s.Session.Renew(ctx)
}

func (s *watchedSession) Close(ctx context.Context) error {
	if s.w.dead.Load() {
		return errDead
	}
	return s.Session.Close(ctx)
}
