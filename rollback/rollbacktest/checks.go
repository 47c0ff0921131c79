// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollbacktest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rheostat-go/rheostat/rollback"
)

var checks = []check{
	{
		name: "revisions have a name and a digest of their own",
		why:  "an ID never means another revision later, and quarantine goes by digest",
		run:  checkHistory,
	},
	{
		name: "the current revision is in the history",
		why:  "what runs now can be come back to",
		run: func(ctx context.Context, b bench) error {
			history, err := b.Target.History(ctx)
			if err != nil {
				return err
			}
			for _, r := range history {
				if r.ID == b.now.ID && r.Digest == b.now.Digest {
					return nil
				}
			}
			return fmt.Errorf("current is %v, history is %v", b.now, history)
		},
	},
	{
		name: "looking writes nothing",
		why:  "Current, History, Preflight and Observe never write; their tokens stay good",
		run:  checkLooking,
	},
	{
		name: "preflight lets a revision of the history pass",
		why:  "a target at rest can go back",
		run:  func(ctx context.Context, b bench) error { return b.Target.Preflight(ctx, b.one) },
	},
	{
		name: "preflight refuses what does not exist",
		why:  "say so before anything is begun, with ErrRefused",
		run: func(ctx context.Context, b bench) error {
			return b.refused(ctx, b.Target.Preflight(ctx, b.missing), rollback.ErrRefused, b.now)
		},
	},
	{
		name: "apply goes to the revision that was asked for",
		why:  "an explicit target, not the previous one",
		run: func(ctx context.Context, b bench) error {
			if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
				return err
			}
			return b.is(ctx, b.one)
		},
	},
	{
		name: "apply gives the token to go on with",
		why:  "the token is that of the state that the call has made",
		run: func(ctx context.Context, b bench) error {
			token, err := b.Target.Apply(ctx, b.one, b.token, "k1")
			if err != nil {
				return err
			}
			if _, err := b.Target.Apply(ctx, b.two, token, "k2"); err != nil {
				return fmt.Errorf("with the token of the change before: %w", err)
			}
			return b.is(ctx, b.two)
		},
	},
	{
		name: "apply refuses what does not exist",
		why:  "with ErrRefused, and nothing has happened",
		run: func(ctx context.Context, b bench) error {
			_, err := b.Target.Apply(ctx, b.missing, b.token, "k1")
			return b.refused(ctx, err, rollback.ErrRefused, b.now)
		},
	},
	{
		name: "a token from before a change is refused",
		why:  "compare at the moment of the write, not before it; the error wraps ErrConflict",
		run: func(ctx context.Context, b bench) error {
			if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
				return err
			}
			_, err := b.Target.Apply(ctx, b.two, b.token, "k2")
			return b.refused(ctx, err, rollback.ErrConflict, b.one)
		},
	},
	{
		name: "a token from before somebody else's change is refused", needs: func(s Subject) bool { return s.Touch != nil },
		why: "any change counts, not only those of the revision: what was decided may rest on it",
		run: func(ctx context.Context, b bench) error {
			if err := b.Touch(ctx); err != nil {
				return err
			}
			_, err := b.Target.Apply(ctx, b.one, b.token, "k1")
			return b.refused(ctx, err, rollback.ErrConflict, b.now)
		},
	},
	{
		name: "a key that was applied is applied",
		why:  "a caller that lost the reply asks again, with an old token or a new one",
		run:  checkAgain,
	},
	{
		name: "a key that was overtaken does nothing any more",
		why:  "a stalled caller that wakes up must not undo what came after its decision",
		run:  checkOvertaken,
	},
	{
		name: "a key stands for one revision",
		why:  "the same key for another revision is an ErrConflict",
		run: func(ctx context.Context, b bench) error {
			token, err := b.Target.Apply(ctx, b.one, b.token, "k1")
			if err != nil {
				return err
			}
			_, err = b.Target.Apply(ctx, b.two, token, "k1")
			return b.refused(ctx, err, rollback.ErrConflict, b.one)
		},
	},
	{
		name: "a refused key is not used up",
		why:  "what did not happen can be asked for again",
		run: func(ctx context.Context, b bench) error {
			if _, err := b.Target.Apply(ctx, b.one, "no such token", "k1"); !errors.Is(err, rollback.ErrConflict) {
				return fmt.Errorf("a token that never was: %w", orNone(err))
			}
			if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
				return err
			}
			return b.is(ctx, b.one)
		},
	},
	{
		name: "a new key goes back to where an old one had gone",
		why:  "keys are decisions, not revisions",
		run: func(ctx context.Context, b bench) error {
			token := b.token
			for i, to := range []rollback.Revision{b.one, b.two, b.one} {
				var err error
				if token, err = b.Target.Apply(ctx, to, token, fmt.Sprint("k", i)); err != nil {
					return err
				}
			}
			return b.is(ctx, b.one)
		},
	},
	{
		name: "one of many at once wins",
		why:  "compare-and-swap holds under concurrency: one change, all others ErrConflict",
		run:  checkRace,
	},
	{
		name: "a cancelled call changes nothing or everything",
		why:  "and it returns an error unless it has applied",
		run: func(ctx context.Context, b bench) error {
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := b.Target.Apply(cancelled, b.one, b.token, "k1"); err != nil {
				return nil //nolint:nilerr // an error is what is wanted here
			}
			return b.is(ctx, b.one)
		},
	},
	{
		name: "a look that was cancelled is an error",
		why:  "not knowing is an error, never a zero Status",
		run: func(ctx context.Context, b bench) error {
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			if s, err := b.Target.Observe(cancelled); err == nil && s.Running.Digest == "" {
				return errors.New("observe gave an empty status and no error")
			}
			return nil
		},
	},
	{
		name: "what was healthy before a change is not the change",
		why:  "until the change is noticed, the status must show that it is older: Observed below Generation, or the old revision in Running",
		run: func(ctx context.Context, b bench) error {
			if err := b.healthy(ctx, b.now); err != nil {
				return err
			}
			if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
				return err
			}
			s, err := b.Target.Observe(ctx)
			if err != nil {
				return err
			}
			if health, _ := s.Judge(b.now); health == rollback.Healthy {
				return fmt.Errorf("just after a change to %v, %v is healthy: %+v", b.one, b.now, s)
			}
			return nil
		},
	},
	{
		name: "what was gone back to becomes healthy",
		why:  "with Running, Ready and the generations set, so that Status.Judge can see it",
		run: func(ctx context.Context, b bench) error {
			if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
				return err
			}
			return b.healthy(ctx, b.one)
		},
	},
}

