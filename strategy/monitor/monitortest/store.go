// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package monitortest tells whether a [monitor.Store] can be relied on.
//
//	func TestStore(t *testing.T) {
//		monitortest.TestStore(t, func(t *testing.T) monitortest.Subject {
//			return monitortest.Subject{Store: mine.NewStore(t.TempDir())}
//		})
//	}
package monitortest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

// Subject is a store to be tried.
type Subject struct {
	// Store is the store, without any service. Required.
	Store monitor.Store
	// Reopen ends this store and opens another over what it has kept, as after a restart.
	// Leave it nil for a store that forgets.
	Reopen func(ctx context.Context) (monitor.Store, error)
}

// TestStore tries the stores that newStore makes against the whole contract, one subtest a
// case and a fresh store for each.
func TestStore(t *testing.T, newStore func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			if c.reopen && s.Reopen == nil {
				t.Skip("skipped for want of Subject.Reopen")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := c.try(ctx, s); err != nil {
				t.Errorf("%v\nthe law: %s", err, c.why)
			}
		})
	}
}

// service is whom the cases are about; others are beside it.
const service = "shop"

// full is a state that has something in each place.
func full(rev uint64) monitor.State {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	revision := rollback.Revision{ID: "v2", Digest: fmt.Sprint("sha256:", rev)}
	return monitor.State{
		Version: monitor.StateVersion, Rev: rev, Run: 3, Revision: revision, Began: at, Returning: true, Held: "lunch", By: "ada",
		Outcome: monitor.RolledBack, Why: "it failed <&> \u2028", Ended: at.Add(time.Hour), Seen: at.Add(time.Minute),
		Watched: time.Hour + 1, Healthy: time.Minute, Unhealthy: time.Second, Health: rollback.Healthy,
		Findings: map[string]analysis.Finding{"errors": {Verdict: analysis.Fail, Reason: "many", N: 1<<63 + 1, State: "{}"}},
		Ledger: rollback.Ledger{
			Version: 1, Service: service, Rev: 7, Seq: 9, Running: revision.Digest, Returned: true,
			Records: []rollback.Record{{Revision: revision, DeployedAt: at, BakedAt: at, Baked: 4}},
			Returns: []rollback.Return{{Trigger: rollback.Automatic, At: at, Why: "it failed"}},
			Open:    &rollback.Return{Trigger: rollback.Human, At: at, By: "ada"},
		},
	}
}

type storeCase struct {
	name, why string
	reopen    bool
	try       func(ctx context.Context, s Subject) error
}

var cases = []storeCase{
	{
		name: "a service that was never saved is the zero State",
		why:  "Load: the zero State if there is none, and no error",
		try:  func(ctx context.Context, s Subject) error { return holds(ctx, s.Store, service, monitor.State{}) },
	},
	{
		name: "what was saved is loaded",
		why:  "each field survives: what is lost is forgotten in the middle of a return",
		try: func(ctx context.Context, s Subject) error {
			return errors.Join(write(ctx, s.Store, 3), holds(ctx, s.Store, service, full(3)), holds(ctx, s.Store, service, full(3)))
		},
	},
	{
		name: "a save that follows another rev is a conflict and changes nothing",
		why:  "Save compares: of two processes that decide at once one is told that it has not",
		try:  compares,
	},
	{
		name: "of many that save at once one wins",
		why:  "the comparison and the save are one step",
		try:  races,
	},
	{
		name: "services are apart",
		why:  "a name is a name, whatever it looks like",
		try:  apart,
	},
	{
		name: "a state is nobody else's",
		why:  "a State is a value: what the caller does with his own afterwards changes nothing that is kept",
		try:  copies,
	},
	{
		name: "what cannot be read is not empty",
		why:  "an error is not an empty state: who takes it for one watches anew what was to go back",
		try:  cancelled,
	},
	{
		name: "what was saved outlives the process", reopen: true,
		why: "a process that dies anywhere is followed by another",
		try: func(ctx context.Context, s Subject) error {
			if err := write(ctx, s.Store, 3); err != nil {
				return err
			}
			again, err := s.Reopen(ctx)
			if err != nil {
				return fmt.Errorf("reopen: %w", err)
			}
			return errors.Join(holds(ctx, again, service, full(3)), again.Save(ctx, service, 3, full(4)), holds(ctx, again, service, full(4)))
		},
	},
}

