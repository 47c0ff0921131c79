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

// errSuperseded keeps a return from taking back what nobody here has watched.
var errSuperseded = fmt.Errorf("another revision was deployed meanwhile: %w", rollback.ErrRefused)

// back brings the target back, or goes on with it. How that ended is saved together with
// the ledger.
func (m *Monitor) back(ctx context.Context, s State) (State, error) {
	o := m.w.Return
	o.Trigger, o.By, o.Why, o.To = rollback.Automatic, "monitor", s.Why, ""
	o.Save = func(ctx context.Context, l rollback.Ledger) error {
		next := s.next()
		if n := len(l.Returns); s.Ledger.Open != nil && l.Open == nil && n > 0 {
			next = next.returned(l.Returns[n-1])
		}
		next.Ledger = l
		if err := m.save(ctx, s.Rev, next); err != nil {
			return err
		}
		s = next
		return nil
	}
	// A return is decided upon for the revision that was watched. What is open was.
	deciding := func() bool { return s.Ledger.Open == nil }
	_, err := rollback.Do(ctx, &pinned{Target: m.w.Target, to: s.Revision, deciding: deciding}, s.Ledger, o)
	var failed *rollback.Error
	switch {
	case err == nil, s.over(): // the outcome says how
		return s, nil
	case !errors.As(err, &failed) || failed.Outcome != rollback.Refused || !errors.Is(err, rollback.ErrRefused):
		return s, fmt.Errorf("monitor: %w", err)
	}
	next := s.next()
	if errors.Is(err, errSuperseded) {
		next = next.end(time.Now(), Superseded, errSuperseded.Error())
	} else {
		next = next.end(time.Now(), Refused, fmt.Sprintf("%s; it should go back: %v", s.Why, failed.Err))
	}
	if err := m.save(ctx, s.Rev, next); err != nil {
		return s, fmt.Errorf("monitor: %w", err)
	}
	return next, nil
}

// returned is how the return ended.
func (s State) returned(r rollback.Return) State {
	if r.Outcome == rollback.RolledBack {
		return s.end(r.EndedAt, RolledBack, fmt.Sprintf("%s; %s is healthy in its place", s.Why, r.To))
	}
	return s.end(r.EndedAt, RollbackFailed, fmt.Sprintf("%s; going back to %s failed: %s", s.Why, r.To, r.End))
}

// pinned is a target that, while a return is decided upon, is no other revision's.
type pinned struct {
	rollback.Target
	to       rollback.Revision
	deciding func() bool
}

// Current refuses another revision than the one that was watched.
func (p *pinned) Current(ctx context.Context) (rollback.Revision, rollback.Token, error) {
	current, token, err := p.Target.Current(ctx)
	if err == nil && p.deciding() && current.Digest != p.to.Digest {
		return current, token, errSuperseded
	}
	return current, token, err
}
