// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback_test

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// The tests in this file take one mistake each that rollback controllers are
// known to make, and show what happens here instead.

func TestAStatusFromBeforeTheChangeIsNotSuccess(t *testing.T) {
	t.Parallel()
	// Right after the write, the counts in the old status still agree with each
	// other: all replicas updated, all ready.
	old := rollback.Status{Health: rollback.Healthy, Running: v2, Generation: 8, Observed: 7, Ready: 1}
	if h, why := old.Judge(v2); h != rollback.Progressing {
		t.Errorf("a status of generation 7 of 8 is %v (%s)", h, why)
	}
	// The same goes for a failure: it may be the last change's.
	old.Health = rollback.Failed
	if h, _ := old.Judge(v2); h != rollback.Progressing {
		t.Errorf("a failure of generation 7 of 8 is %v", h)
	}
	old.Observed = 8
	if h, _ := old.Judge(v2); h != rollback.Failed {
		t.Errorf("a failure of generation 8 of 8 is %v", h)
	}
	if h, _ := (rollback.Status{Health: rollback.Healthy, Running: v3, Ready: 1}).Judge(v2); h != rollback.Progressing {
		t.Errorf("another revision's health is %v", h)
	}
	synctest.Test(t, func(t *testing.T) {
		m := rollback.NewMemory(time.Minute, v2, v3) // the old status stays for 15 s
		begin := time.Now()
		if _, err := rollback.Do(t.Context(), m, failing(v3, v2), rollback.Options{Stable: time.Second}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < time.Minute {
			t.Errorf("success after %v, but it takes a minute to become healthy", took)
		}
	})
}

func TestACollisionCountIsNoReasonForAnything(t *testing.T) {
	t.Parallel()
	// It counts name collisions, is never reset, and says nothing about health.
	s := rollback.Status{Health: rollback.Healthy, Running: v2, Generation: 8, Observed: 8, Ready: 1, Notes: []string{"collisionCount=3"}}
	if h, why := s.Judge(v2); h != rollback.Healthy {
		t.Errorf("a healthy target with collisions is %v (%s)", h, why)
	}
	s.Health = rollback.Progressing
	if h, why := s.Judge(v2); h != rollback.Progressing {
		t.Errorf("a target with collisions that is on its way is %v (%s)", h, why)
	}
}

func TestATimeoutIsAVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := rollback.NewMemory(time.Second, v2, v3)
		m.Becomes(v2.Digest, rollback.Progressing) // never gets there
		begin := time.Now()
		got, err := rollback.Do(t.Context(), m, failing(v3, v2), rollback.Options{Deadline: 5 * time.Minute})
		if took := time.Since(begin); took != 5*time.Minute {
			t.Errorf("took %v, want the deadline", took)
		}
		var detail *rollback.Error
		if got.Outcome != rollback.RollbackFailed || !errors.Is(err, rollback.ErrDeadline) || !errors.As(err, &detail) || !detail.Page() || !detail.Applied {
			t.Errorf("%v, %v; want RollbackFailed by ErrDeadline, applied, and a page", got.Outcome, err)
		}
		if got.Ledger.Open != nil || len(got.Ledger.Returns) != 1 || got.Ledger.Returns[0].Outcome != rollback.RollbackFailed {
			t.Errorf("the ledger does not say that it failed: %+v", got.Ledger)
		}
		// And that is final: nothing tries the same again by itself, ever.
		for _, wait := range []time.Duration{0, 1000 * time.Hour} {
			time.Sleep(wait) // the bubble's clock
			if again, err := rollback.Do(t.Context(), m, got.Ledger, rollback.Options{}); again.Outcome != rollback.Refused {
				t.Errorf("again after %v: %v, %v", wait, again.Outcome, err)
			}
		}
		if n := len(m.Applied()); n != 1 {
			t.Errorf("%d changes were made, want one", n)
		}
	})
}

func TestNaNAndNoDataAreNotHealthy(t *testing.T) {
	t.Parallel()
	zero := 0.0
	for _, ready := range []float64{math.NaN(), zero / zero, 3 / zero, math.Inf(-1), -1, 0, 0.999} {
		s := rollback.Status{Health: rollback.Healthy, Running: v2, Ready: ready}
		if h, why := s.Judge(v2); h != rollback.Degraded || why == "" {
			t.Errorf("ready share %v is %v (%q), want degraded with a reason", ready, h, why)
		}
	}
	for _, ready := range []float64{1, 1.25} {
		if h, why := (rollback.Status{Health: rollback.Healthy, Running: v2, Ready: ready}).Judge(v2); h != rollback.Healthy {
			t.Errorf("ready share %v is %v (%s), want healthy", ready, h, why)
		}
	}
	if h, _ := (rollback.Status{}).Judge(v2); h != rollback.Progressing {
		t.Errorf("no data is %v", h)
	}
	if h, _ := (rollback.Status{}).Judge(rollback.Revision{}); h != rollback.Progressing {
		t.Errorf("no data about nothing is %v", h)
	}
}

func TestRollingBackTwiceDoesNotBringTheBadRevisionBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := rollback.NewMemory(time.Second, v1, v2, v3)
		first, err := rollback.Do(t.Context(), m, failing(v3, v1, v2), rollback.Options{})
		if err != nil || first.Return.To != v2 {
			t.Fatalf("first: to %v, %v", first.Return.To, err)
		}
		// The previous revision is now r3, the bad one. Nobody goes there: not by
		// itself, not by a person who names nothing, not by one who names it.
		auto, err := rollback.Do(t.Context(), m, first.Ledger, rollback.Options{})
		if auto.Outcome != rollback.Refused || !errors.Is(err, rollback.ErrAlready) {
			t.Errorf("again, by itself: %v, %v", auto.Outcome, err)
		}
		ask := rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "still broken"}
		human, err := rollback.Do(t.Context(), m, first.Ledger, rollback.Options{Ask: ask})
		if human.Outcome != rollback.Refused || !errors.Is(err, rollback.ErrAlready) {
			t.Errorf("again, by a person: %v, %v", human.Outcome, err)
		}
		ask.To = v3.ID
		if named, err := rollback.Do(t.Context(), m, first.Ledger, rollback.Options{Ask: ask}); !errors.Is(err, rollback.ErrQuarantined) {
			t.Errorf("to the bad one by name: %v, %v", named.Outcome, err)
		}
		ask.To = v1.ID
		back, err := rollback.Do(t.Context(), m, first.Ledger, rollback.Options{Ask: ask})
		if err != nil || back.Return.To != v1 {
			t.Errorf("further back by name: to %v, %v", back.Return.To, err)
		}
		if got := m.Applied(); len(got) != 2 || got[0].To != v2 || got[1].To != v1 {
			t.Errorf("changes %+v, want r2 and then r1", got)
		}
	})
}