// write saves the revs up to one, each over the one before it.
func write(ctx context.Context, s monitor.Store, upTo uint64) error {
	for rev := range upTo {
		if err := s.Save(ctx, service, rev, full(rev+1)); err != nil {
			return fmt.Errorf("Save of rev %d over %d: %w", rev+1, rev, err)
		}
	}
	return nil
}

// holds compares as JSON, which is all that must survive.
func holds(ctx context.Context, s monitor.Store, service string, want monitor.State) error {
	have, err := s.Load(ctx, service)
	if err != nil {
		return fmt.Errorf("Load(%q): %w", service, err)
	}
	a, errA := json.Marshal(have)
	b, errB := json.Marshal(want)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("Load(%q) is\n%s\nwant\n%s", service, a, b)
	}
	return nil
}

func compares(ctx context.Context, s Subject) error {
	if err := s.Store.Save(ctx, service, 1, full(2)); !errors.Is(err, rollback.ErrConflict) {
		return fmt.Errorf("Save over rev 1 of a service that has none: %w, want ErrConflict", err)
	}
	if err := write(ctx, s.Store, 3); err != nil {
		return err
	}
	for _, prev := range []uint64{0, 2, 4} {
		if err := s.Store.Save(ctx, service, prev, full(prev+1)); !errors.Is(err, rollback.ErrConflict) {
			return fmt.Errorf("Save over rev %d where 3 is kept: %w, want ErrConflict", prev, err)
		}
	}
	return holds(ctx, s.Store, service, full(3))
}

func races(ctx context.Context, s Subject) error {
	for rev := range uint64(20) {
		const many = 8
		results := make(chan error, many)
		var all sync.WaitGroup
		for range many {
			all.Go(func() { results <- s.Store.Save(ctx, service, rev, full(rev+1)) })
		}
		all.Wait()
		close(results)
		won := 0
		for err := range results {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, rollback.ErrConflict):
				return err
			}
		}
		if won != 1 {
			return fmt.Errorf("%d of %d saved over rev %d", won, many, rev)
		}
	}
	return nil
}

func apart(ctx context.Context, s Subject) error {
	names := []string{"shop", "Shop", "shop/eu", "shop.eu", "shop eu", "../shop", "магазин", "shop\x00"}
	for i, name := range names {
		if err := s.Store.Save(ctx, name, 0, full(uint64(i)+1)); err != nil {
			return fmt.Errorf("Save(%q): %w", name, err)
		}
	}
	for i, name := range names {
		if err := holds(ctx, s.Store, name, full(uint64(i)+1)); err != nil {
			return err
		}
	}
	return nil
}

func copies(ctx context.Context, s Subject) error {
	mine := full(1)
	if err := s.Store.Save(ctx, service, 0, mine); err != nil {
		return err
	}
	spoil(mine)
	if err := holds(ctx, s.Store, service, full(1)); err != nil {
		return err
	}
	loaded, err := s.Store.Load(ctx, service)
	if err != nil {
		return err
	}
	spoil(loaded)
	return holds(ctx, s.Store, service, full(1))
}

func spoil(s monitor.State) {
	s.Findings["errors"] = analysis.Finding{}
	s.Ledger.Open.By = "eve"
	s.Ledger.Records[0].Baked = 0
}

func cancelled(ctx context.Context, s Subject) error {
	if err := write(ctx, s.Store, 1); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Store.Load(ended, service); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Load with a context that has ended: %w, want context.Canceled", err)
	}
	if err := s.Store.Save(ended, service, 1, full(2)); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Save with a context that has ended: %w, want context.Canceled", err)
	}
	return holds(ctx, s.Store, service, full(1))
}
