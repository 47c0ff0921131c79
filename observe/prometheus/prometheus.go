// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"fmt"
	"sync"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/observe"
)

// Options of an Observer. The zero Options have the limits below. A service costs
// some forty series for each environment and outcome it has, a version twenty.
type Options struct {
	// Environment is the label of events that name none. Empty is "unknown".
	Environment string
	// MaxServices bounds the services with series of their own. 0 is 200.
	MaxServices int
	// MaxTargets bounds the targets of one service. 0 is 32.
	MaxTargets int
	// MaxChecks bounds the names of checks, of all services together. 0 is 50.
	MaxChecks int
	// MaxEnvironments bounds the environments. 0 is 8.
	MaxEnvironments int
	// MaxVersions bounds the versions in the metrics that have that label. The
	// version not heard of for the longest time loses its series. 0 is 50.
	MaxVersions int
	// WithoutDeployments leaves out the four metrics whose names do not begin
	// with rheostat, for a registry that has such metrics already.
	WithoutDeployments bool
}

func (o *Options) setDefaults() error {
	for _, f := range [...]struct {
		name  string
		value *int
		zero  int
	}{
		{"MaxServices", &o.MaxServices, 200},
		{"MaxTargets", &o.MaxTargets, 32},
		{"MaxChecks", &o.MaxChecks, 50},
		{"MaxEnvironments", &o.MaxEnvironments, 8},
		{"MaxVersions", &o.MaxVersions, 50},
	} {
		if *f.value < 0 {
			return fmt.Errorf("prometheus: Options.%s: %d is negative; leave it 0 for %d", f.name, *f.value, f.zero)
		}
		if *f.value == 0 {
			*f.value = f.zero
		}
	}
	return nil
}

// Observer turns events into metrics. It is safe for concurrent use, never
// blocks on anything, and counts a repeat of an event once.
type Observer struct {
	options Options
	once    observe.Observer
	vecs    vecs

	mu           sync.Mutex
	services     *firsts
	checks       *firsts
	environments *firsts
	versions     *lasts
	live         map[string]*service
}

var (
	_ observe.Observer = (*Observer)(nil)
	_ prom.Collector   = (*Observer)(nil)
)

// New makes an Observer and registers it. A nil registerer registers nothing;
// the Observer is a Collector that can be registered later. An error says which
// option is wrong, or which metric the registry has already.
func New(reg prom.Registerer, options Options) (*Observer, error) {
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	o := &Observer{options: options, live: make(map[string]*service)}
	o.vecs = newVecs(options.WithoutDeployments)
	o.once = observe.Dedupe(observe.Func(o.record), 0)
	full := func(label string) func() {
		counter := o.vecs.counter(observe.MetricOverflow, label)
		return counter.Inc
	}
	o.services = newFirsts(options.MaxServices, full(observe.LabelService))
	o.checks = newFirsts(options.MaxChecks, full(observe.LabelCheck))
	o.environments = newFirsts(options.MaxEnvironments, full(observe.LabelEnvironment))
	targets := full(observe.LabelTarget)
	o.vecs.targetsFull = targets
	o.versions = &lasts{limit: options.MaxVersions, forget: func(v string) {
		o.vecs.forget(prom.Labels{observe.LabelVersion: v})
	}}
	if reg != nil {
		if err := reg.Register(o); err != nil {
			return nil, fmt.Errorf("prometheus: register: %w", err)
		}
	}
	return o, nil
}

// Observe implements observe.Observer. It takes every event.
func (o *Observer) Observe(ctx context.Context, e observe.Event) error {
	return o.once.Observe(ctx, e)
}

// Forget removes the series of a service that is no more and gives its place to
// another. What is told about it later makes series anew.
func (o *Observer) Forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name = clean(name)
	if name == Other {
		return
	}
	delete(o.services.has, name)
	delete(o.live, name)
	o.vecs.forget(prom.Labels{observe.LabelService: name})
}

// Describe implements prometheus.Collector.
func (o *Observer) Describe(ch chan<- *prom.Desc) {
	for _, c := range o.vecs.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (o *Observer) Collect(ch chan<- prom.Metric) {
	for _, c := range o.vecs.all() {
		c.Collect(ch)
	}
}
