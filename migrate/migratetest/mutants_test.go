// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// recorder is a reporter that keeps what a case says.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	skipped  bool
}

func (*recorder) Helper()                    {}
func (r *recorder) Context() context.Context { return r.ctx }
func (*recorder) Logf(string, ...any)        {}
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Skipf(string, ...any)              { r.skipped = true; runtime.Goexit() }

// wrong is a Memory that does one thing wrongly.
type wrong struct {
	*migrate.Memory
	kind string
}

var kinds = []string{
	"orders what is contracted", "loads what is not there", "forgets the state's steps", "lists backwards", "has no lease",
	"fences nobody", "saves any rev", "guards nothing", "registers whom it retired", "heeds no context", "creates twice",
	"contracts over an order", "replaces any order",
}

func (d *wrong) Load(ctx context.Context, id string) (migrate.Record, error) {
	if d.kind == "heeds no context" {
		ctx = context.WithoutCancel(ctx)
	}
	r, err := d.Memory.Load(ctx, id)
	switch {
	case d.kind == "loads what is not there" && errors.Is(err, migrate.ErrNotFound):
		return migrate.Record{ID: id}, nil
	case d.kind == "forgets the state's steps":
		r.State.Steps = nil
	}
	return r, err
}

func (d *wrong) Create(ctx context.Context, r migrate.Record) error {
	if err := d.Memory.Create(ctx, r); d.kind != "creates twice" || !errors.Is(err, migrate.ErrExists) {
		return err
	}
	return nil
}

func (d *wrong) List(ctx context.Context) ([]migrate.Record, error) {
	all, err := d.Memory.List(ctx)
	if d.kind == "lists backwards" {
		slices.Reverse(all)
	}
	return all, err
}

func (d *wrong) Order(ctx context.Context, id string, o migrate.Order) error {
	if d.kind == "replaces any order" {
		o.N = 0
	}
	if err := d.Memory.Order(ctx, id, o); d.kind != "orders what is contracted" || !errors.Is(err, migrate.ErrContracted) {
		return err
	}
	return nil
}

func (d *wrong) Register(ctx context.Context, i migrate.Instance) error {
	if err := d.Memory.Register(ctx, i); d.kind != "registers whom it retired" || !errors.Is(err, migrate.ErrRetired) {
		return err
	}
	return nil
}

func (d *wrong) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	if d.kind == "has no lease" {
		owner = "everybody"
	}
	s, err := d.Memory.Lock(ctx, name, owner, lease)
	if err != nil {
		return nil, err
	}
	return &wrongSession{s, d}, nil
}

type wrongSession struct {
	migrate.Session
	d *wrong
}

func (s *wrongSession) Renew(ctx context.Context) error {
	if err := s.Session.Renew(ctx); s.d.kind != "fences nobody" || !errors.Is(err, migrate.ErrFenced) {
		return err
	}
	return nil
}

func (s *wrongSession) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	switch s.d.kind {
	case "contracts over an order":
		if err := s.Session.Do(ctx, id, w, next); !errors.Is(err, migrate.ErrRetry) {
			return err
		}
		if err := s.d.Memory.Order(ctx, id, migrate.Order{}); err != nil {
			return err
		}
	case "guards nothing":
		w.Guard = nil
	case "saves any rev":
		if r, err := s.d.Memory.Load(ctx, id); err == nil {
			next.Rev = r.State.Rev + 1
		}
	}
	return s.Session.Do(ctx, id, w, next)
}

// TestEveryWrongDatabaseIsCaught tries the suite itself: what is wrong must fail some case,
// and the failure must say what the law is.
func TestEveryWrongDatabaseIsCaught(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases() {
				r := &recorder{ctx: t.Context()}
				db := &wrong{migrate.NewMemory(), kind}
				var group sync.WaitGroup
				group.Go(func() {
					c.try(r, Subject{Database: db, Another: func() migrate.Database { return db }, Races: 50})
				})
				group.Wait()
				if n := len(r.failures); n > 0 {
					if r.failures[n-1] != "the law: "+c.why {
						t.Errorf("the last word of a failure is %q", r.failures[n-1])
					}
					t.Logf("caught by %q: %s", c.name, r.failures[0])
					return
				}
			}
			t.Error("no case catches it")
		})
	}
}
