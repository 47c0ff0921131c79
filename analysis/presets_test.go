// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// minutes asks every minute, after what each of them brought.
func minutes(t *testing.T, j analysis.Judge, each ...func()) []analysis.Verdict {
	t.Helper()
	var state analysis.State
	var list []analysis.Verdict
	for i := range len(each) + 1 {
		if i > 0 {
			each[i-1]()
		}
		f, err := j.Judge(t.Context(), analysistest.Question(0, time.Duration(i)*time.Minute, state))
		if err != nil {
			t.Fatal(err)
		}
		state = f.State
		list = append(list, f.Verdict)
	}
	return list[1:]
}

func TestPresetsCountAsFlaggerAndArgoDo(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter(100*time.Millisecond, 500*time.Millisecond, time.Second)
	quick := func(k uint64) func() { return func() { n.Took("candidate", k, 50*time.Millisecond) } }
	slow := func(k uint64) func() {
		return func() { n.Took("candidate", 100-k, 50*time.Millisecond); n.Took("candidate", k, 700*time.Millisecond) }
	}
	fails := func(k uint64) func() {
		return func() { n.Took("candidate", 1000-k, 50*time.Millisecond); n.Add("candidate", k, k) }
	}
	nothing := func() {}
	must := func(j *analysis.Threshold, err error) *analysis.Threshold {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	pass, fail, pending := analysis.Pass, analysis.Fail, analysis.Pending
	for name, test := range map[string]struct {
		judge *analysis.Threshold
		each  []func()
		want  []analysis.Verdict
	}{
		"99% is enough":          {must(analysis.RequestSuccessRate(n, 0, analysis.Gate{})), []func(){fails(10), fails(11)}, []analysis.Verdict{pass, fail}},
		"99.9%, to the digit":    {must(analysis.RequestSuccessRate(n, 99.9, analysis.Gate{})), []func(){fails(1), fails(2)}, []analysis.Verdict{pass, fail}},
		"the third failed check": {must(analysis.RequestSuccessRate(n, 99, analysis.Gate{Threshold: 3})), []func(){fails(20), quick(9), nothing, fails(20)}, []analysis.Verdict{pending, pass, pending, fail}},
		"nothing is a failure":   {must(analysis.RequestDuration(n, 0, analysis.Gate{})), []func(){nothing}, []analysis.Verdict{fail}},
		"1% above 500ms":         {must(analysis.RequestDuration(n, 0, analysis.Gate{})), []func(){slow(1), slow(2)}, []analysis.Verdict{pass, fail}},
		"argo":                   {must(analysis.NewThreshold(analysis.ErrorRate(n), analysis.AtMost(0.05), analysis.ArgoLimits(0, 1))), []func(){nothing, quick(3), fails(60)}, []analysis.Verdict{pending, pass, fail}},
	} {
		if got := minutes(t, test.judge, test.each...); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	for says, build := range map[string]func() (*analysis.Threshold, error){
		"request-success-rate: percent 100:": func() (*analysis.Threshold, error) { return analysis.RequestSuccessRate(n, 100, analysis.Gate{}) },
		"request-success-rate: Threshold -1": func() (*analysis.Threshold, error) {
			return analysis.RequestSuccessRate(n, 0, analysis.Gate{Threshold: -1})
		},
		"(in request-duration)": func() (*analysis.Threshold, error) { return analysis.RequestDuration(nil, 0, analysis.Gate{}) },
		"Interval -1s": func() (*analysis.Threshold, error) {
			return analysis.RequestDuration(n, 0, analysis.Gate{Interval: -time.Second})
		},
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
}

// The gate that many Flagger canaries have.
func ExampleRequestSuccessRate() {
	var counter analysistest.Counter
	judge, err := analysis.RequestSuccessRate(&counter, 99, analysis.Gate{})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _ := judge.Judge(context.Background(), analysistest.Question(0, 0, ""))
	counter.Add("candidate", 400, 6)
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Minute, first.State))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output: fail candidate failed on 6 of 400 requests (1.5%), limit 1% <nil>
}

// A 99th percentile of at most half a second, without a percentile.
func ExampleRequestDuration() {
	counter := analysistest.NewCounter(100*time.Millisecond, 500*time.Millisecond)
	judge, err := analysis.RequestDuration(counter, 500*time.Millisecond, analysis.Gate{})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _ := judge.Judge(context.Background(), analysistest.Question(0, 0, ""))
	counter.Took("candidate", 990, 80*time.Millisecond)
	counter.Took("candidate", 10, 800*time.Millisecond)
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Minute, first.State))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output: pass candidate took longer than 500ms on 10 of 1000 requests (1%), limit 1% <nil>
}
