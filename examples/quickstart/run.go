// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

const (
	frameEvery = time.Second / 5
	lineEvery  = 3 * time.Second
)

// run is the whole show. What it could not do is an error; how the rollouts
// ended is in the summary.
func run(ctx context.Context, s settings, out io.Writer) (end summary, err error) {
	dir := s.state
	if dir == "" {
		if dir, err = os.MkdirTemp("", "quickstart-"); err != nil {
			return summary{}, err
		}
		defer func() {
			if !end.interrupted { // otherwise it is what can be gone on with
				err = errors.Join(err, os.RemoveAll(dir))
			}
		}()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return summary{}, err
	}
	to := &screen{out: out, live: s.live}
	w := &world{}
	defer func() { err = errors.Join(err, w.close(), to.err) }()
	if err := w.build(ctx, dir, s, teller(to)); err != nil {
		return summary{}, err
	}
	p, err := plan(s.hold)
	if err != nil {
		return summary{}, err
	}
	before, err := w.store.Load(ctx, web)
	if err != nil {
		return summary{}, err
	}
	greet(to, w, before)

	stop := w.watch(to)
	outcomes, err := carryOut(ctx, w.runner, w.store, p)
	stop()
	interrupted := ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	if err != nil && !interrupted {
		return summary{}, err
	}
	end = summary{
		outcomes: outcomes, clients: w.load.finish(), answered: w.answered(), made: w.bad.failed.Load(), took: time.Since(w.began),
		resumed: before.Phase != strategy.Idle, interrupted: interrupted, state: dir,
	}
	to.print(end.lines()...)
	return end, nil
}

// greet says where everything is, and what it finds.
func greet(to *screen, w *world, before strategy.State) {
	to.print(
		"The service:  curl "+w.front.url.String(),
		"Orders:       curl -X POST "+w.control.url.String()+"/hold   (/resume, /abort, /promote)",
		"Its state:    curl "+w.control.url.String()+"/               (/metrics)",
		"",
	)
	if before.Phase != strategy.Idle {
		target, _ := before.Target(web)
		to.say("going on where another process was: rollout %d to %s, %s at %v",
			before.Run, before.Release.Candidate.Version, phaseWords(before.Phase), target.Route.Split.Candidate)
	}
}

// teller tells the transitions as lines. After a restart the latest of the
// process before are told again; they are no news.
func teller(to *screen) strategy.Observer {
	began := time.Now()
	return strategy.ObserverFunc(func(_ context.Context, s strategy.State, t strategy.Transition) error {
		text := story(s, t)
		shown := to.live && t.Kind == strategy.VerdictChanged // in the view
		if text != "" && !shown && !t.At.Before(began) {
			to.say("%s", text)
		}
		return nil
	})
}

// answered is how many requests each version has answered.
func (w *world) answered() []armReport {
	var arms []armReport
	for _, version := range w.proxy.Arms() {
		arms = append(arms, w.arm(version, 0))
	}
	return arms
}

// watch shows how it goes until it is stopped.
func (w *world) watch(to *screen) (stop func()) {
	every := lineEvery
	if to.live {
		every = frameEvery
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		seen := window{bounds: w.proxy.Bounds()}
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			r, err := w.look(ctx)
			switch {
			case err != nil: // nothing has begun yet, or it is over
			case to.live:
				to.show(frame(see(r, seen.add(r))))
			default:
				to.say("  %s", line(see(r, seen.add(r))))
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		to.show(nil)
	}
}
