// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"sync"
	"time"
)

// Work carries out whatever is ordered of any change, by anybody, until ctx ends. Several
// processes may do so: each change has one at work, and changes are worked on side by
// side. Errors are told to the observer, each once until it changes, and the changes
// tried again after Options.Poll, those apart that need a person: their State.Failed says
// why, and a new order, or Run, tries them again. Work calls the observer from several
// goroutines, one for each change.
func (m *Migrator) Work(ctx context.Context) error {
	w := worker{m: m, told: map[string]string{}}
	defer w.group.Wait()
	for {
		records, err := m.db.List(ctx)
		w.tell(ctx, Record{}, err)
		for _, r := range records {
			if r.waits() || m.claims(r.ID) {
				continue
			}
			w.group.Go(func() {
				_, err := m.turn(ctx, r.ID)
				w.tell(ctx, r, err)
			})
		}
		if err := sleep(ctx, m.o.Poll); err != nil {
			return err
		}
	}
}

type worker struct {
	m     *Migrator
	group sync.WaitGroup
	mu    sync.Mutex
	told  map[string]string // the last error of each change
}

// tell tells an error, unless it was the last one told of this change.
func (w *worker) tell(ctx context.Context, r Record, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	known := w.told[r.ID] == text
	w.told[r.ID] = text
	w.mu.Unlock()
	switch {
	case err == nil, known, ctx.Err() != nil:
	case held(err):
		w.m.tell(ctx, r, Event{Kind: Waiting, Why: err.Error()})
	default:
		w.m.tell(ctx, r, Event{Kind: Failed, Err: err})
	}
}

// waits says whether there is nothing to do about a record, until there is an order.
func (r Record) waits() bool {
	a, err := next(r, time.Time{})
	return r.Kind != Coupled || r.State.Failed != "" && r.State.FailedUnder == r.Order.N ||
		err == nil && (a.act == actNothing || a.act == actPaused)
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
