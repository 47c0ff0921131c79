// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// A candidate beside stable, read every ten seconds. It fails four times as often, and
// evidence grows until that cannot be luck.
func Example() {
	var counter analysistest.Counter // or analysis.FromTotals(proxy)
	judge, err := analysis.NewCompare(&counter, analysis.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	var state analysis.State // saved with the rollout
	for block := range 3 {
		finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Duration(block)*10*time.Second, state))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s\n", finding.Verdict, finding.Reason)
		state = finding.State
		counter.Add("stable", 4500, 22)
		counter.Add("candidate", 500, 10)
	}
	// Output:
	// pending: no block of this step is complete yet; a block takes 10s
	// pass: candidate fails 2% of 500 requests, stable 0.4889% of 4,500: 19 to 1 for harm
	// fail: candidate fails 2% of 1,000 requests, stable 0.4889% of 9,000: 1,690 to 1 for harm; it does harm
}

// Strict finds what Default lets pass: four requests in ten thousand.
func ExampleStrict() {
	const stable, candidate, weight = 0.001, 0.0014, 0.5
	for name, options := range map[string]analysis.CompareOptions{"default": analysis.Default(), "strict": analysis.Strict()} {
		need, err := options.Needed(stable, candidate, weight)
		fmt.Printf("%s: %.0f requests, %v\n", name, need.Candidate, err)
	}
	// Unordered output:
	// default: 0 requests, analysis: needed: a candidate that fails 0.14% is within the margin of stable's 0.1%: nothing will show it to be harmful
	// strict: 383537 requests, <nil>
}

// Tolerant lets pass what Default fails: half a per cent, of clients that try again.
func ExampleTolerant() {
	const stable, candidate, weight = 0.001, 0.006, 0.1
	for name, options := range map[string]analysis.CompareOptions{"default": analysis.Default(), "tolerant": analysis.Tolerant()} {
		need, err := options.Needed(stable, candidate, weight)
		fmt.Printf("%s: %.0f requests, %v\n", name, need.Candidate, err)
	}
	// Unordered output:
	// default: 2151 requests, <nil>
	// tolerant: 0 requests, analysis: needed: a candidate that fails 0.6% is within the margin of stable's 0.1%: nothing will show it to be harmful
}

// At most 1% of the candidate's requests may fail in any minute.
func ExampleThreshold() {
	var counter analysistest.Counter // or analysis.FromTotals(proxy)
	judge, err := analysis.NewThreshold(analysis.ErrorRate(&counter), analysis.AtMost(0.01), analysis.ThresholdOptions{
		MinRequests:  100,
		FailureLimit: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var state analysis.State // saved with the rollout
	for minute, failed := range []uint64{0, 2, 12, 15} {
		counter.Add("stable", 4320, 4)
		counter.Add("candidate", 480, failed)
		finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Duration(minute)*time.Minute, state))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s\n", finding.Verdict, finding.Reason)
		state = finding.State
	}
	// Output:
	// pending: nothing is measured yet; a measurement takes 1m0s
	// pass: candidate failed on 2 of 480 requests (0.4167%), limit 1%, stable 0.09259%
	// pending: candidate failed on 12 of 480 requests (2.5%), limit 1%, stable 0.09259%; 1 of 1 allowed failures
	// fail: candidate failed on 15 of 480 requests (3.125%), limit 1%, stable 0.09259%; 2 failures, allowed 1
}

// A number from anywhere: the window to measure is the check's Since to Until.
func ExampleValue() {
	lag := analysis.Value("replication lag in seconds", func(_ context.Context, c analysis.Check) (analysis.Sample, error) {
		fmt.Println("asked for", c.Until.Sub(c.Since))
		return analysis.Sample{Known: true, Value: 7.5}, nil
	})
	judge, err := analysis.NewThreshold(lag, analysis.AtMost(5), analysis.ThresholdOptions{Interval: 30 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, 30*time.Second, ""))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output:
	// asked for 30s
	// fail replication lag in seconds of the candidate was 7.5, limit 5 <nil>
}

// One judge of two: both must pass.
func ExampleAll() {
	judge, err := analysis.All(
		analysis.Part{Name: "errors", Judge: analysistest.Always(analysis.Pass)},
		analysis.Part{Name: "latency", Judge: analysistest.Always(analysis.Fail)},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, 0, ""))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output: fail latency: the double always says fail <nil>
}

// One of two places where the same thing can be seen is enough.
func ExampleAny() {
	judge, err := analysis.Any(
		analysis.Part{Name: "eu metrics", Judge: analysistest.Broken(nil)},
		analysis.Part{Name: "us metrics", Judge: analysistest.Always(analysis.Pass)},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, 0, ""))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output: pass us metrics: the double always says pass <nil>
}