func checkHistory(ctx context.Context, b bench) error {
	history, err := b.Target.History(ctx)
	if err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, r := range history {
		if r.ID == "" || r.Digest == "" || ids[r.ID] {
			return fmt.Errorf("%+v has no ID, no digest, or the ID of another", r)
		}
		ids[r.ID] = true
	}
	return nil
}

func checkLooking(ctx context.Context, b bench) error {
	for range 3 {
		_, err := b.Target.History(ctx)
		_, seen := b.Target.Observe(ctx)
		if err := errors.Join(err, seen, b.Target.Preflight(ctx, b.one)); err != nil {
			return err
		}
	}
	if err := b.is(ctx, b.now); err != nil {
		return err
	}
	if _, err := b.Target.Apply(ctx, b.one, b.token, "k1"); err != nil {
		return fmt.Errorf("with the token from before the looks: %w", err)
	}
	return nil
}

func checkAgain(ctx context.Context, b bench) error {
	first, err := b.Target.Apply(ctx, b.one, b.token, "k1")
	if err != nil {
		return err
	}
	for _, expect := range []rollback.Token{b.token, first} {
		again, err := b.Target.Apply(ctx, b.one, expect, "k1")
		if err != nil {
			return fmt.Errorf("again, expecting %q: %w", expect, err)
		}
		if again != first {
			return fmt.Errorf("again, expecting %q: token %q, the first time it was %q", expect, again, first)
		}
	}
	if _, now, err := b.Target.Current(ctx); err != nil || now != first {
		return fmt.Errorf("the token is %q after repeats, %q before: something was written (%w)", now, first, orNone(err))
	}
	return b.is(ctx, b.one)
}

func checkOvertaken(ctx context.Context, b bench) error {
	token, err := b.Target.Apply(ctx, b.one, b.token, "k1")
	if err != nil {
		return err
	}
	if token, err = b.Target.Apply(ctx, b.two, token, "k2"); err != nil {
		return err
	}
	// Whether it is told so is the target's affair; what counts is that two stays.
	_, _ = b.Target.Apply(ctx, b.one, token, "k1")
	return b.is(ctx, b.two)
}

func checkRace(ctx context.Context, b bench) error {
	const racers = 16
	errs := make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			to := b.one
			if i%2 == 1 {
				to = b.two
			}
			_, errs[i] = b.Target.Apply(ctx, to, b.token, fmt.Sprint("k", i))
		})
	}
	close(start)
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, rollback.ErrConflict):
			return fmt.Errorf("a loser was told %w, want ErrConflict", err)
		}
	}
	if won != 1 {
		return fmt.Errorf("%d of %d won, want one", won, racers)
	}
	return nil
}
