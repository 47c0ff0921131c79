// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

var nan = math.NaN()

func after(d time.Duration) time.Time { return start.Add(d) }

func TestBothArmsAreReadAsOfOneMomentWithOneRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, at := range []time.Duration{-5 * time.Second, 10 * time.Second, 20 * time.Second} {
		n := float64(at / time.Second)
		f.scrape(after(at), `requests_total{arm="v1",code="200"}`, 1000+n)
		f.scrape(after(at), `requests_total{arm="v1",code="503"}`, 100)
		f.scrape(after(at), `requests_total{arm="v2",code="200"}`, 50+2*n)
	}
	s := source(t, f, simple(), prometheus.Options{})
	stable, candidate := counts(t, s, check(10*time.Second))
	if want := (analysis.Counts{Requests: 15, Since: start}); !reflect.DeepEqual(stable, want) {
		t.Errorf("stable counted %+v, want %+v", stable, want)
	}
	if want := (analysis.Counts{Requests: 30, Since: start}); !reflect.DeepEqual(candidate, want) {
		t.Errorf("the candidate counted %+v, want %+v", candidate, want)
	}
	before := len(f.asked())
	_, candidate = counts(t, s, check(20*time.Second))
	if candidate.Requests != 50 {
		t.Errorf("later the candidate counted %+v, want 50 requests", candidate)
	}
	counts(t, s, check(20*time.Second)) // another judge, the same check
	if got := f.asked()[before:]; len(got) != 1 {
		t.Errorf("a check asked %q, want one request for both arms, also for two judges", got)
	}
}

func TestTheFirstErrorsOfASeriesAreCounted(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.scrape(after(-5*time.Second), `requests_total{arm="v1",code="200"}`, 1000)
	f.scrape(after(5*time.Second), `requests_total{arm="v2",code="200"}`, 7)
	f.scrape(after(5*time.Second), `requests_total{arm="v2",code="500"}`, 3)
	s := source(t, f, simple(), prometheus.Options{})
	if _, candidate := counts(t, s, check(10*time.Second)); candidate.Requests != 10 || candidate.Errors != 3 {
		t.Errorf("the candidate counted %+v, want 10 requests and 3 errors", candidate)
	}
}

func TestACounterThatStartsOverIsCountedOnFromZero(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	// One of two replicas restarts: their sum only rises.
	for i, v := range []float64{100, 150, 20, 40} {
		f.scrape(after(time.Duration(5*i-4)*time.Second), `requests_total{arm="v1",code="200",pod="a"}`, v)
		f.scrape(after(time.Duration(5*i-4)*time.Second), `requests_total{arm="v1",code="200",pod="b"}`, 1000*float64(i+1))
	}
	s := source(t, f, simple(), prometheus.Options{})
	for i, want := range []uint64{50 + 1000, 50 + 20 + 2000, 50 + 20 + 20 + 3000} {
		if stable, _ := counts(t, s, check(time.Duration(5*i+2)*time.Second)); stable.Requests != want {
			t.Errorf("reading %d: stable counted %d, want %d", i, stable.Requests, want)
		}
	}
}

func TestASeriesThatDisappearsKeepsWhatItGave(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.scrape(after(-time.Second), `requests_total{arm="v1",code="200",pod="a"}`, 100)
	f.scrape(after(time.Second), `requests_total{arm="v1",code="200",pod="a"}`, 130)
	for at := time.Second; at <= 3*time.Hour; at += time.Minute {
		f.scrape(after(at), `requests_total{arm="v1",code="200",pod="b"}`, at.Minutes())
	}
	s := source(t, f, simple(), prometheus.Options{})
	var since time.Time
	for at := time.Minute; at <= 3*time.Hour; at += 10 * time.Minute {
		stable, _ := counts(t, s, check(at))
		if want := uint64(30 + (at - 59*time.Second).Minutes()); stable.Requests != want {
			t.Fatalf("after %v: stable counted %d, want %d", at, stable.Requests, want)
		}
		if since = stable.Since; !since.Equal(start) {
			t.Fatalf("after %v: counting began at %v, want %v", at, since, start)
		}
	}
}

func TestASourceThatStartedOverCountsTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		f, at := newFake(t), start.Add(-2*time.Minute)
		rng := rand.New(rand.NewPCG(seed, 1))
		q := withLatency()
		warm := source(t, f, q, prometheus.Options{})
		values := map[string]float64{}
		var last analysis.Counts
		for round := range 30 {
			for range 3 {
				at = at.Add(time.Duration(1+rng.IntN(20)) * time.Second)
				scrapeSome(f, rng, values, at)
			}
			if round < 5 {
				continue
			}
			c := check(at.Sub(start))
			if !c.Until.After(start) {
				continue
			}
			s1, c1 := counts(t, warm, c)
			s2, c2 := counts(t, source(t, f, q, prometheus.Options{}), c)
			if !reflect.DeepEqual(s1, s2) || !reflect.DeepEqual(c1, c2) {
				t.Fatalf("seed %d, round %d: one that goes on counts\n%+v\n%+v\none that has started over\n%+v\n%+v", seed, round, s1, c1, s2, c2)
			}
			if c1.Requests < last.Requests || c1.Errors < last.Errors {
				t.Fatalf("seed %d, round %d: totals fell from %+v to %+v", seed, round, last, c1)
			}
			for i := range c1.Latency {
				if len(last.Latency) > 0 && c1.Latency[i] < last.Latency[i] {
					t.Fatalf("seed %d, round %d: a bucket fell from %v to %v", seed, round, last.Latency, c1.Latency)
				}
			}
			last = c1
		}
	}
}

func withLatency() prometheus.Query {
	q := simple()
	q.Latency = "latency_seconds_bucket"
	return q
}

// scrapeSome scrapes replicas that restart, miss scrapes, and show a histogram that
// is being counted in.
func scrapeSome(f *fake, rng *rand.Rand, values map[string]float64, at time.Time) {
	for _, arm := range []string{"v1", "v2"} {
		for pod := range 3 {
			if rng.IntN(6) == 0 {
				continue
			}
			restarted := rng.IntN(15) == 0
			scrape := func(series string, more int) {
				if restarted {
					values[series] = 0
				}
				values[series] += float64(rng.IntN(more))
				f.scrape(at, series, values[series])
			}
			scrape(fmt.Sprintf(`requests_total{arm=%q,code="200",pod="%d"}`, arm, pod), 100)
			if rng.IntN(3) == 0 {
				scrape(fmt.Sprintf(`requests_total{arm=%q,code="500",pod="%d"}`, arm, pod), 5)
			}
			for _, le := range []string{"0.1", "0.5", "+Inf"} {
				scrape(fmt.Sprintf(`latency_seconds_bucket{arm=%q,pod="%d",le=%q}`, arm, pod, le), 30)
			}
		}
	}
}

func TestAfterARestartInALongRolloutNothingIsCountedTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for at := -time.Minute; at <= 5*time.Hour; at += time.Minute {
		f.scrape(after(at), `requests_total{arm="v1",code="200"}`, 1e6+at.Seconds())
		f.scrape(after(at), `requests_total{arm="v2",code="200"}`, 1e3+at.Seconds())
	}
	s := source(t, f, simple(), prometheus.Options{})
	known, lost, sum := 0, 0, uint64(0)
	var prev analysis.Counts
	var read time.Time
	for at := time.Minute; at <= 5*time.Hour; at += time.Minute {
		if at%(25*time.Minute) == 0 {
			s = source(t, f, simple(), prometheus.Options{}) // a restart
		}
		c := check(at)
		_, now := counts(t, s, c)
		if d, ok := now.After(prev, read); !ok {
			lost++
		} else if known++; d.Requests > 60 {
			t.Fatalf("after %v: 60 requests were counted as %d", at, d.Requests)
		} else {
			sum += d.Requests
		}
		prev, read = now, c.Until
	}
	before := len(f.asked())
	counts(t, source(t, f, simple(), prometheus.Options{}), check(5*time.Hour-time.Second))
	if n := len(f.asked()) - before; n > 9 {
		t.Errorf("a restart took %d requests, want those of two hours: 9 at most", n)
	}
	if lost > 12 || known < 280 || sum < 60*280 {
		t.Errorf("%d blocks of %d lost in 12 restarts, %d requests counted", lost, known+lost, sum)
	}
}

func TestASeriesThatWasThereBeforeAnybodyScrapedCountsFromItsFirstSample(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	// A server that lost its data: nothing is known of the time before the rollout.
	f.scrape(after(30*time.Second), `requests_total{arm="v1",code="200",pod="a"}`, 1e6)
	f.scrape(after(40*time.Second), `requests_total{arm="v1",code="200",pod="b"}`, 2e6)
	f.scrape(after(60*time.Second), `requests_total{arm="v1",code="200",pod="a"}`, 1e6+10)
	s := source(t, f, simple(), prometheus.Options{})
	if stable, _ := counts(t, s, check(time.Minute)); stable.Requests != 10 {
		t.Errorf("stable counted %d, want the 10 that were seen", stable.Requests)
	}
}

