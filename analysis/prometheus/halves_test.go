// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// byPod is a query whose replicas are pods.
func byPod(latency string) prometheus.Query {
	q := simple()
	q.Latency, q.Replica = latency, "pod"
	return q
}

func halves(tb testing.TB, s analysis.Halves, c analysis.Check) (a, b analysis.Counts) {
	tb.Helper()
	a, b, err := s.Halves(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return a, b
}

// served is what a replica of stable with this many requests exposes.
func served(f *fake, at time.Duration, arm, pod string, good, bad int) {
	f.scrape(after(at), fmt.Sprintf(`requests_total{arm=%q,code="200",pod=%q}`, arm, pod), float64(good))
	f.scrape(after(at), fmt.Sprintf(`requests_total{arm=%q,code="500",pod=%q}`, arm, pod), float64(bad))
	f.scrape(after(at), fmt.Sprintf(`l_bucket{arm=%q,pod=%q,le="1"}`, arm, pod), float64(good))
	f.scrape(after(at), fmt.Sprintf(`l_bucket{arm=%q,pod=%q,le="+Inf"}`, arm, pod), float64(good+bad))
}

func TestHalvesAreOfWholeReplicasAndCostNoRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	// The digits of a total are the replicas in it.
	for i, pod := range []string{"a", "b", "c", "d"} {
		served(f, -time.Second, "v1", pod, 5000, 50)
		unit := 1
		for range i {
			unit *= 10
		}
		served(f, time.Second, "v1", pod, 5000+unit, 50+unit)
	}
	served(f, time.Second, "v2", "a", 100_000, 100_000)
	s := source(t, f, byPod("l_bucket"), prometheus.Options{})
	stable, _ := counts(t, s, check(2*time.Second))
	before := len(f.asked())
	a, b := halves(t, s, check(2*time.Second))
	if n := len(f.asked()) - before; n != 0 {
		t.Errorf("halves asked for %d more answers", n)
	}
	if a.Errors+b.Errors != 1111 || stable.Errors != 1111 || !a.Since.Equal(start) {
		t.Errorf("stable counted %+v, its halves %+v and %+v", stable, a, b)
	}
	for _, half := range []analysis.Counts{a, b} {
		digits := strings.Trim(fmt.Sprint(half.Errors), "0")
		want := analysis.Counts{
			Requests: 2 * half.Errors, Errors: half.Errors, Since: start,
			Bounds: []time.Duration{time.Second}, Latency: []uint64{half.Errors, half.Errors},
		}
		if strings.Count(fmt.Sprint(half.Errors), "1") != 2 || strings.Trim(digits, "01") != "" || !reflect.DeepEqual(half, want) {
			t.Errorf("a half counted %+v, want two replicas of four with all their series", half)
		}
	}
}

func TestAReplicaStaysInItsHalfWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a simulation
	born, counted := map[int]time.Duration{}, map[int]int{}
	warm := source(t, f, byPod(""), prometheus.Options{})
	served(f, -time.Second, "v2", "x", 0, 0)
	var prevA, prevB analysis.Counts
	for i := range 120 {
		at := time.Duration(i) * 10 * time.Second
		// Three replicas at any time, each for a few minutes.
		for r := i/8 - 2; r <= i/8; r++ {
			if _, ok := born[r]; !ok {
				born[r] = at
			}
			counted[r] += rng.IntN(50)
			served(f, at, "v1", fmt.Sprint(r), counted[r], counted[r]/10)
		}
		served(f, at, "v2", "x", i, 0)
		c := check(at + time.Second)
		stable, _ := counts(t, warm, c)
		a, b := halves(t, warm, c)
		if a.Requests+b.Requests != stable.Requests || a.Errors+b.Errors != stable.Errors {
			t.Fatalf("after %v: halves %+v and %+v are not stable's %+v", at, a, b, stable)
		}
		if a.Requests < prevA.Requests || b.Requests < prevB.Requests {
			t.Fatalf("after %v: a half fell: %+v, %+v", at, a, b)
		}
		prevA, prevB = a, b
		coldA, coldB := halves(t, source(t, f, byPod(""), prometheus.Options{}), c)
		if !reflect.DeepEqual([]analysis.Counts{a, b}, []analysis.Counts{coldA, coldB}) {
			t.Fatalf("after %v: one that goes on counts %+v and %+v, one that has started over %+v and %+v", at, a, b, coldA, coldB)
		}
	}
	if prevA.Requests == 0 || prevB.Requests == 0 {
		t.Errorf("of %d replicas all were in one half: %+v, %+v", len(born), prevA, prevB)
	}
}

func TestTwoReplicasAreNeverInOneHalf(t *testing.T) {
	t.Parallel()
	for i := range 50 {
		f := newFake(t)
		for _, pod := range []string{fmt.Sprintf("10.0.%d.1:80", i), fmt.Sprintf("10.0.%d.2:80", i)} {
			served(f, -time.Second, "v1", pod, 0, 0)
			served(f, time.Second, "v1", pod, 1, 0)
		}
		if a, b := halves(t, source(t, f, byPod(""), prometheus.Options{}), check(2*time.Second)); a.Requests != 1 || b.Requests != 1 {
			t.Errorf("one half counted %+v, the other %+v, want a replica each", a, b)
		}
	}
}

func TestReplicasThatCannotBeToldApartAreNoHalves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.scrape(after(-time.Second), `requests_total{arm="v1",code="200"}`, 0)
	f.scrape(after(time.Second), `requests_total{arm="v1",code="200"}`, 5)
	f.scrape(after(time.Second), `requests_total{arm="v2",code="200",pod="x"}`, 5)
	s := source(t, f, byPod(""), prometheus.Options{})
	_, _, err := s.Halves(t.Context(), check(2*time.Second))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "label pod") {
		t.Errorf("error %v, want one that says which label is missing", err)
	}
	if _, err := s.History(t.Context(), check(2*time.Second), time.Second, 5); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("history: error %v", err)
	}
	// What is of no replica is in no half.
	served(f, 3*time.Second, "v1", "a", 7, 0)
	stable, _ := counts(t, s, check(4*time.Second))
	if a, b := halves(t, s, check(4*time.Second)); stable.Requests != 12 || a.Requests+b.Requests != 7 {
		t.Errorf("stable counted %+v, its halves %+v and %+v", stable, a, b)
	}
	if _, err := prometheus.New(f.URL, prometheus.Query{Stable: `a="1"`, Candidate: `a="2"`, Requests: "r", Errors: "e", Replica: "le"}, prometheus.Options{}); err == nil || !strings.Contains(err.Error(), "Replica") {
		t.Errorf("error %v", err)
	}
}
