// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// errStopped is the cause with which the suite ends a Watch.
var errStopped = errors.New("the suite has seen enough")

// watch is one who watches a source, and what he has been told.
type watch struct {
	r      *run
	cancel context.CancelCauseFunc
	// done is closed when Watch has returned for good; err is what it returned.
	done chan struct{}
	err  error
	busy atomic.Bool
	over atomic.Bool
	// during is called by the first publish, before it returns.
	during func()

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with every update
	updates int           // of all calls of Watch
	calls   int           // that have published
	first   bool          // the next update begins a call
	flags   map[string]*flags.Flag
	garbage map[string]flags.Problem
	seen    map[string]int // the newest form that was told
	kept    []keepsake
	faults  []string
}

// keepsake is a flag as it was told, and what it said then.
type keepsake struct {
	flag *flags.Flag
	text string
}

// watch watches the source once.
func (r *run) watch(source flags.Source) *watch { return r.watchWith(source, false, nil) }

// keep watches the source again and again, as a Client does.
func (r *run) keep(source flags.Source) *watch { return r.watchWith(source, true, nil) }

func (r *run) watchWith(source flags.Source, again bool, during func()) *watch {
	ctx, cancel := context.WithCancelCause(r.ctx)
	w := &watch{
		r: r, cancel: cancel, during: during, done: make(chan struct{}), changed: make(chan struct{}), first: true,
		flags: make(map[string]*flags.Flag), garbage: make(map[string]flags.Problem), seen: make(map[string]int),
	}
	r.watches = append(r.watches, w)
	go func() {
		defer close(w.done)
		defer w.over.Store(true)
		for {
			w.err = source.Watch(ctx, w.publish)
			if ctx.Err() != nil || !again {
				return
			}
			w.mu.Lock()
			w.first = true
			w.mu.Unlock()
			pause(ctx, 10*time.Millisecond)
		}
	}()
	return w
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// publish takes an update in as a Client does.
func (w *watch) publish(u flags.Update) {
	if !w.busy.CompareAndSwap(false, true) {
		w.fault("publish was called by two goroutines at once")
		return
	}
	defer w.busy.Store(false)
	runtime.Gosched() // so that another who comes now is seen
	if w.over.Load() {
		w.fault("publish was called after Watch had returned")
	}
	if w.during != nil {
		w.during()
		w.during = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first {
		w.calls++
		if !u.Full {
			w.faults = append(w.faults, "the first update of a Watch was not the whole document")
		}
	}
	w.first = false
	w.updates++
	w.take(u)
	close(w.changed)
	w.changed = make(chan struct{})
}

// take is an update's effect. w.mu is held.
func (w *watch) take(u flags.Update) {
	before := w.flags
	w.flags = make(map[string]*flags.Flag, len(before))
	if !u.Full {
		maps.Copy(w.flags, before)
	} else {
		clear(w.garbage)
	}
	for _, key := range u.Removed {
		delete(w.flags, key)
		delete(w.garbage, key)
		delete(w.seen, key)
	}
	for _, p := range u.Problems {
		w.garbage[p.Flag] = p
		if f := before[p.Flag]; f != nil && u.Full {
			w.flags[p.Flag] = f
		}
	}
	for key, f := range u.Flags {
		if f == nil || f.Key != key {
			w.faults = append(w.faults, fmt.Sprintf("what was published under %q is %+v", key, f))
			continue
		}
		if n := formOf(f); n >= 0 {
			if n < w.seen[key] {
				w.faults = append(w.faults, fmt.Sprintf("%q was told in its form %d after its form %d, which is newer", key, n, w.seen[key]))
			}
			w.seen[key] = n
		}
		if !slices.ContainsFunc(u.Problems, func(p flags.Problem) bool { return p.Flag == key }) {
			delete(w.garbage, key)
		}
		w.flags[key] = f
		if len(w.kept) < 1000 {
			w.kept = append(w.kept, keepsake{f, textOf(f)})
		}
	}
}

func textOf(f *flags.Flag) string {
	text, err := json.Marshal(f)
	if err != nil {
		return "no JSON: " + err.Error()
	}
	return string(text)
}

func (w *watch) fault(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, text)
}

// await returns when until is "", and fails the case with what it says if that does
// not come about.
func (w *watch) await(until func() string) {
	w.r.Helper()
	ctx, cancel := context.WithTimeout(w.r.ctx, w.r.Settle)
	defer cancel()
	for {
		w.mu.Lock()
		lacks, changed, updates := until(), w.changed, w.updates
		w.mu.Unlock()
		if lacks == "" {
			return
		}
		select {
		case <-changed:
		case <-w.done:
			w.r.Fatalf("Watch returned %v although its context had not ended; before that: %s", w.err, lacks)
		case <-ctx.Done():
			w.r.Fatalf("%s, after %v and %d updates", lacks, w.r.Settle, updates)
		}
	}
}

// whole waits for the first update.
func (w *watch) whole() {
	w.r.Helper()
	w.await(func() string {
		if w.updates == 0 {
			return "nothing was published"
		}
		return ""
	})
}

// shows waits until the flags are these, by their forms, and there is no other.
func (w *watch) shows(want map[string]int) {
	w.r.Helper()
	w.await(func() string {
		got := make(map[string]int, len(w.flags))
		for key, f := range w.flags {
			got[key] = formOf(f)
		}
		if w.updates > 0 && maps.Equal(got, want) {
			return ""
		}
		return fmt.Sprintf("the flags and their forms are told as %v, want %v", got, want)
	})
}

// stop ends the watch, and says what was wrong with it.
func (w *watch) stop() {
	w.r.Helper()
	w.cancel(errStopped)
	timer := time.NewTimer(w.r.Settle)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		w.r.Errorf("Watch did not return within %v after its context had ended", w.r.Settle)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range w.faults {
		w.r.Errorf("%s", fault)
	}
	w.faults = nil
	for _, k := range w.kept {
		if now := textOf(k.flag); now != k.text {
			w.r.Errorf("a flag was changed after it had been published: from %s to %s", k.text, now)
		}
	}
	w.kept = nil
}
