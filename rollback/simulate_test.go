// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// errCrash is what every call gets from a process that is no more.
var errCrash = errors.New("crashed")

// process runs Do with calls that are counted, and dies at one of them: before
// it is made, or after it was made and before the reply came.
type process struct {
	target *rollback.Memory
	store  *store
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	calls int
	// at is the call to die at, from 1; 0 is never. after says on which side.
	at    int
	after bool
	dead  bool
	// trouble, if set, makes a call fail without a crash; lost says that it was
	// made nevertheless.
	trouble func() (fails, lost bool)
}

func (p *process) do(call func() error) error {
	p.mu.Lock()
	p.calls++
	mine, trouble := p.calls == p.at, p.trouble
	if p.dead || mine && !p.after {
		p.dead = true
		p.mu.Unlock()
		p.cancel(errCrash)
		return errCrash
	}
	p.mu.Unlock()
	if trouble != nil {
		if fails, lost := trouble(); fails {
			if lost {
				_ = call()
			}
			return errors.New("connection reset")
		}
	}
	err := call()
	if mine {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
		p.cancel(errCrash)
		return errCrash
	}
	return err
}

func (p *process) Current(ctx context.Context) (r rollback.Revision, token rollback.Token, err error) {
	err = p.do(func() (err error) { r, token, err = p.target.Current(ctx); return err })
	return r, token, err
}

func (p *process) History(ctx context.Context) (history []rollback.Revision, err error) {
	err = p.do(func() (err error) { history, err = p.target.History(ctx); return err })
	return history, err
}

func (p *process) Preflight(ctx context.Context, to rollback.Revision) error {
	return p.do(func() error { return p.target.Preflight(ctx, to) })
}

func (p *process) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (token rollback.Token, err error) {
	err = p.do(func() (err error) { token, err = p.target.Apply(ctx, to, expect, key); return err })
	return token, err
}

func (p *process) Observe(ctx context.Context) (s rollback.Status, err error) {
	err = p.do(func() (err error) { s, err = p.target.Observe(ctx); return err })
	return s, err
}

func (p *process) save(_ context.Context, l rollback.Ledger) error {
	return p.do(func() error { return p.store.save(l) })
}

// store keeps a ledger as JSON, with compare-and-swap.
type store struct {
	mu   sync.Mutex
	rev  uint64
	data []byte
	// saved, if set, sees every ledger that was kept.
	saved func(rollback.Ledger)
}

func newStore(l rollback.Ledger) *store {
	return &store{rev: l.Rev, data: must(json.Marshal(l))}
}

func (s *store) save(l rollback.Ledger) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Rev != s.rev+1 {
		return rollback.ErrConflict
	}
	s.rev, s.data = l.Rev, must(json.Marshal(l))
	if s.saved != nil {
		s.saved(l)
	}
	return nil
}

func (s *store) load() rollback.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return must(rollback.ParseLedger(s.data))
}

// life is one process from its start to its end: it loads what was saved and
// goes on until there is a verdict, it has died, or lives are used up.
func life(ctx context.Context, p *process, o rollback.Options) (rollback.Result, error) {
	for {
		ctx, cancel := context.WithCancelCause(ctx)
		p.cancel = cancel
		o.Save = p.save
		got, err := rollback.Do(ctx, p, p.store.load(), o)
		cancel(nil)
		if got.Outcome != rollback.Unfinished || !errors.Is(err, rollback.ErrConflict) {
			return got, err
		}
	}
}

