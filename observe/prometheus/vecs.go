// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"slices"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/observe"
)

// table is observe.Metrics by name.
var table = func() map[string]observe.Metric {
	m := make(map[string]observe.Metric)
	for _, metric := range observe.Metrics() {
		m[metric.Name] = metric
	}
	return m
}()

// deployments are the metrics that Options.WithoutDeployments leaves out.
var deployments = []string{
	observe.MetricDeployments, observe.MetricDeploymentDuration,
	observe.MetricCanaryWeight, observe.MetricDeploymentRollback,
}

// requests are the metrics of NewArms, which the Observer does not have.
var requests = []string{observe.MetricRequests, observe.MetricRequestErrors, observe.MetricRequestDuration}

// vecs holds one vector for each metric of the table. A metric that was left out
// still has one, which is not collected, so that nothing else has to ask.
type vecs struct {
	counters    map[string]*prom.CounterVec
	gauges      map[string]*prom.GaugeVec
	histograms  map[string]*prom.HistogramVec
	order       []string
	targetsFull func()
}

func newVecs(withoutDeployments bool) vecs {
	v := vecs{
		counters:   make(map[string]*prom.CounterVec),
		gauges:     make(map[string]*prom.GaugeVec),
		histograms: make(map[string]*prom.HistogramVec),
	}
	for _, m := range observe.Metrics() {
		if slices.Contains(requests, m.Name) {
			continue
		}
		if !withoutDeployments || !slices.Contains(deployments, m.Name) {
			v.order = append(v.order, m.Name)
		}
		switch m.Type {
		case observe.Counter:
			v.counters[m.Name] = prom.NewCounterVec(prom.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
		case observe.Gauge:
			v.gauges[m.Name] = prom.NewGaugeVec(prom.GaugeOpts{Name: m.Name, Help: m.Help}, m.Labels)
		case observe.Histogram:
			v.histograms[m.Name] = prom.NewHistogramVec(prom.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
		default:
			panic("BUG: " + m.Name + " has no type")
		}
	}
	// A counter without labels is there from the start, at 0.
	v.counter(observe.MetricDeploymentRollback)
	return v
}

func (v vecs) counter(name string, labels ...string) prom.Counter {
	return v.counters[name].WithLabelValues(labels...)
}

func (v vecs) gauge(name string, labels ...string) prom.Gauge {
	return v.gauges[name].WithLabelValues(labels...)
}

func (v vecs) histogram(name string, labels ...string) prom.Observer {
	return v.histograms[name].WithLabelValues(labels...)
}

// all is what is collected, in the order of the table.
func (v vecs) all() []prom.Collector {
	collectors := make([]prom.Collector, len(v.order))
	for i, name := range v.order {
		switch table[name].Type {
		case observe.Counter:
			collectors[i] = v.counters[name]
		case observe.Gauge:
			collectors[i] = v.gauges[name]
		default:
			collectors[i] = v.histograms[name]
		}
	}
	return collectors
}

// forget removes every series with these labels.
func (v vecs) forget(labels prom.Labels) {
	for _, c := range v.counters {
		c.DeletePartialMatch(labels)
	}
	for _, g := range v.gauges {
		g.DeletePartialMatch(labels)
	}
	for _, h := range v.histograms {
		h.DeletePartialMatch(labels)
	}
}
