// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

func under(t *testing.T, s strategy.Strategy, l strategy.Load) strategy.Forecast {
	t.Helper()
	p, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	f, err := strategy.Preview(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err = f.Under(l)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestARegressionShowsWhenTheForecastSays lets a real judge watch candidates through
// the plan's holds, at the load that the forecast was made for.
func TestARegressionShowsWhenTheForecastSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		perSecond, errors, regression float64
		weights                       []traffic.Weight
		hold                          time.Duration
	}{
		{20, 0.001, 0.01, percents(1, 5, 10, 25, 50, 100), 5 * time.Minute},
		{100, 0.001, 0.01, percents(1, 5, 10, 25, 50, 100), 2 * time.Minute},
		{500, 0.01, 0.02, percents(5, 50), 2 * time.Minute},
		{50, 0.001, 0.2, percents(1, 10, 100), 5 * time.Minute},
		{2, 0.001, 0.01, percents(1, 5, 10, 25, 50, 100), time.Minute},
		{5, 0.001, 0.01, percents(10, 20, 100), 2 * time.Minute},
	} {
		f := under(t, strategy.Canary{Target: "web", Weights: tt.weights, Hold: tt.hold, Checks: []string{"errors"}},
			strategy.Load{PerSecond: tt.perSecond, Errors: tt.errors, Regression: tt.regression})
		lane := f.Lanes[0]
		const runs = 30
		var after, harmed float64
		failed := 0
		for seed := range uint64(runs) {
			at, extra, ok := watched(t, rand.New(rand.NewPCG(seed, 9)), lane, tt.perSecond, tt.errors, tt.regression)
			after += at.Seconds() / runs
			harmed += extra / runs
			if ok {
				failed++
			}
		}
		gathered := lane.Steps[len(lane.Steps)-1].Gathered
		t.Logf("%+v: gathered %.2f, shown after %v, harmed %.0f; of %d judged %d failed, after %.0fs, harmed %.0f",
			tt, gathered, lane.Shown, lane.Harmed, runs, failed, after, harmed)
		switch short := slices.ContainsFunc(f.Cautions, func(c string) bool { return strings.Contains(c, "too quick") }); {
		case short != (lane.Shown == 0):
			t.Errorf("%+v: shown after %v, and the cautions are %q", tt, lane.Shown, f.Cautions)
		case short && failed > runs/2:
			t.Errorf("%+v: said to be too quick, and %d of %d failed", tt, failed, runs)
		case short:
		case failed < runs*2/3:
			t.Errorf("%+v: said to show after %v, and %d of %d failed", tt, lane.Shown, failed, runs)
		case after < lane.Shown.Seconds()/2.5 || after > lane.Shown.Seconds()*2.5:
			t.Errorf("%+v: it took %.0fs, and the forecast was %v", tt, after, lane.Shown)
		case harmed < lane.Harmed/3 || harmed > lane.Harmed*3:
			t.Errorf("%+v: %.0f requests were harmed, and the forecast was %.0f", tt, harmed, lane.Harmed)
		}
	}
}