// ended reports an error unless exactly one return was made, from r3 to r2, and
// the world and the ledger agree about it.
func ended(m *rollback.Memory, l rollback.Ledger) error {
	changes := m.Applied()
	good, _ := l.LastKnownGood()
	_, bad := l.Quarantined(v3.Digest)
	switch {
	case len(changes) != 1 || changes[0].To != v2:
		return fmt.Errorf("changes %+v, want one to r2", changes)
	case l.Open != nil || len(l.Returns) != 1 || l.Returns[0].Outcome != rollback.RolledBack:
		return fmt.Errorf("open %+v, returns %+v; want one that ended as rolledBack", l.Open, l.Returns)
	case changes[0].Key != l.Returns[0].Key:
		return fmt.Errorf("the target was changed under key %q, decided was %q", changes[0].Key, l.Returns[0].Key)
	case good != v2 || !bad:
		return fmt.Errorf("last known good %v, quarantine of r3 %v", good, bad)
	}
	return nil
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

var quick = rollback.Options{Stable: 3 * time.Second, Poll: time.Second, Deadline: time.Minute}

// crashes runs Do with a crash at each of the given calls, one process after the other.
func crashes(t *testing.T, points ...int) (calls int) {
	t.Helper()
	m := rollback.NewMemory(2*time.Second, v1, v2, v3)
	s := newStore(failing(v3, v1, v2))
	intent := false
	s.saved = func(l rollback.Ledger) { intent = intent || l.Open != nil }
	for n := 0; ; n++ {
		p := &process{target: m, store: s}
		if n < len(points) {
			p.at, p.after = (points[n]+1)/2, points[n]%2 == 0
		}
		got, err := life(t.Context(), p, quick)
		if len(m.Applied()) > 0 && !intent {
			t.Fatalf("crashes %v: the target was changed before the intent was saved", points)
		}
		if p.dead {
			if got.Outcome != rollback.Unfinished {
				t.Fatalf("crashes %v: a process that died gave the verdict %v", points, got.Outcome)
			}
			time.Sleep(5 * time.Second) // the bubble's clock: until somebody starts it again
			continue
		}
		// Whoever died after the verdict was saved leaves nothing to do.
		if got.Outcome != rollback.RolledBack && !errors.Is(err, rollback.ErrAlready) {
			t.Fatalf("crashes %v: %v, %v", points, got.Outcome, err)
		}
		if err := ended(m, s.load()); err != nil {
			t.Fatalf("crashes %v: %v", points, err)
		}
		return p.calls
	}
}

func TestACrashAtAnyCallChangesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := crashes(t)
		if calls < 10 {
			t.Fatalf("a return without a crash takes %d calls; the test expects more", calls)
		}
		runs := 0
		for first := range 2*calls + 2 {
			crashes(t, first)
			for second := range 2*calls + 2 {
				crashes(t, first, second)
				runs++
			}
		}
		t.Logf("%d calls, %d pairs of crashes", calls, runs)
	})
}

func TestLostAndFailedRepliesChangeNothingInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			rng := rand.New(rand.NewPCG(seed, 2))
			m := rollback.NewMemory(2*time.Second, v1, v2, v3)
			s := newStore(failing(v3, v1, v2))
			p := &process{target: m, store: s, trouble: func() (fails, lost bool) { return rng.IntN(3) == 0, rng.IntN(2) == 0 }}
			if rng.IntN(2) == 0 {
				m.Touch()
			}
			o := quick
			o.Deadline, o.Attempts = time.Hour, 50
			got, err := life(t.Context(), p, o)
			if got.Outcome != rollback.RolledBack && !errors.Is(err, rollback.ErrAlready) {
				t.Fatalf("seed %d: %v, %v", seed, got.Outcome, err)
			}
			if err := ended(m, s.load()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
}

func TestTwoRollbackersMakeOneRollback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			rng := rand.New(rand.NewPCG(seed, 3))
			m := rollback.NewMemory(2*time.Second, v1, v2, v3)
			shared := newStore(failing(v3, v1, v2))
			apart := seed%3 == 0 // each with a store of its own: only the target can tell
			errs := make([]error, 2)
			stores := [2]*store{shared, shared}
			if apart {
				stores[1] = newStore(shared.load())
			}
			waits := [2]time.Duration{upTo(rng, 8*time.Second), upTo(rng, 8*time.Second)}
			if apart {
				waits[1] = waits[0]
			}
			var wg sync.WaitGroup
			for i := range errs {
				var mu sync.Mutex
				slow := rand.New(rand.NewPCG(seed, uint64(i)))
				wg.Go(func() {
					time.Sleep(waits[i]) // the bubble's clock
					p := &process{target: m, store: stores[i], trouble: func() (bool, bool) {
						mu.Lock()
						stall := upTo(slow, time.Second)
						mu.Unlock()
						time.Sleep(stall)
						return false, false
					}}
					_, errs[i] = life(t.Context(), p, quick)
				})
			}
			wg.Wait()
			for i, err := range errs {
				if err != nil && !errors.Is(err, rollback.ErrAlready) {
					t.Fatalf("seed %d: rollbacker %d: %v", seed, i, err)
				}
			}
			if n := len(m.Applied()); n != 1 {
				t.Fatalf("seed %d: %d changes, want one", seed, n)
			}
			if apart {
				continue // one of them may have found it done, and has no return of its own
			}
			if err := ended(m, shared.load()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
}
