// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

func history(tb testing.TB, s analysis.History, c analysis.Check, length time.Duration, blocks int) []analysis.Halved {
	tb.Helper()
	list, err := s.History(tb.Context(), c, length, blocks)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

// past scrapes two replicas of stable every five seconds from one moment to another:
// one and two requests a second, and the first restarts once.
func past(f *fake, from, to time.Duration) {
	for at := from; at <= to; at += 5 * time.Second {
		n := int((at - from) / time.Second)
		a := n
		if at > -2*time.Minute {
			a = int((at + 2*time.Minute) / time.Second)
		}
		served(f, at, "v1", "a", a, 0)
		served(f, at, "v1", "b", 2*n, n/10)
	}
}

func TestHistoryIsWhatWasCountedInEachBlockBeforeTheRollout(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	past(f, -time.Hour, time.Minute)
	c := check(time.Minute)
	s := source(t, f, byPod("l_bucket"), prometheus.Options{})
	counts(t, s, c)
	before := len(f.asked())
	list := history(t, s, c, 10*time.Second, 90)
	if n := len(f.asked()) - before; n != 1 || len(list) != 90 {
		t.Fatalf("%d blocks from %d answers, want 90 from 1", len(list), n)
	}
	for i, h := range list {
		slow, fast := h.A, h.B
		if slow.Requests > fast.Requests {
			slow, fast = fast, slow
		}
		if slow.Requests != 10 || fast.Requests != 21 || fast.Errors != 1 || total(slow.Latency) != 10 || fast.Latency[1] != 1 {
			t.Errorf("block %d holds %+v", i, h)
		}
	}
	// Nothing before Exposed is in the totals.
	a, b := halves(t, s, c)
	if a.Requests+b.Requests != 60+120+6 {
		t.Errorf("halves counted %+v and %+v since", a, b)
	}
	// What fits into a quarter of an hour, and no more.
	if list := history(t, s, c, time.Minute, 90); len(list) != 15 || list[0].A.Requests+list[0].B.Requests != 186 {
		t.Errorf("%d blocks of a minute, the first %+v", len(list), list[0])
	}
	if list := history(t, s, c, time.Hour, 90); len(list) != 0 {
		t.Errorf("%d blocks of an hour", len(list))
	}
	if list := history(t, s, c, time.Second, -1); len(list) != 0 {
		t.Errorf("%d blocks where less than none were asked for", len(list))
	}
	if _, err := s.History(t.Context(), c, 0, 90); err == nil {
		t.Error("blocks that take no time are no error")
	}
}

func TestHistoryHasOnlyWhatTheServerKnows(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	past(f, -65*time.Second, time.Minute)
	list := history(t, source(t, f, byPod("l_bucket"), prometheus.Options{}), check(time.Minute), 10*time.Second, 90)
	var sum uint64
	for _, h := range list {
		sum += h.A.Requests + h.B.Requests
	}
	// The first sample of all is where counting begins.
	if len(list) != 6 || sum != 60+120+6 {
		t.Errorf("%d blocks with %d requests: %+v", len(list), sum, list)
	}
	// Blocks whose samples may be on their way are left out.
	late := source(t, f, byPod("l_bucket"), prometheus.Options{Delay: time.Minute})
	if list := history(t, late, check(35*time.Second), 10*time.Second, 90); len(list) != 3 {
		t.Errorf("%d blocks, want those that ended a minute ago", len(list))
	}
	fresh := newFake(t)
	served(fresh, time.Second, "v1", "a", 3, 0)
	if list, err := source(t, fresh, byPod(""), prometheus.Options{}).History(t.Context(), check(2*time.Second), time.Second, 9); len(list) != 0 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%+v, %v of a server that knows nothing from before", list, err)
	}
}

func TestARolloutDoesWithoutAHistoryThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(f *fake)
		want  string
		fatal bool
	}{
		"refused": {func(f *fake) {
			f.says(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}`)
		}, "too many samples", false},
		"other bounds": {func(f *fake) {
			f.scrape(after(-50*time.Second), `l_bucket{arm="v1",pod="old",le="9"}`, 1)
			f.scrape(after(-50*time.Second), `l_bucket{arm="v1",pod="old",le="+Inf"}`, 1)
		}, "different bounds", false},
		"not a number": {func(f *fake) { f.scrape(after(-50*time.Second), `requests_total{arm="v1",pod="odd",code="200"}`, nan) }, "no count", false},
		"down":         {func(f *fake) { f.says(503, "down") }, "503", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			past(f, -70*time.Second, time.Minute)
			s := source(t, f, byPod("l_bucket"), prometheus.Options{})
			counts(t, s, check(time.Minute))
			c.spoil(f)
			list, err := s.History(t.Context(), check(time.Minute), 10*time.Second, 90)
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, errors.ErrUnsupported) == c.fatal || len(list) != 0 {
				t.Errorf("%d blocks, error %v, want one with %q", len(list), err, c.want)
			}
		})
	}
	f := newFake(t)
	past(f, -20*time.Minute, time.Minute)
	body := strings.Repeat(" ", 1<<20)
	f.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.PostForm.Get("query"), "[1200000ms]") {
			_, _ = w.Write([]byte(body))
			return true
		}
		return false
	})
	s := source(t, f, byPod(""), prometheus.Options{MaxBytes: 1<<20 - 1})
	if _, err := s.History(t.Context(), check(time.Minute), 10*time.Second, 90); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "MaxBytes") {
		t.Errorf("error %v", err)
	}
}

// onlyCounts hides what else a source knows.
type onlyCounts struct{ analysis.Source }

// failures runs rollouts of a service whose errors come ten at a time, one in a hundred
// requests of stable and share of the candidate's, and says how many were failed.
func failures(t *testing.T, runs int, share float64, hide func(*prometheus.Source) analysis.Source) (failed int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12)) //nolint:gosec // a simulation
	for range runs {
		f := newFake(t)
		good, bad := map[string]int{}, map[string]int{}
		serve := func(at time.Duration, arm, pod string, n int, share float64) {
			good[pod] += n
			for range n / 10 {
				if rng.Float64() < share {
					bad[pod] += 10
					good[pod] -= 10
				}
			}
			served(f, at, arm, pod, good[pod], bad[pod])
		}
		pods := []string{"s1", "s2", "s3", "s4"}
		for at := -15 * time.Minute; at <= 0; at += 10 * time.Second {
			for _, pod := range pods {
				serve(at, "v1", pod, 500, 0.01)
			}
		}
		judge, err := analysis.NewCompare(hide(source(t, f, byPod(""), prometheus.Options{})), analysis.CompareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var state analysis.State
		for i := range 30 {
			c := check(time.Duration(i) * 10 * time.Second)
			c.State = state
			found, err := judge.Judge(t.Context(), c)
			if err != nil || strings.Contains(found.Reason, "could not be read") {
				t.Fatal(found.Reason, err)
			}
			if found.Verdict == analysis.Fail {
				failed++
				break
			}
			state = found.State
			for _, pod := range pods {
				serve(c.Until.Sub(start)+10*time.Second, "v1", pod, 500, 0.01)
			}
			serve(c.Until.Sub(start)+10*time.Second, "v2", "c1", 200, share)
		}
	}
	return failed
}

func TestABurstyStableMakesCompareMoreCareful(t *testing.T) {
	t.Parallel()
	const runs = 40
	all := func(s *prometheus.Source) analysis.Source { return s }
	blind := failures(t, runs, 0.01, func(s *prometheus.Source) analysis.Source { return onlyCounts{s} })
	seeing := failures(t, runs, 0.01, all)
	t.Logf("of %d good candidates whose errors come ten at a time %d were failed by counts alone, %d with halves and history", runs, blind, seeing)
	if blind < runs/10 || seeing > runs/20 {
		t.Errorf("of %d good candidates %d were failed without halves, %d with", runs, blind, seeing)
	}
	if bad := failures(t, runs/6, 0.2, all); bad != runs/6 {
		t.Errorf("of %d bad candidates %d were failed", runs/6, bad)
	}
}
