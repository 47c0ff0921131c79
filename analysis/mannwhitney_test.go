// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

func mannWhitney(tb testing.TB, o analysis.MannWhitneyOptions, metrics ...analysis.RankedMetric) *analysis.MannWhitney {
	tb.Helper()
	return must[*analysis.MannWhitney](tb)(analysis.NewMannWhitney(o, metrics...))
}

func TestMannWhitneyKeepsTheLaw(t *testing.T) {
	t.Parallel()
	for name, zeros := range map[string]bool{"leaves gaps out": false, "takes gaps for zeros": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, func(*testing.T) analysistest.Subject {
				s := counted(func(n *analysistest.Counter) analysis.Judge {
					return mannWhitney(t, analysis.MannWhitneyOptions{Fails: true, MinSamples: 4, IdleLimit: 5},
						analysis.RankedMetric{Name: "errors", Metric: analysis.ErrorRate(n), Critical: true, ZeroForNone: zeros},
						analysis.RankedMetric{Name: "latency", Metric: analysis.LatencyAbove(n, time.Second), ZeroForNone: zeros})
				})
				s.Rounds = 40 // what is bad shows once most values are
				return s
			})
		})
	}
}

// levels is a metric of which a test sets both arms' values.
type levels struct{ candidate, stable float64 }

func (l *levels) metric(name string) analysis.Metric {
	return analysis.Value(name, func(context.Context, analysis.Check) (analysis.Sample, error) {
		return analysis.Sample{Known: true, Value: l.candidate, Baseline: l.stable, N: 1, BaselineN: 1}, nil
	})
}

