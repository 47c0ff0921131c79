// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/observe/observetest"
)

func event(rev uint64) observe.Event {
	return observe.Event{Service: "checkout", Run: 1, Rev: rev, Kind: observe.Settled, Shares: []observe.Share{{Target: "eu", Candidate: 250_000}}}
}

// stuck never returns until released, whatever its context says.
func stuck(release <-chan struct{}) observe.Observer {
	return observe.Func(func(context.Context, observe.Event) error { <-release; return nil })
}

func TestAnEventSurvivesJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want := observe.Event{
		Service: "checkout", Environment: "production", Run: 3, Rev: 41, Part: 2, At: at, Kind: observe.RollingBack,
		Phase: "rollingBack", Outcome: observe.OutcomeSuperseded, Plan: "canary", Lane: "eu", Step: "25%",
		Shares: []observe.Share{{Target: "eu", Candidate: 250_000}}, Version: "v2", From: "v1", Check: "errors", Verdict: "fail",
		Cause: observe.CauseCheck, Reason: "5.2% is over 1%", By: "ada", Page: true, Started: at, Failing: at,
	}
	if v := reflect.ValueOf(want); true {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("field %s is not tried", v.Type().Field(i).Name)
			}
		}
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got observe.Event
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryNameIsReadBack(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range observe.Kinds() {
		text, _ := k.MarshalText()
		var back observe.Kind
		if err := back.UnmarshalText(text); err != nil || back != k || seen[string(text)] {
			t.Errorf("%v: read back as %v, %v", k, back, err)
		}
		seen[string(text)] = true
	}
	for _, o := range observe.Outcomes() {
		text, _ := o.MarshalText()
		var back observe.Outcome
		if err := back.UnmarshalText(text); err != nil || back != o {
			t.Errorf("%v: read back as %v, %v", o, back, err)
		}
	}
	for _, c := range observe.Causes() {
		text, _ := c.MarshalText()
		var back observe.Cause
		if err := back.UnmarshalText(text); err != nil || back != c {
			t.Errorf("%v: read back as %v, %v", c, back, err)
		}
	}
	var k observe.Kind
	if err := k.UnmarshalText([]byte("nonsense")); err == nil || !strings.Contains(err.Error(), `"rolledBack"`) {
		t.Errorf("a kind that does not exist: %v; want an error that lists the kinds", err)
	}
	if got := observe.Kind(200).String(); got != "unknown(200)" {
		t.Errorf("a kind of the future is %q", got)
	}
}

func TestMultiTellsEveryoneElseWhenOneIsStuckFailsOrPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		broken := errors.New("no route to host")
		var first, last observetest.Recorder
		m := observe.Multi(time.Second, &first, stuck(release), nil,
			observe.Func(func(context.Context, observe.Event) error { return broken }),
			observe.Func(func(context.Context, observe.Event) error { panic("nil map") }), &last)
		begin := time.Now()
		err := m.Observe(t.Context(), event(1))
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v, want the timeout of one observer", took)
		}
		if len(first.Events()) != 1 || len(last.Events()) != 1 {
			t.Errorf("the healthy observers were told %d and %d events, want 1 each", len(first.Events()), len(last.Events()))
		}
		if !errors.Is(err, observe.ErrStuck) || !errors.Is(err, broken) || !strings.Contains(err.Error(), "nil map") {
			t.Errorf("err = %v; want all three troubles", err)
		}
	})
}

func TestMultiBoundsWhatAStuckObserverLeavesBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		calls := 0
		m := observe.Multi(time.Second, observe.Func(func(context.Context, observe.Event) error {
			mu.Lock()
			calls++
			mu.Unlock()
			<-release
			return nil
		}))
		for i := range 100 {
			if err := m.Observe(t.Context(), event(uint64(i)+1)); !errors.Is(err, observe.ErrStuck) {
				t.Fatalf("event %d: %v, want ErrStuck", i, err)
			}
		}
		mu.Lock()
		if calls != 16 {
			t.Errorf("%d calls are out, want 16", calls)
		}
		mu.Unlock()
		close(release)
		synctest.Wait()
		if err := m.Observe(t.Context(), event(101)); err != nil {
			t.Errorf("after it came back: %v", err)
		}
	})
}