// watched is one rollout of a bad candidate: when it was failed, how many requests it
// had harmed by then, and whether it was.
func watched(t *testing.T, r *rand.Rand, lane strategy.LaneForecast, perSecond, errors, regression float64) (time.Duration, float64, bool) {
	t.Helper()
	const tick = 10 * time.Second
	var n analysistest.Counter
	n.Add("stable", 0, 0)
	judge, err := analysis.NewCompare(&n, analysis.CompareOptions{Pace: analysis.Pace{Interval: tick}})
	if err != nil {
		t.Fatal(err)
	}
	bad := func(requests, share float64) uint64 {
		failures := uint64(0)
		for range int(requests) {
			if r.Float64() < share {
				failures++
			}
		}
		return failures
	}
	c := analysistest.Question(0, 0, "")
	begin := c.Since
	harmed, left := 0.0, 0.0
	for i, step := range lane.Steps {
		weight := float64(step.Dials[0].Split.Candidate) / float64(traffic.Full)
		if weight == 1 {
			break // nothing to compare with
		}
		c.Step, c.Since = i, c.Until
		for end := c.Since.Add(step.Takes.Usual); ; c.Until = c.Until.Add(tick) {
			f, err := judge.Judge(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if f.Verdict == analysis.Fail {
				return c.Until.Sub(begin), harmed, true
			}
			c.State = f.State
			if !c.Until.Before(end) {
				break
			}
			requests := perSecond*tick.Seconds()*weight + left
			left = requests - math.Floor(requests)
			failures := bad(requests, errors+regression)
			n.Add("candidate", uint64(requests), failures)
			stable := perSecond * tick.Seconds() * (1 - weight)
			n.Add("stable", uint64(stable), bad(stable, errors))
			harmed += math.Floor(requests) * regression
		}
	}
	return c.Until.Sub(begin), harmed, false
}

// showing is what the forecast says of the steps of the first lane: the part of the
// evidence in per cent, and whether the step adds to it.
func showing(f strategy.Forecast) (parts []int, adds []bool) {
	for _, s := range f.Lanes[0].Steps {
		parts, adds = append(parts, int(100*s.Gathered)), append(adds, s.Alone > 0)
	}
	return parts, adds
}

func TestOnlyStepsThatCompareAddEvidence(t *testing.T) {
	t.Parallel()
	step := func(percent float64, checks ...string) strategy.Step {
		return strategy.Step{Set: []strategy.Dial{{Target: "web", Split: traffic.Split{Candidate: traffic.Percent(percent)}}}, Hold: time.Minute, Checks: checks}
	}
	load := strategy.Load{PerSecond: 20, Errors: 0.001}
	p := strategy.Plan{Lanes: []strategy.Lane{{Name: "web", Steps: []strategy.Step{
		step(0, "errors"), step(10), step(10, "errors"), step(20, "errors"), step(100, "errors"),
	}}}}
	parts, adds := showing(under(t, planned(p), load))
	if want := []bool{false, false, true, true, false}; !slices.Equal(adds, want) || parts[1] != 0 || parts[2] == 0 || parts[3] <= parts[2] || parts[4] != parts[3] {
		t.Errorf("gathered %v, adding %v, want %v", parts, adds, want)
	}
	p.Watch = []string{"errors"}
	if _, adds := showing(under(t, planned(p), load)); !adds[1] {
		t.Error("a step that is watched all the time adds nothing")
	}
	// A warmup takes its part of each hold.
	load.Judge.Pace.Warmup = 30 * time.Second
	warm, _ := showing(under(t, planned(p), load))
	load.Judge.Pace.Warmup = time.Minute
	f := under(t, planned(p), load)
	cold, _ := showing(f)
	if plain, _ := showing(under(t, planned(p), strategy.Load{PerSecond: 20, Errors: 0.001})); plain[4]/2 != warm[4] || cold[4] != 0 {
		t.Errorf("gathered %v without a warmup, %v with one of half the hold, %v with one of all", plain, warm, cold)
	}
	if !slices.ContainsFunc(f.Cautions, func(c string) bool { return strings.Contains(c, "Warmup") }) {
		t.Errorf("a warmup that takes all the time has the cautions %q", f.Cautions)
	}
	// No load is so heavy that one block is enough.
	if f := under(t, planned(p), strategy.Load{PerSecond: 1e9, Errors: 0.001}); f.Lanes[0].Shown != 80*time.Second {
		t.Errorf("under a heavy load it shows after %v, want the two blocks from the first exposure on", f.Lanes[0].Shown)
	}
}

func TestAForecastUnderALoadLeavesTheOtherAsItIs(t *testing.T) {
	t.Parallel()
	for name, s := range showcase() {
		p, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		f, err := strategy.Preview(p)
		if err != nil {
			t.Fatal(err)
		}
		plain := f.String()
		u, err := f.Under(strategy.Load{PerSecond: 5, Errors: 0.001})
		if err != nil {
			t.Fatal(err)
		}
		if f.Load != nil || f.String() != plain {
			t.Errorf("%s: the forecast has changed:\n%v", name, f)
		}
		golden(t, "preview/"+name+"_load.txt", u.String())
		again, err := u.Under(strategy.Load{PerSecond: 5, Errors: 0.001})
		if err != nil || len(again.Cautions) != len(u.Cautions) {
			t.Errorf("%s: told twice it cautions %q, %v", name, again.Cautions, err)
		}
	}
}

func TestALoadThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	p, err := strategy.AllAtOnce{Targets: []string{"web"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	f, err := strategy.Preview(p)
	if err != nil {
		t.Fatal(err)
	}
	for want, l := range map[string]strategy.Load{
		"PerSecond 0":   {},
		"PerSecond NaN": {PerSecond: math.NaN()},
		"Errors -0.1":   {PerSecond: 1, Errors: -0.1},
		"Errors NaN":    {PerSecond: 1, Errors: math.NaN()},
		"Regression -1": {PerSecond: 1, Regression: -1},
		"their sum":     {PerSecond: 1, Errors: 0.6, Regression: 0.5},
		"within the":    {PerSecond: 1, Errors: 0.1, Regression: 0.0001},
		"SafeRisk":      {PerSecond: 1, Judge: analysis.CompareOptions{SafeRisk: 2}},
	} {
		if _, err := f.Under(l); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "strategy: load: ") {
			t.Errorf("%+v: %v, want %q", l, err, want)
		}
	}
}
