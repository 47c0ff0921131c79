// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/observe/observetest"
	"github.com/rheostat-go/rheostat/observe/prometheus"
)

var begin = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func newObserver(t *testing.T, o prometheus.Options) (*prometheus.Observer, *prom.Registry) {
	t.Helper()
	reg := prom.NewPedanticRegistry()
	obs, err := prometheus.New(reg, o)
	if err != nil {
		t.Fatal(err)
	}
	return obs, reg
}

func tell(t *testing.T, o observe.Observer, events ...observe.Event) {
	t.Helper()
	for _, e := range events {
		if err := o.Observe(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// story is a rollout that fails at 25% and is home four seconds later.
func story() []observe.Event {
	e := observe.Event{Service: "checkout", Environment: "production", Run: 7, Version: "v2", From: "v1"}
	at := func(seconds int, rev uint64, kind observe.Kind, change func(*observe.Event)) observe.Event {
		next := e
		next.At, next.Rev, next.Kind = begin.Add(time.Duration(seconds)*time.Second), rev, kind
		if change != nil {
			change(&next)
		}
		return next
	}
	share := func(ppm uint32) func(*observe.Event) {
		return func(e *observe.Event) { e.Shares = []observe.Share{{Target: "eu", Candidate: ppm}} }
	}
	verdict := func(v string) func(*observe.Event) {
		return func(e *observe.Event) { e.Check, e.Verdict = "errors", v }
	}
	return []observe.Event{
		at(0, 1, observe.Started, nil),
		at(0, 2, observe.StepEntered, share(50_000)),
		at(30, 3, observe.Judged, verdict("pass")),
		at(60, 4, observe.StepEntered, share(250_000)),
		at(70, 5, observe.Drifted, nil),
		at(80, 6, observe.Held, func(e *observe.Event) { e.Page = true }),
		at(90, 7, observe.Judged, verdict("fail")),
		at(91, 8, observe.RollingBack, func(e *observe.Event) { e.Cause = observe.CauseCheck }),
		at(94, 9, observe.RolledBack, func(e *observe.Event) {
			share(0)(e)
			e.Outcome = observe.OutcomeRolledBack
		}),
	}
}

func TestAStoryBecomesTheseMetrics(t *testing.T) {
	t.Parallel()
	obs, reg := newObserver(t, prometheus.Options{})
	events := story()
	tell(t, obs, events[:6]...)
	midway := `
# HELP canary_traffic_weight Highest candidate share among the targets of the service, in percent.
# TYPE canary_traffic_weight gauge
canary_traffic_weight{service="checkout"} 25
# HELP rheostat_rollout_active 1 while a rollout of the service is under way, else 0.
# TYPE rheostat_rollout_active gauge
rheostat_rollout_active{environment="production",service="checkout"} 1
# HELP rheostat_rollout_held 1 while a rollout of the service is held, else 0.
# TYPE rheostat_rollout_held gauge
rheostat_rollout_held{environment="production",service="checkout"} 1
# HELP rheostat_traffic_weight_ratio Share of the target's traffic that the arm is given, from 0 to 1.
# TYPE rheostat_traffic_weight_ratio gauge
rheostat_traffic_weight_ratio{arm="candidate",service="checkout",target="eu"} 0.25
rheostat_traffic_weight_ratio{arm="stable",service="checkout",target="eu"} 0.75
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(midway), "canary_traffic_weight", "rheostat_rollout_active",
		"rheostat_rollout_held", "rheostat_traffic_weight_ratio"); err != nil {
		t.Errorf("midway: %v", err)
	}
	tell(t, obs, events[6:]...)
	tell(t, obs, events...) // all of it again: at least once is not twice
	end := `
# HELP canary_traffic_weight Highest candidate share among the targets of the service, in percent.
# TYPE canary_traffic_weight gauge
canary_traffic_weight{service="checkout"} 0
# HELP deployment_duration_seconds Time from the acceptance of a deployment to its end.
# TYPE deployment_duration_seconds histogram
deployment_duration_seconds_bucket{environment="production",version="v2",le="10"} 0
deployment_duration_seconds_bucket{environment="production",version="v2",le="30"} 0
deployment_duration_seconds_bucket{environment="production",version="v2",le="60"} 0
deployment_duration_seconds_bucket{environment="production",version="v2",le="120"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="300"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="600"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="1800"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="3600"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="7200"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="21600"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="43200"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="86400"} 1
deployment_duration_seconds_bucket{environment="production",version="v2",le="+Inf"} 1
deployment_duration_seconds_sum{environment="production",version="v2"} 94
deployment_duration_seconds_count{environment="production",version="v2"} 1
# HELP deployments_rollback_total Deployments that began to go home, superseded ones apart.
# TYPE deployments_rollback_total counter
deployments_rollback_total 1
# HELP deployments_total Deployments that ended, by version.
# TYPE deployments_total counter
deployments_total{environment="production",status="failure",version="v2"} 1
# HELP rheostat_drifts_total Routes that were found changed by somebody else.
# TYPE rheostat_drifts_total counter
rheostat_drifts_total{service="checkout"} 1
# HELP rheostat_pages_total Events that called for a person.
# TYPE rheostat_pages_total counter
rheostat_pages_total{service="checkout"} 1
# HELP rheostat_rollbacks_total Rollouts that began to go home, by cause.
# TYPE rheostat_rollbacks_total counter
rheostat_rollbacks_total{cause="check",service="checkout"} 1
# HELP rheostat_rollout_active 1 while a rollout of the service is under way, else 0.
# TYPE rheostat_rollout_active gauge
rheostat_rollout_active{environment="production",service="checkout"} 0
# HELP rheostat_rollout_held 1 while a rollout of the service is held, else 0.
# TYPE rheostat_rollout_held gauge
rheostat_rollout_held{environment="production",service="checkout"} 0
# HELP rheostat_rollouts_total Rollouts that ended, by how they ended.
# TYPE rheostat_rollouts_total counter
rheostat_rollouts_total{environment="production",outcome="rolledBack",service="checkout"} 1
# HELP rheostat_verdicts_total Verdicts that a rollout took note of.
# TYPE rheostat_verdicts_total counter
rheostat_verdicts_total{check="errors",service="checkout",verdict="fail"} 1
rheostat_verdicts_total{check="errors",service="checkout",verdict="pass"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(end), "canary_traffic_weight", "deployment_duration_seconds",
		"deployments_rollback_total", "deployments_total", "rheostat_drifts_total", "rheostat_pages_total", "rheostat_rollbacks_total",
		"rheostat_rollout_active", "rheostat_rollout_held", "rheostat_rollouts_total", "rheostat_verdicts_total"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]float64{"rheostat_rollout_duration_seconds": 94, "rheostat_rollback_seconds": 4} {
		if got := histogramSum(t, reg, name); got != want {
			t.Errorf("%s: sum %v, want %v", name, got, want)
		}
	}
}

func histogramSum(t *testing.T, reg prom.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return sum
}

func TestAnObserverThatJustStartedMeasuresByTheEventsOwnTimes(t *testing.T) {
	t.Parallel()
	obs, reg := newObserver(t, prometheus.Options{Environment: "staging"})
	last := story()[8]
	last.Environment = ""
	last.Started, last.Failing = begin, begin.Add(90*time.Second)
	unknown := last
	unknown.Service, unknown.Started, unknown.Failing = "search", time.Time{}, time.Time{}
	tell(t, obs, last, unknown)
	if sum := histogramSum(t, reg, observe.MetricRolloutDuration); sum != 94 {
		t.Errorf("rollout took %v s, want 94", sum)
	}
	if sum := histogramSum(t, reg, observe.MetricRollback); sum != 4 {
		t.Errorf("return took %v s, want 4", sum)
	}
	// What nobody knows is not measured, and the end of it still counts.
	if n := testutil.CollectAndCount(obs, observe.MetricRolloutDuration); n != 1 {
		t.Errorf("%d durations, want 1", n)
	}
	if n := testutil.CollectAndCount(obs, observe.MetricRollouts); n != 2 {
		t.Errorf("%d ends, want 2", n)
	}
}

func TestASupersededRolloutIsNoFailure(t *testing.T) {
	t.Parallel()
	obs, reg := newObserver(t, prometheus.Options{})
	e := story()[0]
	back, end := e, e
	back.Rev, back.Kind, back.Cause = 2, observe.RollingBack, observe.CauseSuperseded
	end.Rev, end.Kind, end.Outcome = 3, observe.Superseded, observe.OutcomeSuperseded
	tell(t, obs, e, back, end)
	want := `
# HELP deployments_rollback_total Deployments that began to go home, superseded ones apart.
# TYPE deployments_rollback_total counter
deployments_rollback_total 0
# HELP deployments_total Deployments that ended, by version.
# TYPE deployments_total counter
deployments_total{environment="production",status="superseded",version="v2"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "deployments_rollback_total", "deployments_total"); err != nil {
		t.Error(err)
	}
}

func TestALateWordDoesNotReopenARun(t *testing.T) {
	t.Parallel()
	obs, _ := newObserver(t, prometheus.Options{})
	events := story()
	tell(t, obs, events[8], events[4])
	next := events[0]
	next.Run, next.Rev = 8, 20
	tell(t, obs, next)
	late := events[3]
	late.Rev = 10
	tell(t, obs, late) // run 7 says 25% while run 8 is under way
	if got := gauge(t, obs, observe.MetricTrafficWeight, "candidate"); got != 0 {
		t.Errorf("weight %v after a late word about an older run, want 0", got)
	}
	if got := gauge(t, obs, observe.MetricRolloutActive, ""); got != 1 {
		t.Errorf("active %v, want 1: run 8 has begun", got)
	}
}

func gauge(t *testing.T, c prom.Collector, name, label string) float64 {
	t.Helper()
	reg := prom.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if label == "" || l.GetValue() == label {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// series counts every series of a registry, buckets included, and how many
// values each label has.
func series(t *testing.T, reg prom.Gatherer) (total int, labels map[string]map[string]bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels = map[string]map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			total += 1 + len(m.GetHistogram().GetBucket())
			for _, l := range m.GetLabel() {
				if labels[l.GetName()] == nil {
					labels[l.GetName()] = map[string]bool{}
				}
				labels[l.GetName()][l.GetValue()] = true
			}
		}
	}
	return total, labels
}

func TestTenThousandRolloutsOfRandomVersionsLeaveABoundedNumberOfSeries(t *testing.T) {
	t.Parallel()
	limits := prometheus.Options{MaxServices: 10, MaxTargets: 3, MaxChecks: 5, MaxEnvironments: 2, MaxVersions: 7}
	obs, reg := newObserver(t, limits)
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(what string, n int) string { return fmt.Sprintf("%s-%x\xff", what, rng.IntN(n)) }
	var half int
	for i := range 10_000 {
		e := observe.Event{
			Service: random("service", 30), Environment: random("environment", 5), Run: 1, At: begin.Add(time.Duration(i) * time.Second),
			Version: random("version", 1<<30), Started: begin, Failing: begin, Check: random("check", 50), Verdict: random("verdict", 1000),
			Shares: []observe.Share{{Target: random("target", 1000), Candidate: rng.Uint32()}}, Reason: random("reason", 1<<30), Step: random("step", 1<<30),
		}
		for _, kind := range []observe.Kind{observe.Started, observe.Judged, observe.Drifted, observe.RollingBack, observe.RolledBack} {
			e.Kind, e.Rev = kind, e.Rev+uint64(i)*10+1
			e.Cause = observe.Causes()[rng.IntN(len(observe.Causes()))]
			if kind == observe.RolledBack {
				e.Outcome = observe.Outcomes()[rng.IntN(len(observe.Outcomes()))]
			}
			tell(t, obs, e)
		}
		if i == 5_000 {
			half, _ = series(t, reg)
		}
	}
	total, labels := series(t, reg)
	t.Logf("%d series after half, %d in the end", half, total)
	for label, limit := range map[string]int{
		"service": 10 + 1, "target": 3 * 10, "check": 5 + 1, "environment": 2 + 1, "version": 7,
		"verdict": 5 + 1, "cause": len(observe.Causes()) + 1, "outcome": 4 + 1, "status": 3 + 1, "arm": 2, "label": 4,
	} {
		if n := len(labels[label]); n > limit || n == 0 {
			t.Errorf("label %s has %d values, want 1 to %d", label, n, limit)
		}
		delete(labels, label)
	}
	if len(labels) > 0 {
		t.Errorf("labels without a known bound: %v", labels)
	}
	if total > half+half/20 {
		t.Errorf("%d series after half the rollouts and %d after all: still growing", half, total)
	}
	if testutil.ToFloat64(overflow{obs}) == 0 {
		t.Error("nothing tells that labels were full")
	}
}

// overflow is the overflow counter of services alone.
type overflow struct{ *prometheus.Observer }

func (o overflow) Collect(ch chan<- prom.Metric) {
	all := make(chan prom.Metric)
	go func() { o.Observer.Collect(all); close(all) }()
	sent := false
	for m := range all {
		if strings.Contains(m.Desc().String(), observe.MetricOverflow) && !sent && testutil.ToFloat64(one{m}) > 0 {
			sent = true
			ch <- m
		}
	}
}

type one struct{ m prom.Metric }

func (o one) Describe(ch chan<- *prom.Desc) { ch <- o.m.Desc() }
func (o one) Collect(ch chan<- prom.Metric) { ch <- o.m }

func TestForgetRemovesAServiceAndGivesItsPlaceAway(t *testing.T) {
	t.Parallel()
	obs, reg := newObserver(t, prometheus.Options{MaxServices: 1})
	tell(t, obs, story()...)
	other := story()[1]
	other.Service = "search"
	tell(t, obs, other)
	if _, labels := series(t, reg); labels["service"]["search"] {
		t.Error("search has series although the limit is one service")
	}
	obs.Forget("checkout")
	other.Rev = 30
	tell(t, obs, other)
	if _, labels := series(t, reg); labels["service"]["checkout"] || !labels["service"]["search"] {
		t.Errorf("services %v, want search alone", labels["service"])
	}
}

func TestObserverKeepsTheLaw(t *testing.T) {
	observetest.Run(t, func(t *testing.T) observetest.Subject {
		t.Helper()
		obs, _ := newObserver(t, prometheus.Options{})
		return observetest.Subject{Observer: obs, Once: true}
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	if _, err := prometheus.New(nil, prometheus.Options{MaxChecks: -1}); err == nil || !strings.Contains(err.Error(), "MaxChecks") {
		t.Errorf("a negative limit: %v; want an error that names it", err)
	}
	reg := prom.NewRegistry()
	reg.MustRegister(prom.NewCounter(prom.CounterOpts{Name: "deployments_rollback_total", Help: "somebody else's"}))
	if _, err := prometheus.New(reg, prometheus.Options{}); err == nil {
		t.Error("two metrics of one name were accepted")
	}
	if _, err := prometheus.New(reg, prometheus.Options{WithoutDeployments: true}); err != nil {
		t.Errorf("without the common names: %v", err)
	}
}

// notClean are the metrics that promlint objects to, with the reason why they
// keep their names. It is empty: the four common names are clean as well.
var notClean = map[string]string{}

func TestEveryMetricIsLintedAndHasTheTablesNameAndLabels(t *testing.T) {
	t.Parallel()
	obs, reg := newObserver(t, prometheus.Options{MaxServices: 1})
	tell(t, obs, story()...)
	reg.MustRegister(prometheus.NewArms("checkout", "eu", fakeArms{}))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if notClean[p.Metric] == "" {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for name := range notClean {
		if !slices.ContainsFunc(problems, func(p promlint.Problem) bool { return p.Metric == name }) {
			t.Errorf("%s is clean now; take it off the list", name)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		got[f.GetName()] = f.GetHelp() + fmt.Sprint(labels)
	}
	for _, m := range observe.Metrics() {
		slices.Sort(m.Labels)
		if want := m.Help + fmt.Sprint(m.Labels); got[m.Name] != want {
			t.Errorf("%s: exposed as %q, the table says %q", m.Name, got[m.Name], want)
		}
		delete(got, m.Name)
	}
	if len(got) > 0 {
		t.Errorf("exposed and not in the table: %v", got)
	}
}
