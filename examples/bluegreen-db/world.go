// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/migration"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// world is everything that runs while it is shown.
type world struct {
	base   *base
	fleet  *fleet
	proxy  *proxy.Proxy
	m      *migrate.Migrator
	change migrate.Change
	bridge *migration.Migration
	plan   strategy.Plan
	runner *strategy.Runner
	crowd  *crowd
	// held is closed when an instance holds the contract up, and hidden when the old
	// column is.
	held, hidden         chan struct{}
	heldOnce, hiddenOnce sync.Once
	// cleanup is done in reverse.
	cleanup []func() error

	began    time.Time
	mu       sync.Mutex // of what follows
	out      io.Writer
	problems []error
}

// build starts it all: first what answers, last who asks.
func build(ctx context.Context, s settings, out io.Writer) (w *world, err error) {
	w = &world{began: time.Now(), out: out, held: make(chan struct{}), hidden: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.base, err = openBase(ctx, s); err != nil {
		return w, err
	}
	w.cleanup = append(w.cleanup, w.base.drop)
	if err := w.startTraffic(ctx, s); err != nil {
		return w, err
	}
	if err := w.startMigrator(ctx, s); err != nil {
		return w, err
	}
	err = w.makeRunner(s)
	return w, err
}

// startTraffic starts v1, the proxy in front of it, and the clients.
func (w *world) startTraffic(ctx context.Context, s settings) error {
	w.fleet = &fleet{base: w.base, running: map[string]*shop{}}
	w.cleanup = append(w.cleanup, w.fleet.stopAll)
	v1, err := startShop(ctx, w.base, "v1")
	if err != nil {
		return err
	}
	w.fleet.running["v1"] = v1
	if w.proxy, err = proxy.New(map[string][]*url.URL{"v1": {v1.url}}, proxy.Options{Default: "v1"}); err != nil {
		return err
	}
	w.fleet.proxy = w.proxy
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	front := proxy.NewServer(w.proxy)
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	w.cleanup = append(w.cleanup, func() error {
		err := front.Close()
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	})
	w.crowd = startClients(&url.URL{Scheme: "http", Host: l.Addr().String()}, s)
	w.cleanup = append(w.cleanup, func() error { w.crowd.finish(); return nil })
	return nil
}

// startMigrator starts whoever does what rollouts order, here in the same process.
func (w *world) startMigrator(ctx context.Context, s settings) error {
	w.change = migrate.Change{
		ID: "users-new-email", App: app, New: []string{"v2", "v2.1"}, Soak: s.soak,
		Ops: []migrate.Op{migrate.ReplaceColumn{Table: "users", Old: "email", New: "new_email", Type: "text", NotNull: true}},
	}
	// The fill slows down when more than one request of v1 in twenty takes too long.
	slow, err := analysis.NewThreshold(analysis.LatencyAbove(analysis.FromTotals(w.proxy), 500*time.Millisecond), analysis.AtMost(0.05),
		analysis.ThresholdOptions{Interval: time.Second})
	if err != nil {
		return err
	}
	w.m, err = migrate.New(w.base, migrate.Options{
		Poll: 200 * time.Millisecond, Observe: w.event,
		Throttle: migrate.Throttle{Health: migration.Health(slow, analysis.Check{Name: "latency", Candidate: "v1"})},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.m.Work(ctx) // until it is canceled
	}()
	w.cleanup = append(w.cleanup, func() error { cancel(); <-done; return nil })
	return nil
}

// makeRunner joins the rollout and the change: this is all there is to it.
func (w *world) makeRunner(s settings) (err error) {
	if w.bridge, err = migration.New(w.m, w.change, migration.Options{}); err != nil {
		return err
	}
	if w.plan, err = w.bridge.Plan(strategy.BlueGreen{
		Target: "web", Before: []string{"deploy"}, Bake: s.bake, Checks: []string{"errors"}, Watch: []string{"errors"},
		// Once v2 has everything, it is held against what v1 did here.
		PreviewHold: s.bake / 2,
		Back:        strategy.Back{Drain: 500 * time.Millisecond},
	}); err != nil {
		return err
	}
	// Once v2 has everything, no request of v1 tells whether the machine is slow or v2 is,
	// and a machine on which this is shown does other things, too.
	o := analysis.Default()
	o.Pace.Interval, o.Latency.Limit = 250*time.Millisecond, 0.9999
	judges, tasks := w.bridge.Judges(), w.bridge.Tasks()
	if judges["errors"], err = analysis.NewCompare(analysis.FromTotals(w.proxy), o); err != nil {
		return err
	}
	tasks["deploy"] = w.fleet
	w.runner, err = strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{}, Poll: 50 * time.Millisecond, Observers: []strategy.Observer{strategy.ObserverFunc(w.transition)},
		Wire: strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": w.proxy}, Judges: judges, Tasks: tasks}),
	})
	return err
}

// close ends it all, who asks first.
func (w *world) close() error {
	var errs []error
	for _, end := range slices.Backward(w.cleanup) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// transition tells the rollout.
func (w *world) transition(_ context.Context, s strategy.State, t strategy.Transition) error {
	candidate := s.Release.Candidate.Version
	switch t.Kind { //nolint:exhaustive // the others say nothing new to people
	case strategy.TaskFinished:
		w.say("  task %s is done", t.Subject)
	case strategy.TaskUndone:
		w.say("  task %s is taken back", t.Subject)
	case strategy.DialsTurned, strategy.WeightLowered:
		w.say("%s gets %v", candidate, t.Weight)
	case strategy.VerdictChanged:
		w.say("  %s: %v: %s", t.Subject, t.Verdict, t.Reason)
	case strategy.ReturnBegan:
		w.say("%s goes home: %s", candidate, t.Reason)
	case strategy.RunPromoted, strategy.RunRolledBack, strategy.RunStranded, strategy.Paged:
		w.say("%s: %v %s", candidate, s.Phase, t.Reason)
	}
	return nil
}

// event tells the change.
func (w *world) event(_ context.Context, e migrate.Event) {
	switch e.Kind {
	case migrate.PhaseEntered:
		w.say("    the change is %v", e.Phase)
		if e.Phase == migrate.Soaking {
			w.hiddenOnce.Do(func() { close(w.hidden) })
		}
	case migrate.StepDone:
		if e.Progress.Seen > 0 || e.Took > 100*time.Millisecond {
			w.say("    %s took %v", e.Step, e.Took.Round(time.Millisecond))
		}
	case migrate.Waiting, migrate.Throttled:
		w.say("    it waits: %s", e.Why)
		if strings.HasPrefix(e.Why, migrate.ErrOldVersionLive.Error()) {
			w.heldOnce.Do(func() { close(w.held) })
		}
	case migrate.Retried, migrate.Failed:
		w.say("    %s %s: %v", e.Kind, e.Step, e.Err)
	case migrate.StepBegun, migrate.StatementRun, migrate.StatementRan, migrate.StepUndone, migrate.Advanced:
	}
}

// say prints a line with the time since the beginning.
func (w *world) say(format string, args ...any) {
	w.print("%5.1fs  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

func (w *world) print(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.out, format, args...)
}

// problem keeps what went wrong beside the rollout, for the end.
func (w *world) problem(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.problems = append(w.problems, err)
	}
}
