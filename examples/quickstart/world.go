// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/observe/prometheus"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/observing"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// world is everything that runs while it is shown.
type world struct {
	began   time.Time
	store   *strategy.FileStore
	bad     *service
	proxy   *proxy.Proxy
	front   *server
	control *server
	runner  *strategy.Runner
	load    *load

	// cleanup is done in reverse.
	cleanup []func() error
}

// build starts it all on what dir holds: first what answers, last who asks. What
// was started has to be closed, also after an error.
func (w *world) build(ctx context.Context, dir string, s settings, told strategy.Observer) error {
	w.began = time.Now()
	var err error
	if w.store, err = strategy.OpenFileStore(filepath.Join(dir, "rollouts"), strategy.FileStoreOptions{}); err != nil {
		return err
	}
	w.cleanup = append(w.cleanup, w.store.Close)
	if err := w.startTraffic(filepath.Join(dir, "route.json")); err != nil {
		return err
	}
	registry := prom.NewRegistry()
	metrics, err := prometheus.New(registry, prometheus.Options{Environment: "quickstart"})
	if err != nil {
		return err
	}
	if err := registry.Register(prometheus.NewArms(web, web, w.proxy)); err != nil {
		return err
	}
	if err := w.makeRunner(s.hold, observing.To(metrics, observing.Options{}), told); err != nil {
		return err
	}
	before, err := w.store.Load(ctx, web)
	if err != nil {
		return err
	}
	w.spoil(before)
	w.load = startLoad(w.front.url, s.rate)
	w.cleanup = append(w.cleanup, func() error {
		w.load.finish()
		return nil
	})
	if w.control, err = listen(s.control, control(w.runner, w.look, registry)); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	w.cleanup = append(w.cleanup, w.control.stop)
	return nil
}

// startTraffic starts the services and the proxy in front of them, which takes
// up the route of the file before anybody can ask.
func (w *world) startTraffic(file string) error {
	arms := map[string][]*url.URL{}
	for _, version := range []string{first, good, bad} {
		s, err := startService(version)
		if err != nil {
			return err
		}
		w.cleanup = append(w.cleanup, s.stop)
		arms[version] = []*url.URL{s.url}
		if version == bad {
			w.bad = s
		}
	}
	var err error
	if w.proxy, err = proxy.New(arms, proxy.Options{File: file, Default: first}); err != nil {
		return err
	}
	if w.front, err = listen("127.0.0.1:0", w.proxy); err != nil {
		return err
	}
	w.cleanup = append(w.cleanup, w.front.stop)
	return nil
}

func (w *world) makeRunner(hold time.Duration, observers ...strategy.Observer) error {
	errorRate, err := judge(w.proxy, hold)
	if err != nil {
		return err
	}
	w.runner, err = strategy.NewRunner(strategy.Config{
		Store: w.store,
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{web: w.proxy},
			Judges:  map[string]analysis.Judge{checkName: errorRate},
		}),
		Observers: append(observers, strategy.ObserverFunc(func(_ context.Context, s strategy.State, _ strategy.Transition) error {
			w.spoil(s)
			return nil
		})),
		Poll: max(hold/40, 10*time.Millisecond),
	})
	return err
}

// spoil makes the bad candidate fail from the weight on that it cannot bear, and
// ever after.
func (w *world) spoil(s strategy.State) {
	target, _ := s.Target(web)
	if s.Release.Candidate.Version == bad && target.Route.Split.Candidate >= failsFrom {
		w.bad.failing.Store(true)
	}
}

// close ends it all, who asks first.
func (w *world) close() error {
	var errs []error
	for _, end := range slices.Backward(w.cleanup) {
		errs = append(errs, end())
	}
	w.cleanup = nil
	return errors.Join(errs...)
}
