// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// Hold stops the clock: nothing is decided until Resume, but a return that has begun goes
// on. Who and why are required.
func (m *Monitor) Hold(ctx context.Context, by, why string) error {
	return m.order(ctx, "hold", by, why, func(s State) State { s.Held, s.By = why, by; return s })
}

// Resume ends a Hold.
func (m *Monitor) Resume(ctx context.Context, by, why string) error {
	return m.order(ctx, "resume", by, why, func(s State) State { s.Held, s.By = "", by; return s })
}

// Abort ends the watch, unless a return has begun.
func (m *Monitor) Abort(ctx context.Context, by, why string) error {
	return m.order(ctx, "abort", by, why, func(s State) State {
		s.By = by
		return s.end(time.Now(), Aborted, by+": "+why)
	})
}

// order saves an operator's word, whatever else is saved at the same time.
func (m *Monitor) order(ctx context.Context, what, by, why string, change func(State) State) error {
	if by == "" || why == "" {
		return fmt.Errorf("monitor: %s: say who and why", what)
	}
	for {
		s, err := m.store.Load(ctx, m.w.Service)
		switch {
		case err != nil:
			return fmt.Errorf("monitor: %s: %w", what, err)
		case s.over():
			return fmt.Errorf("monitor: %s: %s is not watched: %w", what, m.w.Service, rollback.ErrRefused)
		case s.Ledger.Open != nil:
			return fmt.Errorf("monitor: %s: it is going back already: %w", what, rollback.ErrRefused)
		}
		if err = m.save(ctx, s.Rev, change(s.next())); !errors.Is(err, rollback.ErrConflict) {
			return err
		}
	}
}