func TestClassicHistogramsBecomeCountsPerBucket(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	q := withLatency()
	q.Unit = time.Millisecond
	for _, pod := range []string{"a", "b"} {
		for le, n := range map[string]float64{"5": 3, "10.0": 7, "+Inf": 8} {
			series := fmt.Sprintf(`latency_seconds_bucket{arm="v1",pod=%q,le=%q}`, pod, le)
			f.scrape(after(-time.Second), series, 100)
			f.scrape(after(time.Second), series, 100+n)
		}
	}
	f.scrape(after(-time.Second), `requests_total{arm="v1",code="200"}`, 1)
	stable, candidate := counts(t, source(t, f, q, prometheus.Options{}), check(2*time.Second))
	want := analysis.Counts{Bounds: []time.Duration{5 * time.Millisecond, 10 * time.Millisecond}, Latency: []uint64{6, 8, 2}, Since: start}
	if !reflect.DeepEqual(stable, want) {
		t.Errorf("stable counted %+v, want %+v", stable, want)
	}
	want.Latency = []uint64{0, 0, 0}
	if !reflect.DeepEqual(candidate, want) {
		t.Errorf("the candidate counted %+v, want %+v", candidate, want)
	}
	// After an upgrade of the server a bound may be written another way.
	f.scrape(after(3*time.Second), `latency_seconds_bucket{arm="v1",pod="a",le="5.0"}`, 103)
	if stable, _ := counts(t, source(t, f, q, prometheus.Options{}), check(4*time.Second)); stable.Latency[0] != 6 {
		t.Errorf("stable's first bucket has %d, want 6", stable.Latency[0])
	}
}

func TestWhatCannotBeCountedIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	const fine = `requests_total{arm="v1",code="200"}`
	for name, c := range map[string]struct {
		series map[string]float64
		query  func(*prometheus.Query)
		want   string
	}{
		"nothing":        {nil, nil, "no series of requests_total is of either arm"},
		"not a number":   {map[string]float64{fine: nan}, nil, "NaN"},
		"negative":       {map[string]float64{fine: -1}, nil, "no count"},
		"typing error":   {map[string]float64{fine: 1}, func(q *prometheus.Query) { q.Errors = `requests_total{cod="500"}` }, "label cod"},
		"of both":        {map[string]float64{fine: 1}, func(q *prometheus.Query) { q.Candidate = `arm=~"v."` }, "of both arms"},
		"no histogram":   {map[string]float64{fine: 1}, func(q *prometheus.Query) { q.Latency = "latency_bucket" }, "no series of latency_bucket"},
		"a counter":      {map[string]float64{fine: 1, `latency{arm="v1"}`: 1}, func(q *prometheus.Query) { q.Latency = "latency" }, "no histogram"},
		"without a rest": {map[string]float64{fine: 1, `l_bucket{arm="v1",le="1"}`: 1, `l_bucket{arm="v1",le="2"}`: 1}, func(q *prometheus.Query) { q.Latency = "l_bucket" }, "+Inf"},
		"no bound":       {map[string]float64{fine: 1, `l_bucket{arm="v1",le="x"}`: 1}, func(q *prometheus.Query) { q.Latency = "l_bucket" }, "no bound in le"},
		"other bounds": {map[string]float64{
			fine: 1, `l_bucket{arm="v1",le="1"}`: 1, `l_bucket{arm="v1",le="+Inf"}`: 1, `l_bucket{arm="v2",le="2"}`: 1, `l_bucket{arm="v2",le="+Inf"}`: 1,
		}, func(q *prometheus.Query) { q.Latency = "l_bucket" }, "different bounds: [2s] and [1s]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			for series, v := range c.series {
				f.scrape(after(time.Second), series, v)
			}
			q := simple()
			if c.query != nil {
				c.query(&q)
			}
			stable, candidate, err := source(t, f, q, prometheus.Options{}).Counts(t.Context(), check(10*time.Second))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `prometheus: query "requests_total": `) {
				t.Errorf("counted %+v, %+v, %v; want an error with %q", stable, candidate, err, c.want)
			}
		})
	}
}

func TestAScrapeThatNoLongerWorksIsNoServiceWithoutRequests(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.scrape(after(time.Second), `requests_total{arm="v1",code="200"}`, 7)
	s := source(t, f, simple(), prometheus.Options{Stale: time.Minute})
	counts(t, s, check(time.Minute))
	if _, _, err := s.Counts(t.Context(), check(2*time.Minute)); err == nil || !strings.Contains(err.Error(), "1m59s old") {
		t.Errorf("error %v, want one that says how old the newest sample is", err)
	}
}
