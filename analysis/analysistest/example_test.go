// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

func ExampleSeries() {
	judge := analysistest.Series(analysis.Pending, analysis.Pass, analysis.Fail)
	var state analysis.State
	for minute := range 4 {
		f, err := judge.Judge(context.Background(), analysistest.Question(0, time.Duration(minute)*time.Minute, state))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(f.Verdict)
		state = f.State
	}
	// Output:
	// pending
	// pass
	// fail
	// fail
}

func ExampleScript() {
	judge := analysistest.Script(analysis.Pass, analysis.Fail)
	for step := range 3 {
		f, err := judge.Judge(context.Background(), analysistest.Question(step, 0, ""))
		fmt.Println(f.Verdict, err)
	}
	// Output:
	// pass <nil>
	// fail <nil>
	// pending <nil>
}
