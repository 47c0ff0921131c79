// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

var everyVerdict = []analysis.Verdict{analysis.Pending, analysis.Pass, analysis.Safe, analysis.Fail, analysis.Inconclusive}

// The rules in words, apart from the order that the code goes by.
func wantAll(v ...analysis.Verdict) analysis.Verdict {
	for _, stop := range []analysis.Verdict{analysis.Fail, analysis.Inconclusive, analysis.Pending, analysis.Pass} {
		if slices.Contains(v, stop) {
			return stop
		}
	}
	return analysis.Safe
}

func wantAny(v ...analysis.Verdict) analysis.Verdict {
	for _, best := range []analysis.Verdict{analysis.Safe, analysis.Pass, analysis.Pending, analysis.Inconclusive} {
		if slices.Contains(v, best) {
			return best
		}
	}
	return analysis.Fail
}

func parts(verdicts ...analysis.Verdict) []analysis.Part {
	var p []analysis.Part
	for i, v := range verdicts {
		p = append(p, analysis.Part{Name: string(rune('a' + i)), Judge: analysistest.Always(v)})
	}
	return p
}

func TestEveryPairAndTripleOfVerdicts(t *testing.T) {
	t.Parallel()
	try := func(verdicts ...analysis.Verdict) {
		for name, test := range map[string]struct {
			combine func(...analysis.Part) (*analysis.Combination, error)
			want    analysis.Verdict
		}{
			"all": {analysis.All, wantAll(verdicts...)},
			"any": {analysis.Any, wantAny(verdicts...)},
		} {
			j, err := test.combine(parts(verdicts...)...)
			if err != nil {
				t.Fatal(err)
			}
			f, err := j.Judge(t.Context(), analysistest.Question(2, m, ""))
			if err != nil {
				t.Fatal(err)
			}
			if f.Verdict != test.want || !f.Answers(analysistest.Question(2, m, "")) {
				t.Errorf("%s of %v: %v, want %v", name, verdicts, f.Verdict, test.want)
			}
			if passes := f.Verdict == analysis.Pass || f.Verdict == analysis.Safe; passes && !slices.Contains(verdicts, f.Verdict) {
				t.Errorf("%s of %v made %v of what no part said", name, verdicts, f.Verdict)
			}
		}
	}
	for _, a := range everyVerdict {
		try(a)
		for _, b := range everyVerdict {
			try(a, b)
			for _, c := range everyVerdict {
				try(a, b, c)
			}
		}
	}
}

func TestPartsKeepTheirStatesApart(t *testing.T) {
	t.Parallel()
	anew := func() *analysis.Combination {
		j, err := analysis.All(
			analysis.Part{Name: "slow", Judge: analysistest.Series(pend, pend, pass)},
			analysis.Part{Name: "quick", Judge: analysistest.Series(pass, pass, pass, fail)},
		)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	var state analysis.State
	for i, want := range []analysis.Verdict{pend, pend, pass, fail} {
		f, err := anew().Judge(t.Context(), analysistest.Question(0, m*time.Duration(i), state))
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict != want {
			t.Errorf("question %d: %v %q, want %v", i, f.Verdict, f.Reason, want)
		}
		state = f.State
	}
	var kept struct {
		Parts map[string]json.RawMessage `json:"parts"`
	}
	if err := json.Unmarshal([]byte(state), &kept); err != nil || len(kept.Parts) != 2 {
		t.Errorf("state %s: %v", state, err)
	}
}

func TestAPartThatCannotWorkHidesNoFailure(t *testing.T) {
	t.Parallel()
	down := errors.New("no route to host")
	bad := map[string]analysis.Judge{
		"error": analysistest.Broken(down),
		"another question": analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			c.Step++
			return c.Finding(analysis.Safe, "of the next step"), nil
		}),
		"state": analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			c.State = "{"
			return c.Finding(analysis.Safe, "with a torn state"), nil
		}),
		"number": analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			f := c.Finding(analysis.Safe, "with NaN")
			f.Value = math.NaN()
			return f, nil
		}),
		"verdict": analysistest.Always(99),
	}
	for name, judge := range bad {
		for _, other := range everyVerdict {
			j, err := analysis.All(analysis.Part{Name: "bad", Judge: judge}, analysis.Part{Name: "other", Judge: analysistest.Always(other)})
			if err != nil {
				t.Fatal(err)
			}
			f, err := j.Judge(t.Context(), analysistest.Question(0, 0, ""))
			if err != nil {
				t.Fatalf("%s with %v: %v", name, other, err)
			}
			if f.Verdict == pass || f.Verdict == analysis.Safe || (other == fail) != (f.Verdict == fail) {
				t.Errorf("%s with %v: %v %q", name, other, f.Verdict, f.Reason)
			}
		}
	}
	j, err := analysis.Any(analysis.Part{Name: "one", Judge: bad["error"]}, analysis.Part{Name: "two", Judge: bad["error"]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Judge(t.Context(), analysistest.Question(0, 0, "")); !errors.Is(err, down) || !strings.Contains(err.Error(), "two: ") {
		t.Errorf("when no part works: %v", err)
	}
}

func TestAPartThatFailsToAnswerKeepsItsState(t *testing.T) {
	t.Parallel()
	broken := false
	series := analysistest.Series(pend, pass, fail)
	j, err := analysis.All(
		analysis.Part{Name: "a", Judge: analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
			if broken {
				return analysis.Finding{}, errors.New("away")
			}
			return series.Judge(ctx, c)
		})},
		analysis.Part{Name: "b", Judge: analysistest.Always(pass)},
	)
	if err != nil {
		t.Fatal(err)
	}
	var state analysis.State
	for i, want := range []analysis.Verdict{pend, pass, pend, fail} {
		broken = i == 2
		f, err := j.Judge(t.Context(), analysistest.Question(0, m*time.Duration(i), state))
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict != want {
			t.Errorf("question %d: %v %q, want %v", i, f.Verdict, f.Reason, want)
		}
		state = f.State
	}
}

func TestACombinationNamesThePartThatIsWrong(t *testing.T) {
	t.Parallel()
	ok := analysis.Part{Name: "a", Judge: analysistest.Always(pass)}
	for want, p := range map[string][]analysis.Part{
		"all of 0 parts":       nil,
		"part 1: Name: empty":  {ok, {Judge: ok.Judge}},
		`"a" is taken`:         {ok, ok},
		`part "b": Judge: nil`: {ok, {Name: "b"}},
		"all of 65 parts":      slices.Repeat([]analysis.Part{ok}, 65),
	} {
		if _, err := analysis.All(p...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestACombinationOfAnotherKindIsAnotherState(t *testing.T) {
	t.Parallel()
	all, _ := analysis.All(parts(pass)...)
	either, _ := analysis.Any(parts(pass)...)
	f, err := all.Judge(t.Context(), analysistest.Question(0, 0, ""))
	if err != nil {
		t.Fatal(err)
	}
	f, err = either.Judge(t.Context(), analysistest.Question(0, 0, f.State))
	if err != nil || f.Verdict != pend || !strings.Contains(f.Reason, "cannot be used") {
		t.Errorf("%v %q %v", f.Verdict, f.Reason, err)
	}
	if f, err = either.Judge(t.Context(), analysistest.Question(0, 0, f.State)); err != nil || f.Verdict != pass {
		t.Errorf("the question after: %v %q %v", f.Verdict, f.Reason, err)
	}
}
