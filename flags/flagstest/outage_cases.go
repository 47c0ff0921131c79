// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

var outageCases = []testCase{
	{
		name: "an outage takes no flag away", needs: []need{needBreak},
		why: "While the flags cannot be had, Watch returns an error or waits. It publishes nothing that it does not know, least " +
			"of all an empty document. Afterwards it is told what stands.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 1)
			w := r.keep(r.Source)
			w.shows(map[string]int{"a": 1, "b": 1})
			for n := 2; n <= 3; n++ {
				mend := r.breakDown()
				r.lasts(w, 2)
				mend()
				r.again(func() error { return r.tryWrite("a", n) })
				w.shows(map[string]int{"a": n, "b": 1})
			}
		},
	},
	{
		name: "a Watch that begins in an outage publishes nothing or ends", needs: []need{needBreak},
		why: "A source that cannot be had has no document: an empty one would take all flags away. A Watch that says so with " +
			"an error is called again.",
		run: func(r *run) {
			r.write("a", 1)
			mend := r.breakDown()
			w := r.keep(r.Source)
			r.lasts(w, 0)
			mend()
			w.shows(map[string]int{"a": 1})
		},
	},
	{
		name: "an outage is no end of the context", needs: []need{needBreak},
		why: "Watch returns when its context ends, in an outage, too.",
		run: func(r *run) {
			r.write("a", 1)
			w := r.keep(r.Source)
			w.shows(map[string]int{"a": 1})
			mend := r.breakDown()
			w.stop()
			mend()
		},
	},
	{
		name: "a restart is survived", needs: []need{needRestart},
		why: "After what the flags are kept in was killed and has come back, every change is told as before, and what changed " +
			"meanwhile is, too. A connection that looks alive and tells nothing is the usual mistake.",
		run: func(r *run) {
			r.write("a", 1)
			w := r.keep(r.Source)
			w.shows(map[string]int{"a": 1})
			for n := 2; n <= 3; n++ {
				if err := r.Restart(r.ctx); err != nil {
					r.Fatalf("Restart: %v", err)
				}
				r.again(func() error { return r.tryWrite("a", n) })
				w.shows(map[string]int{"a": n})
			}
		},
	},
}

// breakDown breaks the subject.
func (r *run) breakDown() (mend func()) {
	r.Helper()
	mend, err := r.Break(r.ctx)
	if err != nil {
		r.Fatalf("Break: %v", err)
	}
	return mend
}

// lasts looks for a while whether the watch keeps what it has, n flags.
func (r *run) lasts(w *watch, n int) {
	r.Helper()
	for range 20 {
		w.mu.Lock()
		have, updates := len(w.flags), w.updates
		w.mu.Unlock()
		if have != n {
			r.Fatalf("in an outage %d flags are told, before it there were %d", have, n)
		}
		if n == 0 && updates > 0 {
			r.Fatalf("in an outage a document was published")
		}
		pause(r.ctx, r.Settle/400)
	}
}

// again does what may fail for a moment after an outage.
func (r *run) again(f func() error) {
	r.Helper()
	var err error
	for end := time.Now().Add(r.Settle); time.Now().Before(end); pause(r.ctx, 10*time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	r.Fatalf("after the outage was over: %v", err)
}

// client runs a client of the source until the case ends.
func (r *run) client() {
	r.Helper()
	client, err := flags.New(r.Source, flags.Options{})
	if err != nil {
		r.Fatalf("flags.New: %v", err)
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	r.running, r.stopRunning = client, func() {
		cancel(errStopped)
		<-r.ran
	}
	r.ran = make(chan struct{})
	go func() {
		defer close(r.ran)
		_ = client.Run(ctx) // it ends with ctx
	}()
}

// stands is the flag that the client has.
func (r *run) stands(key string) *flags.Flag {
	f, _ := r.running.Flag(key)
	return f
}

// until waits for the client to be as it should.
func (r *run) until(what string, holds func() bool) {
	r.Helper()
	for end := time.Now().Add(r.Settle); time.Now().Before(end); pause(r.ctx, time.Millisecond) {
		if holds() {
			return
		}
	}
	r.Fatalf("waited in vain until %s; the client's Status is %+v", what, r.running.Status())
}
