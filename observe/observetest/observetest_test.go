// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/observe"
)

func TestRecorderKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Subject { return subject(&Recorder{}, nil) })
}

// subject looks behind o into rec; a nil o is rec itself.
func subject(rec *Recorder, o observe.Observer) Subject {
	if o == nil {
		o = rec
	}
	find := func(k observe.Key) (found []observe.Event) {
		for _, e := range rec.Events() {
			if key, _ := e.Key(); key == k {
				found = append(found, e)
			}
		}
		return found
	}
	return Subject{
		Observer: o,
		Told:     func(k observe.Key) int { return len(find(k)) },
		Shares:   func(k observe.Key) []observe.Share { return find(k)[0].Shares },
	}
}

// mutants are observers that break the law in one way each, with the case that
// has to say so.
var mutants = map[string]struct {
	caught string
	make   func() Subject
}{
	"forgets": {"an event that was taken has arrived", func() Subject {
		return subject(&Recorder{}, observe.Func(func(context.Context, observe.Event) error { return nil }))
	}},
	"knows no drift": {"events of every kind are taken", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		if e.Kind == observe.Drifted {
			return errors.New("what is that?")
		}
		return rec.Observe(ctx, e)
	})},
	"has a table of kinds": {"events of unknown kinds are passed over", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		_ = [21]int{}[e.Kind]
		return rec.Observe(ctx, e)
	})},
	"counts on shares": {"the zero event does no harm", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		_ = e.Shares[0]
		return rec.Observe(ctx, e)
	})},
	"has small fields": {"hostile text does no harm", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		if len(e.Reason) > 1000 {
			return errors.New("value too long")
		}
		return rec.Observe(ctx, e)
	})},
	"insists on news": {"a repeat is no error", func() Subject {
		rec := &Recorder{}
		s := subject(rec, nil)
		s.Observer = observe.Func(func(ctx context.Context, e observe.Event) error {
			if k, _ := e.Key(); s.Told(k) > 0 {
				return errors.New("duplicate key")
			}
			return rec.Observe(ctx, e)
		})
		return s
	}},
	"claims once": {"a repeat counts once", func() Subject {
		s := subject(&Recorder{}, nil)
		s.Once = true
		return s
	}},
	"insists on order": {"an older event after a newer one is no error", func() Subject {
		rec := &Recorder{}
		var mu sync.Mutex
		var last uint64
		return subject(rec, observe.Func(func(ctx context.Context, e observe.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Rev < last && len(rec.Events()) < 4 {
				return errors.New("out of order")
			}
			last = e.Rev
			return rec.Observe(ctx, e)
		}))
	}},
	"serves one": {"many events at once all arrive", func() Subject {
		rec := &Recorder{}
		var busy sync.Mutex
		return subject(rec, observe.Func(func(ctx context.Context, e observe.Event) error {
			if !busy.TryLock() {
				return nil
			}
			defer busy.Unlock()
			// Long enough for another of 64 calls to meet it.
			timer := time.NewTimer(time.Millisecond)
			defer timer.Stop()
			<-timer.C
			return rec.Observe(ctx, e)
		}))
	}},
	"ignores its context": {"a cancelled context ends the call", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		if ctx.Err() != nil {
			select {}
		}
		return rec.Observe(ctx, e)
	})},
	"claims too much": {"a cancelled call does not claim what it did not do", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		_ = rec.Observe(ctx, e)
		return nil
	})},
	"sorts in place": {"the event is left as it is", wrapped(func(rec *Recorder, ctx context.Context, e observe.Event) error {
		slices.SortFunc(e.Shares, func(a, b observe.Share) int { return int(a.Candidate) - int(b.Candidate) })
		return rec.Observe(ctx, e)
	})},
	"keeps shares": {"the event is not kept", func() Subject {
		rec := &Recorder{}
		var mu sync.Mutex
		kept := map[observe.Key][]observe.Share{}
		s := subject(rec, observe.Func(func(ctx context.Context, e observe.Event) error {
			mu.Lock()
			defer mu.Unlock()
			k, _ := e.Key()
			kept[k] = e.Shares
			return rec.Observe(ctx, e)
		}))
		s.Shares = func(k observe.Key) []observe.Share { mu.Lock(); defer mu.Unlock(); return kept[k] }
		return s
	}},
}

func wrapped(f func(rec *Recorder, ctx context.Context, e observe.Event) error) func() Subject {
	return func() Subject {
		rec := &Recorder{}
		return subject(rec, observe.Func(func(ctx context.Context, e observe.Event) error { return f(rec, ctx, e) }))
	}
}

func TestEveryMutantIsCaughtByItsCase(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for name, m := range mutants {
		used[m.caught] = true
		i := slices.IndexFunc(checks, func(c check) bool { return c.name == m.caught })
		if i < 0 {
			t.Errorf("%s: there is no case %q", name, m.caught)
			continue
		}
		// A mutant that hangs is given up on sooner than a stranger's observer.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := checks[i].attempt(ctx, m.make()); err == nil {
			t.Errorf("%s: not caught by %q", name, m.caught)
		}
		cancel()
	}
	for _, c := range checks {
		if !used[c.name] {
			t.Errorf("no mutant shows that %q can fail", c.name)
		}
	}
}

func TestRecorderGivesCopiesAndWaits(t *testing.T) {
	t.Parallel()
	rec := &Recorder{}
	done := make(chan error, 1)
	go func() {
		events, err := rec.Wait(t.Context(), func(events []observe.Event) bool { return Count(2)(events) && Has(observe.Promoted)(events) })
		if err == nil && len(events) != 2 {
			err = fmt.Errorf("waited for 2 events and got %d", len(events))
		}
		done <- err
	}()
	for rev, kind := range []observe.Kind{observe.Started, observe.Promoted} {
		e := sample(uint64(rev) + 1)
		e.Kind = kind
		if err := rec.Observe(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rec.Events()[0].Shares[0].Candidate = 1
	if rec.Events()[0].Shares[0].Candidate == 1 {
		t.Error("a caller changed what was recorded")
	}
	if got := rec.Kinds(); !slices.Equal(got, []observe.Kind{observe.Started, observe.Promoted}) {
		t.Errorf("kinds %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rec.Wait(ctx, Count(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("waited in vain: %v", err)
	}
	rec.Reset()
	if n := len(rec.Events()); n != 0 {
		t.Errorf("%d events after Reset", n)
	}
}
