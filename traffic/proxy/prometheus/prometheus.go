// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"math"
	"strings"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// maxArms bounds the arms that have series, some ninety each. A route has two,
// and a few more come and go around it.
const maxArms = 32

// New exposes what p counts. The caller registers the Collector; it is safe for
// concurrent use and asks p anew with each scrape.
func New(p *proxy.Proxy) prom.Collector {
	desc := func(name, help string, labels ...string) *prom.Desc {
		return prom.NewDesc("rheostat_proxy_"+name, help, labels, nil)
	}
	return &collector{
		proxy:        p,
		requests:     desc("requests_total", "Requests that an arm answered, or left without an answer.", "arm"),
		errors:       desc("request_errors_total", "Requests that an arm answered with 500 or above, not at all, or only in part.", "arm"),
		canceled:     desc("requests_canceled_total", "Requests that clients gave up before the answer began.", "arm"),
		inFlight:     desc("requests_in_flight", "Requests and copies under way to an arm.", "arm"),
		duration:     desc("request_duration_seconds", "Time until an arm's answer began.", "arm"),
		copies:       desc("copies_total", "Requests of which an arm was to receive a copy, by what became of it.", "arm", "outcome"),
		copyDuration: desc("copy_duration_seconds", "Time until an arm's answer to a copy began.", "arm"),
		backends:     desc("backends", "Backends of an arm, by state.", "arm", "state"),
		weight:       desc("weight_ratio", "Share of the requests that the route gives an arm.", "arm"),
		mirror:       desc("mirror_ratio", "Share of stable's requests that the route copies to an arm.", "arm"),
		fence:        desc("route_fence", "Fence that the route in force was applied under."),
	}
}

type collector struct {
	proxy *proxy.Proxy

	requests, errors, canceled, inFlight, duration *prom.Desc
	copies, copyDuration, backends                 *prom.Desc
	weight, mirror, fence                          *prom.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prom.Desc) {
	for _, d := range []*prom.Desc{
		c.requests, c.errors, c.canceled, c.inFlight, c.duration, c.copies, c.copyDuration, c.backends, c.weight, c.mirror, c.fence,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prom.Metric) {
	route, fence := c.proxy.Route()
	if !route.IsZero() {
		ch <- gauge(c.fence, float64(fence))
	}
	bounds := c.proxy.Bounds()
	done := make(map[string]bool)
	for _, arm := range c.proxy.Arms() {
		// Names that are not UTF-8 can look the same once they are.
		label := strings.ToValidUTF8(arm, "\uFFFD")
		if done[label] || len(done) == maxArms {
			continue
		}
		done[label] = true
		c.collectArm(ch, arm, label, bounds)
		if !route.IsZero() {
			weight, mirror := shares(route, arm)
			ch <- gauge(c.weight, weight, label)
			ch <- gauge(c.mirror, mirror, label)
		}
	}
}

func (c *collector) collectArm(ch chan<- prom.Metric, arm, label string, bounds []time.Duration) {
	requests, errors, latency, since, ok := c.proxy.Totals(arm)
	if !ok {
		return // it was removed just now
	}
	count := func(desc *prom.Desc, n uint64, labels ...string) {
		ch <- prom.MustNewConstMetricWithCreatedTimestamp(desc, prom.CounterValue, float64(n), since, labels...)
	}
	count(c.requests, requests, label)
	count(c.errors, errors, label)
	count(c.canceled, c.proxy.Canceled(arm), label)
	ch <- gauge(c.inFlight, float64(c.proxy.InFlight(arm)), label)
	ch <- histogram(c.duration, bounds, latency, since, label)

	copies := c.proxy.Copies(arm)
	for _, o := range [...]struct {
		outcome string
		n       uint64
	}{
		{"answered", copies.Requests - copies.Errors},
		{"error", copies.Errors},
		{"busy", copies.Busy},
		{"large", copies.Large},
		{"cut", copies.Cut},
		{"late", copies.Late},
		{"upgrade", copies.Upgrades},
	} {
		count(c.copies, o.n, label, o.outcome)
	}
	ch <- histogram(c.copyDuration, bounds, copies.Latency, since, label)

	states := map[proxy.BackendState]int{}
	for _, b := range c.proxy.Backends(arm) {
		states[b.State]++
	}
	for _, s := range []proxy.BackendState{proxy.BackendWell, proxy.BackendEjected, proxy.BackendFailing} {
		ch <- gauge(c.backends, float64(states[s]), label, s.String())
	}
}

// shares are the parts of the requests, and of the copies, that the arm gets.
func shares(r traffic.Route, arm string) (weight, mirror float64) {
	part := func(w traffic.Weight) float64 { return float64(w) / float64(traffic.Full) }
	switch arm {
	case r.Arms.Candidate:
		return part(r.Split.Candidate), part(r.Split.Mirror)
	case r.Arms.Stable:
		return part(traffic.Full - r.Split.Candidate), 0
	}
	return 0, 0
}

func gauge(desc *prom.Desc, v float64, labels ...string) prom.Metric {
	return prom.MustNewConstMetric(desc, prom.GaugeValue, v, labels...)
}

// histogram adds the counts up, as Prometheus wants them. The sum of all times
// is not among the proxy's counters, and NaN says so where a guess would mislead.
func histogram(desc *prom.Desc, bounds []time.Duration, latency []uint64, since time.Time, label string) prom.Metric {
	buckets := make(map[float64]uint64, len(bounds))
	var count uint64
	for i, n := range latency {
		count += n
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = count
		}
	}
	return prom.MustNewConstHistogramWithCreatedTimestamp(desc, count, math.NaN(), buckets, since, label)
}