// hear asks every minute, after each of which the arms have moved.
func hear(t *testing.T, j analysis.Judge, rounds int, each func(i int)) (f analysis.Finding) {
	t.Helper()
	for i := range rounds + 1 {
		each(i)
		var err error
		if f, err = j.Judge(t.Context(), analysistest.Question(0, time.Duration(i)*time.Minute, f.State)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestMannWhitneyOnlyAdvisesUnlessAsked(t *testing.T) {
	t.Parallel()
	for fails, want := range map[bool]analysis.Verdict{false: analysis.Inconclusive, true: analysis.Fail} {
		var l levels
		j := mannWhitney(t, analysis.MannWhitneyOptions{Fails: fails}, analysis.RankedMetric{Name: "queue", Metric: l.metric("queue")})
		moves := func(i int) { l.stable = 10 + float64(i%5); l.candidate = l.stable + 20 }
		says(t, hear(t, j, 9, moves), analysis.Pending, "9 of the 10 values that it takes are measured; each takes 1m0s")
		f := hear(t, j, 10, moves)
		says(t, f, want, "score 0 of 100 (pass 95, marginal 75): queue is higher, by 20 (")
		if f.N != 10 || f.Value != 32 || f.Baseline != 12 || !(f.Low > 28 && f.Low <= 32 && f.High >= 32 && f.High < 36) {
			t.Errorf("%+v", f)
		}
	}
}

func TestMannWhitneyHasMarginalScores(t *testing.T) {
	t.Parallel()
	var good, bad levels
	o := analysis.MannWhitneyOptions{Groups: map[string]float64{"good": 80}}
	j := mannWhitney(t, o,
		analysis.RankedMetric{Name: "queue", Group: "good", Metric: good.metric("queue")},
		analysis.RankedMetric{Name: "hits", Group: "bad", Bad: analysis.Decrease, Metric: bad.metric("hits")})
	moves := func(i int) {
		good = levels{10 + float64(i%4), 10 + float64(i%3)}
		bad = levels{3 + float64(i%4), 20 + float64(i%3)}
	}
	says(t, hear(t, j, 12, moves), analysis.Pending, "score 80 of 100", ": hits is lower, by -1")
	o.Groups["good"] = 96
	j = mannWhitney(t, o,
		analysis.RankedMetric{Name: "queue", Group: "good", Metric: good.metric("queue")},
		analysis.RankedMetric{Name: "hits", Group: "bad", Bad: analysis.Decrease, Metric: bad.metric("hits")})
	o.Groups["good"] = 0 // the judge has its own
	says(t, hear(t, j, 12, moves), analysis.Pass, "score 96 of 100")
}

func TestMannWhitneyKeepsTheLatestValues(t *testing.T) {
	t.Parallel()
	var l levels
	j := mannWhitney(t, analysis.MannWhitneyOptions{Samples: 12}, analysis.RankedMetric{Name: "queue", Metric: l.metric("queue")})
	f := hear(t, j, 40, func(i int) {
		if l = (levels{float64(i % 5), float64(i % 5)}); i < 25 {
			l.candidate += 50 // that was long ago
		}
		if i == 30 {
			l.candidate = math.NaN()
		}
		if i == 31 {
			l.stable = math.Inf(1)
		}
	})
	says(t, f, analysis.Pass, "score 100")
	if f.N != 12 || f.BaselineN != 12 || f.Value > 4 {
		t.Errorf("%+v", f)
	}
}

func TestAStateThatMannWhitneyCannotHaveWrittenIsMeasuredAnew(t *testing.T) {
	t.Parallel()
	var l levels
	metric := analysis.RankedMetric{Name: "queue", Metric: l.metric("queue")}
	o := analysis.MannWhitneyOptions{MinSamples: 5, Samples: 8}
	j := mannWhitney(t, o, metric)
	f := hear(t, j, 8, func(i int) { l = levels{float64(i % 3), float64(i % 3)} })
	says(t, f, analysis.Pass)
	ask := func(j analysis.Judge, state analysis.State) analysis.Finding {
		t.Helper()
		f, err := j.Judge(t.Context(), analysistest.Question(0, 8*time.Minute+time.Second, state))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if again := ask(j, f.State); again.Verdict != analysis.Pass {
		t.Fatalf("%+v", again)
	}
	many := make([]float64, 9)
	for name, fields := range map[string]map[string]any{
		"version": {"v": 2}, "another judge": {"judge": "x"}, "safe": {"verdict": "safe"}, "failed": {"verdict": "fail"},
		"no reason": {"reason": ""}, "idle": {"idle": -1}, "errors": {"sourceErrors": 1}, "far": {"next": "2030-01-01T00:00:00Z"},
		"no values": {"values": []any{}}, "too many": {"values": []any{map[string]any{"candidate": many, "stable": many}}},
		"too large": {"values": []any{map[string]any{"candidate": []float64{2e30}}}}, "fewer": {"values": []any{map[string]any{"candidate": many[:4], "stable": many[:4]}}},
		"nothing seen": {"seen": false}, "marks": {"marks": []any{}, "values": []any{nil, nil}},
	} {
		if got := ask(j, edited(t, f.State, fields)); got.Verdict != analysis.Pending || !strings.Contains(got.Reason, "cannot be used") {
			t.Errorf("%s: %v %q", name, got.Verdict, got.Reason)
		}
	}
	o.Tolerance = 0.3
	metric2 := metric
	metric2.Bad = analysis.Either
	for name, other := range map[string]analysis.Judge{"options": mannWhitney(t, o, metric), "metric": mannWhitney(t, analysis.MannWhitneyOptions{MinSamples: 5, Samples: 8}, metric2)} {
		if got := ask(other, f.State); got.Verdict != analysis.Pending || !strings.Contains(got.Reason, "other options") {
			t.Errorf("%s: %v %q", name, got.Verdict, got.Reason)
		}
	}
}

func TestWhatMannWhitneyCannotUseIsNamed(t *testing.T) {
	t.Parallel()
	var l levels
	ok := analysis.RankedMetric{Name: "queue", Metric: l.metric("queue")}
	with := func(edit func(*analysis.RankedMetric)) analysis.RankedMetric { m := ok; edit(&m); return m }
	type options = analysis.MannWhitneyOptions
	for want, build := range map[string]func() (*analysis.MannWhitney, error){
		"0 metrics":                    func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{}) },
		"metric 1: Name: \"queue\" is": func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{}, ok, ok) },
		"metric 0: Name: empty": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, with(func(m *analysis.RankedMetric) { m.Name = "" }))
		},
		"metric 0: Metric: none": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, analysis.RankedMetric{Name: "a"})
		},
		"metric 0: Metric: ErrorRate has": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, analysis.RankedMetric{Name: "a", Metric: analysis.ErrorRate(nil)})
		},
		"metric 0: Bad 9": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, with(func(m *analysis.RankedMetric) { m.Bad = 9 }))
		},
		"metric 0: Effect 9": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, with(func(m *analysis.RankedMetric) { m.Effect = 9 }))
		},
		"metric 0: AllowedIncrease 0.5": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, with(func(m *analysis.RankedMetric) { m.AllowedIncrease = 0.5 }))
		},
		"metric 0: AllowedDecrease 2": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{}, with(func(m *analysis.RankedMetric) { m.AllowedDecrease = 2 }))
		},
		"Pass 101":     func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Pass: 101}, ok) },
		"Marginal 96":  func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Marginal: 96}, ok) },
		"Tolerance 1":  func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Tolerance: 1}, ok) },
		"Confidence 1": func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Confidence: 1}, ok) },
		"Interval -1s": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{Interval: -time.Second}, ok)
		},
		"MinSamples 1": func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{MinSamples: 1}, ok) },
		"Samples 5":    func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Samples: 5}, ok) },
		"Samples 1001": func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{Samples: 1001}, ok) },
		"IdleLimit -1": func() (*analysis.MannWhitney, error) { return analysis.NewMannWhitney(options{IdleLimit: -1}, ok) },
		"ConsecutiveErrorLimit": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{ConsecutiveErrorLimit: 1 << 30}, ok)
		},
		"Groups[\"x\"]: no metric": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{Groups: map[string]float64{"x": 1}}, ok)
		},
		"Groups[\"\"] 101": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{Groups: map[string]float64{"": 101}}, ok)
		},
		"Groups: the weights add up to 9": func() (*analysis.MannWhitney, error) {
			return analysis.NewMannWhitney(options{Groups: map[string]float64{"": 9}}, ok)
		},
	} {
		if _, err := build(); err == nil || !strings.HasPrefix(err.Error(), "analysis: mann-whitney: "+want) {
			t.Errorf("%v, want one that begins with %q", err, want)
		}
	}
}

