// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// watched is a Memory that calls back before each method, and may fail instead.
type watched struct {
	*rollback.Memory
	before func(method string) error
	// status, if set, rewrites what Observe shows.
	status func(*rollback.Status)
}

func (w *watched) Current(ctx context.Context) (rollback.Revision, rollback.Token, error) {
	if err := w.before("Current"); err != nil {
		return rollback.Revision{}, "", err
	}
	return w.Memory.Current(ctx)
}

func (w *watched) Preflight(ctx context.Context, to rollback.Revision) error {
	if err := w.before("Preflight"); err != nil {
		return err
	}
	return w.Memory.Preflight(ctx, to)
}

func (w *watched) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
	if err := w.before("Apply"); err != nil {
		return "", err
	}
	return w.Memory.Apply(ctx, to, expect, key)
}

func (w *watched) Observe(ctx context.Context) (rollback.Status, error) {
	if err := w.before("Observe"); err != nil {
		return rollback.Status{}, err
	}
	s, err := w.Memory.Observe(ctx)
	if w.status != nil {
		w.status(&s)
	}
	return s, err
}

// world is a target where r3 is being rolled out over r2, and its ledger.
func world(before func(m *rollback.Memory, method string) error) (*watched, rollback.Ledger) {
	m := rollback.NewMemory(2*time.Second, v1, v2, v3)
	return &watched{Memory: m, before: func(method string) error {
		if before == nil {
			return nil
		}
		return before(m, method)
	}}, failing(v3, v1, v2)
}

// ends runs Do and holds its outcome, cause and number of changes against what is wanted.
func ends(t *testing.T, w *watched, l rollback.Ledger, o rollback.Options, outcome rollback.Outcome, cause error, changes int) rollback.Result {
	t.Helper()
	got, err := rollback.Do(t.Context(), w, l, o)
	if got.Outcome != outcome || !errors.Is(err, cause) {
		t.Errorf("%v, %v; want %v by %v", got.Outcome, err, outcome, cause)
	}
	if n := len(w.Applied()); n != changes {
		t.Errorf("%d changes, want %d", n, changes)
	}
	if (got.Outcome == rollback.RollbackFailed || got.Outcome == rollback.RolledBack) && got.Ledger.Open != nil {
		t.Error("there is a verdict and the return is still open")
	}
	return got
}

func TestDoRefusesBeforeItTouchesAnything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("image is gone")
		w, l := world(func(_ *rollback.Memory, method string) error {
			if method == "Preflight" {
				return errors.Join(gone, rollback.ErrRefused)
			}
			return nil
		})
		saves := 0
		got := ends(t, w, l, rollback.Options{Save: func(context.Context, rollback.Ledger) error { saves++; return nil }}, rollback.Refused, gone, 0)
		if saves != 0 || got.Ledger.Rev != l.Rev {
			t.Errorf("%d saves for a refusal", saves)
		}
		down := errors.New("no route to host")
		w, l = world(func(*rollback.Memory, string) error { return down })
		ends(t, w, l, rollback.Options{}, rollback.Refused, down, 0)
	})
}

func TestDoDoesNothingThatItCouldNotRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		w, l := world(nil)
		saves := 0
		o := rollback.Options{Save: func(context.Context, rollback.Ledger) error { saves++; return full }}
		ends(t, w, l, o, rollback.Unfinished, full, 0)
		if saves != 8 {
			t.Errorf("%d attempts to save, want 8", saves)
		}
		// Somebody else's change is not tried against.
		saves = 0
		o.Save = func(context.Context, rollback.Ledger) error { saves++; return rollback.ErrConflict }
		ends(t, w, l, o, rollback.Unfinished, rollback.ErrConflict, 0)
		if saves != 1 {
			t.Errorf("%d attempts after a conflict, want 1", saves)
		}
	})
}

func TestDoLeavesANewerDeployAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Between the look and the write: compare-and-swap catches it.
		deployed := false
		w, l := world(func(m *rollback.Memory, method string) error {
			if method == "Apply" && !deployed {
				deployed = true
				m.Deploy(v4)
			}
			return nil
		})
		ends(t, w, l, rollback.Options{}, rollback.RollbackFailed, rollback.ErrOvertaken, 1)
		if now, _, _ := w.Memory.Current(t.Context()); now != v4 {
			t.Errorf("%v runs, want the newer deploy", now)
		}
		// While waiting for it to be healthy.
		deployed = false
		w, l = world(func(m *rollback.Memory, method string) error {
			if method == "Observe" && !deployed {
				deployed = true
				m.Deploy(v4)
			}
			return nil
		})
		ends(t, w, l, rollback.Options{}, rollback.RollbackFailed, rollback.ErrOvertaken, 2)
		// While nobody was there to see it.
		w, l = world(nil)
		l = l.Begin(must(l.Plan(time.Now(), v3, []rollback.Revision{v2}, rollback.Ask{})))
		w.Deploy(v4)
		ends(t, w, l, rollback.Options{}, rollback.RollbackFailed, rollback.ErrOvertaken, 1)
	})
}

