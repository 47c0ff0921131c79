// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"math"
	"slices"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/observe"
)

// maxArms bounds the arms of one source. A split has two; a third is seen while
// one replaces another.
const maxArms = 16

// Arms counts requests arm by arm, as the embedded proxy does.
type Arms interface {
	// Arms names the arms by identity.
	Arms() []string
	// Totals is what an arm has answered since the time given, and how many of
	// these were errors. latency counts the answers by how long they took: one
	// count for each of Bounds, of what took no longer than it and longer than
	// the bound before, and one more for the rest. ok is false for an arm that
	// does not exist.
	Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool)
	// Bounds are the upper bounds of the latency counts, in rising order.
	Bounds() []time.Duration
}

// NewArms exposes a source's counters, one series for each arm by its identity,
// which stays the same when a rollout swaps the arms' roles. The caller
// registers the Collector. It asks the source anew with every scrape.
func NewArms(service, target string, source Arms) prom.Collector {
	c := &armsCollector{source: source}
	labels := prom.Labels{observe.LabelService: clean(service), observe.LabelTarget: clean(target)}
	desc := func(name string) *prom.Desc {
		return prom.NewDesc(name, table[name].Help, []string{observe.LabelArm}, labels)
	}
	c.requests = desc(observe.MetricRequests)
	c.errors = desc(observe.MetricRequestErrors)
	c.duration = desc(observe.MetricRequestDuration)
	return c
}

type armsCollector struct {
	source                     Arms
	requests, errors, duration *prom.Desc
}

// Describe implements prometheus.Collector.
func (c *armsCollector) Describe(ch chan<- *prom.Desc) {
	ch <- c.requests
	ch <- c.errors
	ch <- c.duration
}

// Collect implements prometheus.Collector.
func (c *armsCollector) Collect(ch chan<- prom.Metric) {
	bounds := c.source.Bounds()
	var done []string
	for _, arm := range c.source.Arms() {
		label := clean(arm)
		if len(done) >= maxArms || slices.Contains(done, label) {
			continue
		}
		requests, errors, latency, since, ok := c.source.Totals(arm)
		if !ok {
			continue
		}
		done = append(done, label)
		ch <- counter(c.requests, requests, since, label)
		ch <- counter(c.errors, errors, since, label)
		ch <- histogram(c.duration, bounds, latency, since, label)
	}
}

func counter(desc *prom.Desc, n uint64, since time.Time, label string) prom.Metric {
	if since.IsZero() {
		return prom.MustNewConstMetric(desc, prom.CounterValue, float64(n), label)
	}
	return prom.MustNewConstMetricWithCreatedTimestamp(desc, prom.CounterValue, float64(n), since, label)
}

// histogram adds the counts up, as Prometheus wants them. The sum of all times
// is not among the counters, and NaN says so where a guess would mislead.
func histogram(desc *prom.Desc, bounds []time.Duration, latency []uint64, since time.Time, label string) prom.Metric {
	buckets := make(map[float64]uint64, len(bounds))
	var count uint64
	for i, n := range latency {
		count += n
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = count
		}
	}
	if since.IsZero() {
		return prom.MustNewConstHistogram(desc, count, math.NaN(), buckets, label)
	}
	return prom.MustNewConstHistogramWithCreatedTimestamp(desc, count, math.NaN(), buckets, since, label)
}
