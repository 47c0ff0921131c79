// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

var watchCases = []testCase{
	{
		name: "no flags are published as an empty document",
		why:  "Watch publishes as soon as it knows what there is, even if that is nothing: a Client is ready only then.",
		run:  func(r *run) { r.watch(r.Source).shows(map[string]int{}) },
	},
	{
		name: "the whole document comes first",
		why:  "The first update of every Watch is Full and has all flags that stand, each under its Key.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 2)
			r.write("c", 3)
			r.write("a", 4)
			r.remove("c")
			w := r.watch(r.Source)
			w.whole()
			w.shows(map[string]int{"a": 4, "b": 2})
		},
	},
	{
		name: "every change is told",
		why: "Watch goes on after the document: flags that are new, that have changed and that are gone are published. A flag that " +
			"is gone is in Removed, or missing from an update that is Full.",
		run: func(r *run) {
			w := r.watch(r.Source)
			w.shows(map[string]int{})
			r.write("a", 1)
			w.shows(map[string]int{"a": 1})
			r.write("b", 1)
			w.shows(map[string]int{"a": 1, "b": 1})
			r.write("a", 2)
			w.shows(map[string]int{"a": 2, "b": 1})
			r.remove("a")
			w.shows(map[string]int{"b": 1})
			r.write("a", 3)
			w.shows(map[string]int{"a": 3, "b": 1})
		},
	},
	{
		name: "a change during the first publish is told",
		why: "Nothing that happens while Watch runs is missed: begin to listen before you load, or compare again after you " +
			"have begun to listen.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 1)
			w := r.watchWith(r.Source, false, func() { r.meanwhile(func() error { return errors.Join(r.tryWrite("a", 2), r.tryRemove("b")) }) })
			w.shows(map[string]int{"a": 2})
		},
	},
	{
		name: "writers at once are all told, however often somebody begins to watch",
		why: "Many writers and many watchers meet. Updates may be told together, but each watcher ends with what stands, and is " +
			"never told a form of a flag after a newer one: a flag that was killed must not come back for an instant.",
		run: checkCrowd,
	},
	{
		name: "what was published does not change",
		why:  "A Client evaluates what it was given without a lock. Publish copies, and never write to them again.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 1)
			w := r.watch(r.Source)
			for n := 1; n <= 5; n++ {
				r.write("a", n)
				w.shows(map[string]int{"a": n, "b": 1})
			}
			r.remove("b")
			w.shows(map[string]int{"a": 5})
			w.stop()
		},
	},
	{
		name: "two may watch at once",
		why:  "A source serves any number of clients. Each is told everything, and one that ends takes nothing from the other.",
		run: func(r *run) {
			r.write("a", 1)
			one, two := r.watch(r.Source), r.watch(r.Source)
			one.shows(map[string]int{"a": 1})
			two.shows(map[string]int{"a": 1})
			r.write("a", 2)
			one.shows(map[string]int{"a": 2})
			two.shows(map[string]int{"a": 2})
			one.stop()
			r.write("a", 3)
			two.shows(map[string]int{"a": 3})
		},
	},
	{
		name: "another instance is told", needs: []need{needAnother},
		why: "Two processes share the flags: what is written through one is told by the other.",
		run: func(r *run) {
			other := r.another()
			w := r.watch(other)
			w.shows(map[string]int{})
			r.write("a", 1)
			w.shows(map[string]int{"a": 1})
			r.remove("a")
			w.shows(map[string]int{})
		},
	},
}

// meanwhile runs f beside the caller, and waits for it only as long as is polite: a store
// might not return before its watchers have heard.
func (r *run) meanwhile(f func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(r.Settle / 4)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			r.Errorf("writing: %v", err)
		}
	case <-timer.C:
	}
}

// another is one more instance over the same flags.
func (r *run) another() flags.Source {
	r.Helper()
	other, err := r.Another(r.ctx)
	if err != nil {
		r.Fatalf("Another: %v", err)
	}
	return other
}

// checkCrowd has writers write while watchers come.
func checkCrowd(r *run) {
	const writers, last, watchers = 4, 25, 4
	want := make(map[string]int)
	list := []*watch{r.watch(r.Source)}
	list[0].whole()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range writers {
		key := fmt.Sprintf("flag-%d", i)
		if i > 0 { // the first one ends removed
			want[key] = last
		}
		wg.Go(func() {
			for n := 1; n <= last; n++ {
				err := r.tryWrite(key, n)
				if i == 0 && err == nil && n%5 == 0 {
					err = r.tryRemove(key)
				}
				if err != nil {
					r.Errorf("writing %q: %v", key, err)
					return
				}
			}
		})
	}
	for range watchers {
		w := r.watch(r.Source)
		w.whole()
		list = append(list, w)
	}
	wg.Wait()
	for _, w := range list {
		w.shows(want)
	}
}

var endCases = []testCase{
	{
		name: "an ended context ends Watch with its cause",
		why:  "Watch returns soon after its context has ended, with context.Cause: the caller knows why he stopped it.",
		run: func(r *run) {
			w := r.watch(r.Source)
			w.whole()
			w.stop()
			if !errors.Is(w.err, errStopped) {
				r.Errorf("Watch returned %v, want the cause of its context", w.err)
			}
		},
	},
	{
		name: "a context that has ended before is no reason to hang",
		why:  "Watch with a context that has ended returns its cause, whether or not it publishes before.",
		run: func(r *run) {
			ctx, cancel := context.WithCancelCause(r.ctx)
			cancel(errStopped)
			result := make(chan error, 1)
			go func() { result <- r.Source.Watch(ctx, func(flags.Update) {}) }()
			select {
			case err := <-result:
				if !errors.Is(err, errStopped) {
					r.Errorf("Watch returned %v, want the cause of its context", err)
				}
			case <-time.After(r.Settle):
				r.Errorf("Watch did not return within %v", r.Settle)
			}
		},
	},
	{
		name: "Watch can be called again, and begins with what then stands",
		why: "A Client calls Watch again after an error. The new call knows nothing of the old one: it begins with the whole " +
			"document, with what changed between the two.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 1)
			w := r.watch(r.Source)
			w.shows(map[string]int{"a": 1, "b": 1})
			w.stop()
			r.write("a", 2)
			r.remove("b")
			r.write("c", 1)
			w = r.watch(r.Source)
			w.whole()
			w.shows(map[string]int{"a": 2, "c": 1})
			r.write("c", 2)
			w.shows(map[string]int{"a": 2, "c": 2})
		},
	},
}