// FuzzMannWhitney measures any values, and then reads any state.
func FuzzMannWhitney(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, 4.0, "")
	f.Add(math.NaN(), math.Inf(-1), 1e300, -1e-300, "{}")
	f.Add(1e30, -1e30, 1e30, 1e-300, `{"v":1,"values":[{"candidate":[1]}]}`)
	f.Fuzz(func(t *testing.T, a, b, c, d float64, state string) {
		var l levels
		j := mannWhitney(t, analysis.MannWhitneyOptions{MinSamples: 3, Samples: 6}, analysis.RankedMetric{Name: "m", Metric: l.metric("m"), Bad: analysis.Either})
		list := []float64{a, b, c, d}
		f := hear(t, j, 9, func(i int) { l = levels{list[i%4], list[i*3%4]} })
		if f.Sound() != f || f.Verdict == analysis.Safe || f.Verdict == analysis.Fail || !json.Valid([]byte(f.State)) {
			t.Errorf("%+v", f)
		}
		f, err := j.Judge(t.Context(), analysistest.Question(0, time.Minute, analysis.State(state)))
		if err != nil || f.Sound() != f || f.Verdict == analysis.Pass && state != string(f.State) {
			t.Errorf("%q: %+v %v", state, f, err)
		}
	})
}

func BenchmarkMannWhitney(b *testing.B) {
	var l levels
	j := mannWhitney(b, analysis.MannWhitneyOptions{Samples: 50}, analysis.RankedMetric{Name: "queue", Metric: l.metric("queue")})
	var f analysis.Finding
	for i := range 51 {
		l = levels{float64(i * 7 % 11), float64(i * 5 % 13)}
		var err error
		if f, err = j.Judge(b.Context(), analysistest.Question(0, time.Duration(i)*time.Minute, f.State)); err != nil {
			b.Fatal(err)
		}
	}
	c := analysistest.Question(0, 51*time.Minute, f.State)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Judge(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

// A metric without a count, as a team has tuned it for Kayenta.
func ExampleMannWhitney() {
	var lag, before float64
	judge, err := analysis.NewMannWhitney(analysis.MannWhitneyOptions{}, analysis.RankedMetric{
		Name: "replication lag", Critical: true,
		Metric: analysis.Value("lag", func(context.Context, analysis.Check) (analysis.Sample, error) {
			return analysis.Sample{Known: true, Value: lag, N: 1, Baseline: before, BaselineN: 1}, nil
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var finding analysis.Finding
	for minute := range 12 {
		before = 3 + float64(minute%3)/4
		lag = 2*before + float64(minute%4)/8
		if finding, err = judge.Judge(context.Background(), analysistest.Question(0, time.Duration(minute)*time.Minute, finding.State)); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%v: %s\n", finding.Verdict, finding.Reason)
	// Output: inconclusive: score 0 of 100 (pass 95, marginal 75): replication lag is higher, by 3.5 (3.125 to 3.875; means 6.75 and 3.273 of stable); it only advises
}