func TestDoTriesAgainAfterChangesThatAreNoDeploy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		touches := 0
		w, l := world(func(m *rollback.Memory, method string) error {
			if method == "Apply" && touches < 20 {
				touches++
				m.Touch()
			}
			return nil
		})
		got := ends(t, w, l, rollback.Options{}, rollback.RolledBack, nil, 1)
		if got.Applies != 21 {
			t.Errorf("%d attempts, want 20 conflicts and a success", got.Applies)
		}
		// And gives up with the deadline, not before and not never.
		w, l = world(func(m *rollback.Memory, method string) error {
			if method == "Apply" {
				m.Touch()
			}
			return nil
		})
		begin := time.Now()
		got = ends(t, w, l, rollback.Options{}, rollback.RollbackFailed, rollback.ErrConflict, 0)
		if took := time.Since(begin); took != 10*time.Minute || got.Applies > 1000 {
			t.Errorf("gave up after %v and %d attempts", took, got.Applies)
		}
	})
}

func TestDoEndsWithAVerdictWhateverTheTargetBecomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		health rollback.Health
		cause  error
	}{
		{rollback.Healthy, nil}, {rollback.Failed, rollback.ErrFailed}, {rollback.Degraded, rollback.ErrDeadline}, {rollback.Progressing, rollback.ErrDeadline},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, l := world(nil)
			w.Becomes(v2.Digest, c.health)
			outcome := rollback.RollbackFailed
			if c.cause == nil {
				outcome = rollback.RolledBack
			}
			got := ends(t, w, l, rollback.Options{}, outcome, c.cause, 1)
			if end := got.Ledger.Returns[0]; end.Outcome != outcome || (end.End == "") != (c.cause == nil) {
				t.Errorf("%v: recorded as %v, %q", c.health, end.Outcome, end.End)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w, l := world(func(_ *rollback.Memory, method string) error {
			if method == "Observe" {
				return errors.New("no route to host")
			}
			return nil
		})
		ends(t, w, l, rollback.Options{}, rollback.RollbackFailed, rollback.ErrDeadline, 1)
	})
}

func TestAFlickerIsNoRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := world(nil)
		begin := time.Now()
		looks := 0
		w.status = func(s *rollback.Status) {
			// For two minutes every other look is healthy.
			if looks++; looks%2 == 0 && time.Since(begin) < 2*time.Minute {
				s.Health = rollback.Degraded
			}
		}
		ends(t, w, l, rollback.Options{}, rollback.RolledBack, nil, 1)
		if took := time.Since(begin); took < 2*time.Minute+8*time.Second {
			t.Errorf("took %v for a recovery, though it flickered for two minutes", took)
		}
	})
}

func TestDoStopsWithItsContextAndGoesOnLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := world(nil)
		s := newStore(l)
		o := rollback.Options{Save: func(_ context.Context, l rollback.Ledger) error { return s.save(l) }}
		stop := errors.New("shutting down")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, stop)
		defer cancel()
		got, err := rollback.Do(ctx, w, l, o)
		if got.Outcome != rollback.Unfinished || !errors.Is(err, stop) {
			t.Errorf("%v, %v; want Unfinished by the caller's cause", got.Outcome, err)
		}
		// Much later, past the deadline: it was us who were away, not the target.
		time.Sleep(time.Hour) // the bubble's clock
		got = ends(t, w, s.load(), o, rollback.RolledBack, nil, 1)
		if got.Applies != 0 {
			t.Errorf("asked %d times for what was there", got.Applies)
		}
	})
}

func TestBeingStoppedIsNoVerdictEvenWhenNothingIsSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := world(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got, err := rollback.Do(ctx, w, l, rollback.Options{})
		if got.Outcome != rollback.Unfinished || !errors.Is(err, context.DeadlineExceeded) || got.Ledger.Open == nil {
			t.Errorf("%v, %v, open %v; want Unfinished with the return open", got.Outcome, err, got.Ledger.Open)
		}
	})
}

func TestAPersonGoesElsewhereThanAnOpenReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := world(nil)
		w.Becomes(v2.Digest, rollback.Progressing)
		l = l.Begin(must(l.Plan(time.Now(), v3, []rollback.Revision{v2}, rollback.Ask{})))
		s := newStore(l)
		o := rollback.Options{
			Ask:  rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "r2 hangs", To: v1.ID},
			Save: func(_ context.Context, l rollback.Ledger) error { return s.save(l) },
		}
		got := ends(t, w, l, o, rollback.RolledBack, nil, 1)
		if got.Return.To != v1 || got.Return.By != "ada" {
			t.Errorf("went to %v by %q", got.Return.To, got.Return.By)
		}
		if r := s.load().Returns; len(r) != 2 || r[0].Outcome != rollback.RollbackFailed || !strings.Contains(r[0].End, "ada") {
			t.Errorf("returns %+v; want the first one ended by ada", r)
		}
	})
}

func TestAnErrorSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := world(nil)
		w.Becomes(v2.Digest, rollback.Failed)
		_, err := rollback.Do(t.Context(), w, l, rollback.Options{})
		want := "rollback of checkout from r3 (sha256:03) to r2 (sha256:02): rollbackFailed while waiting for the target to be healthy (the target had accepted it): set to failed: rollback: the target failed"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		var detail *rollback.Error
		if _, err := rollback.Do(t.Context(), w, baked(v2), rollback.Options{}); !errors.As(err, &detail) || detail.Page() {
			t.Errorf("being there already pages: %v", err)
		}
		if _, err := rollback.Do(t.Context(), w, rollback.Ledger{}, rollback.Options{}); !errors.As(err, &detail) || !detail.Page() {
			t.Errorf("having nowhere to go does not page: %v", err)
		}
	})
}