func TestMultiGivesEachObserverSharesOfItsOwn(t *testing.T) {
	t.Parallel()
	var honest observetest.Recorder
	vandal := observe.Func(func(_ context.Context, e observe.Event) error { e.Shares[0].Candidate = 1; return nil })
	e := event(1)
	if err := observe.Multi(0, vandal, &honest).Observe(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := honest.Events()[0].Shares[0].Candidate; got != 250_000 || e.Shares[0].Candidate != 250_000 {
		t.Errorf("shares were changed to %d and %d by another observer", got, e.Shares[0].Candidate)
	}
}

func TestDedupeTellsAgainWhatWasNotTaken(t *testing.T) {
	t.Parallel()
	var rec observetest.Recorder
	d := observe.Dedupe(&rec, 0)
	broken := errors.New("down")
	rec.Fail(broken)
	if err := d.Observe(t.Context(), event(1)); !errors.Is(err, broken) {
		t.Fatalf("err = %v, want the observer's", err)
	}
	rec.Fail(nil)
	for range 3 {
		if err := d.Observe(t.Context(), event(1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(rec.Events()); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
}

func TestDedupeTellsApartServicesRevisionsAndParts(t *testing.T) {
	t.Parallel()
	var rec observetest.Recorder
	d := observe.Dedupe(&rec, 0)
	other, part, keyless := event(1), event(1), event(0)
	other.Service, part.Part = "search", 1
	for _, e := range []observe.Event{event(1), event(2), other, part, keyless, keyless} {
		if err := d.Observe(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(rec.Events()); n != 6 {
		t.Errorf("told %d events, want all 6: none has the key of another", n)
	}
}

func TestDedupeMakesARepeatWaitForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls int
		broken := errors.New("down")
		d := observe.Dedupe(observe.Func(func(context.Context, observe.Event) error {
			calls++
			time.Sleep(time.Second) // the bubble's clock: the call takes a second
			if calls == 1 {
				return broken
			}
			return nil
		}), 0)
		errs := make([]error, 3)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = d.Observe(t.Context(), event(1)) })
		}
		wg.Wait()
		failed := 0
		for _, err := range errs {
			if err != nil {
				failed++
			}
		}
		if calls != 2 || failed != 1 {
			t.Errorf("%d calls and %d errors; want one that failed, one that worked, and the third to share it", calls, failed)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wg.Go(func() { _ = d.Observe(t.Context(), event(2)) })
		synctest.Wait()
		if err := d.Observe(ctx, event(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a repeat whose context ended: %v", err)
		}
		wg.Wait()
	})
}

func TestDedupeForgetsTheOldestFirst(t *testing.T) {
	t.Parallel()
	var rec observetest.Recorder
	d := observe.Dedupe(&rec, 3)
	for _, rev := range []uint64{1, 2, 3, 4, 2, 3, 4, 1} {
		if err := d.Observe(t.Context(), event(rev)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(rec.Events()); n != 5 {
		t.Errorf("told %d events, want 5: four, and the first again after it was forgotten", n)
	}
}

func TestAsyncReportsWhatItDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		q := observe.Async(stuck(release), 2)
		if err := q.Observe(t.Context(), event(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first is out; two more have room
		for rev, want := range map[uint64]bool{2: true, 3: true} {
			if err := q.Observe(t.Context(), event(rev)); (err == nil) != want {
				t.Errorf("event %d: %v", rev, err)
			}
		}
		if err := q.Observe(t.Context(), event(4)); !errors.Is(err, observe.ErrFull) {
			t.Errorf("an event without room: %v, want ErrFull", err)
		}
		if s := q.Stats(); s.Dropped != 1 || s.Waiting != 2 {
			t.Errorf("stats %+v, want 1 dropped and 2 waiting", s)
		}
		close(release)
		if err := q.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s := q.Stats(); s.Told != 3 || s.Dropped != 1 || s.Waiting != 0 {
			t.Errorf("stats %+v, want 3 told", s)
		}
		if err := q.Observe(t.Context(), event(5)); !errors.Is(err, observe.ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

func TestAsyncKeepsOrderAndDrains(t *testing.T) {
	t.Parallel()
	var rec observetest.Recorder
	q := observe.Async(&rec, 0)
	for i := range 500 {
		if err := q.Observe(t.Context(), event(uint64(i)+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(q.Close(t.Context()), q.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	events := rec.Events()
	if len(events) != 500 {
		t.Fatalf("told %d events, want 500", len(events))
	}
	for i, e := range events {
		if e.Rev != uint64(i)+1 {
			t.Fatalf("event %d has revision %d: out of order", i, e.Rev)
		}
	}
}

func TestAsyncCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := observe.Async(observe.Func(func(ctx context.Context, _ observe.Event) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}), 10)
		for i := range 4 {
			if err := q.Observe(t.Context(), event(uint64(i)+1)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := q.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 events") {
			t.Errorf("Close: %v; want the deadline and 3 events", err)
		}
		synctest.Wait()
		if s := q.Stats(); s.Dropped != 3 || s.Failed != 1 || !errors.Is(s.Last, observe.ErrClosed) {
			t.Errorf("stats %+v, want 3 dropped and the one under way failed by the close", s)
		}
	})
}

func TestAsyncOutlivesAnObserverThatHangsOrPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls int
		q := observe.Async(observe.Func(func(ctx context.Context, _ observe.Event) error {
			switch calls++; calls {
			case 1:
				<-ctx.Done()
				return context.Cause(ctx)
			case 2:
				panic("nil map")
			}
			return nil
		}), 0)
		for i := range 3 {
			if err := q.Observe(t.Context(), event(uint64(i)+1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := q.Stats(); s.Told != 1 || s.Failed != 2 {
			t.Errorf("stats %+v, want 1 told and 2 failed", s)
		}
	})
}

func TestTheMetricTableIsSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range observe.Metrics() {
		if seen[m.Name] || m.Help == "" || m.Type.String() == "untyped" {
			t.Errorf("%+v: named twice, without help or without a type", m)
		}
		seen[m.Name] = true
		for _, l := range m.Labels {
			if l == "run" || l == "rev" || l == "reason" {
				t.Errorf("%s: label %s has no bound", m.Name, l)
			}
		}
		for i := 1; i < len(m.Buckets); i++ {
			if m.Buckets[i] <= m.Buckets[i-1] {
				t.Errorf("%s: bucket %d does not rise", m.Name, i)
			}
		}
	}
	observe.Metrics()[0].Labels[0] = "changed"
	if observe.Metrics()[0].Labels[0] == "changed" {
		t.Error("a caller changed the table")
	}
}

func TestMultiDedupeAsyncAndSlogKeepTheLaw(t *testing.T) {
	recorded := func(wrap func(observe.Observer) observe.Observer, once bool) func(*testing.T) observetest.Subject {
		return func(*testing.T) observetest.Subject {
			rec := &observetest.Recorder{}
			return observetest.Subject{Observer: wrap(rec), Told: told(rec), Shares: shares(rec), Once: once}
		}
	}
	t.Run("multi", func(t *testing.T) {
		observetest.Run(t, recorded(func(o observe.Observer) observe.Observer { return observe.Multi(0, o) }, false))
	})
	t.Run("dedupe", func(t *testing.T) {
		observetest.Run(t, recorded(func(o observe.Observer) observe.Observer { return observe.Dedupe(o, 0) }, true))
	})
	t.Run("async", func(t *testing.T) {
		observetest.Run(t, func(t *testing.T) observetest.Subject {
			t.Helper()
			q := observe.Async(&observetest.Recorder{}, 0)
			t.Cleanup(func() {
				if err := q.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			return observetest.Subject{Observer: q}
		})
	})
	t.Run("slog", func(t *testing.T) {
		observetest.Run(t, func(*testing.T) observetest.Subject {
			var buf syncBuffer
			return observetest.Subject{Observer: observe.Slog(jsonLogger(&buf)), Told: func(k observe.Key) int {
				return strings.Count(buf.String(), `"rev":`+strconv.FormatUint(k.Rev, 10)+",")
			}}
		})
	})
}

func told(rec *observetest.Recorder) func(observe.Key) int {
	return func(k observe.Key) (n int) {
		for _, e := range rec.Events() {
			if key, _ := e.Key(); key == k {
				n++
			}
		}
		return n
	}
}

func shares(rec *observetest.Recorder) func(observe.Key) []observe.Share {
	return func(k observe.Key) []observe.Share {
		for _, e := range rec.Events() {
			if key, _ := e.Key(); key == k {
				return e.Shares
			}
		}
		return nil
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
