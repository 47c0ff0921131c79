// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Always is a judge that gives the same verdict to every question.
func Always(v analysis.Verdict) analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		if err := ctx.Err(); err != nil {
			return analysis.Finding{}, err
		}
		return c.Finding(v, "the double always says "+v.String()), nil
	})
}

// Script is a judge that gives the verdict i to step i, whenever and however often
// it is asked. A step beyond the script is Pending, so that a script that is too
// short shows.
func Script(verdicts ...analysis.Verdict) analysis.Judge {
	verdicts = slices.Clone(verdicts)
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		if err := ctx.Err(); err != nil {
			return analysis.Finding{}, err
		}
		if c.Step < 0 || c.Step >= len(verdicts) {
			return c.Finding(analysis.Pending, fmt.Sprintf("the script has %d verdicts and none for step %d", len(verdicts), c.Step)), nil
		}
		v := verdicts[c.Step]
		return c.Finding(v, fmt.Sprintf("the script says %s at step %d", v, c.Step)), nil
	})
}

// seriesState is where a Series stands, in Finding.State: a judge keeps nothing else.
type seriesState struct {
	Run   uint64    `json:"run"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Next  int       `json:"next"`
}

// Series is a judge that gives its verdicts one after the other, the last one from
// then on, and begins again with each step (when Check.Since changes). It moves on
// when it is asked about a later moment; asked again about the same one, it says the
// same. Its place is in Finding.State, so that a restart does not lose it. Without
// verdicts it is Pending.
func Series(verdicts ...analysis.Verdict) analysis.Judge {
	verdicts = slices.Clone(verdicts)
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		if err := ctx.Err(); err != nil {
			return analysis.Finding{}, err
		}
		if len(verdicts) == 0 {
			return c.Finding(analysis.Pending, "the series is empty"), nil
		}
		var s seriesState
		if c.State != "" {
			if err := json.Unmarshal([]byte(c.State), &s); err != nil {
				return analysis.Finding{}, fmt.Errorf("analysistest: state of a series: %w", err)
			}
		}
		if s.Next <= 0 || s.Run != c.Run || !s.Since.Equal(c.Since) {
			s = seriesState{Run: c.Run, Since: c.Since}
		}
		last := len(verdicts) - 1
		if (s.Next == 0 || c.Until.After(s.Until)) && s.Next <= last {
			s.Next++
			s.Until = c.Until
		}
		at := min(s.Next-1, last)
		f := c.Finding(verdicts[at], fmt.Sprintf("the series says %s, number %d of %d", verdicts[at], at+1, len(verdicts)))
		data, err := json.Marshal(s)
		if err != nil {
			return analysis.Finding{}, fmt.Errorf("analysistest: state of a series: %w", err)
		}
		f.State = analysis.State(data)
		return f, nil
	})
}

// Broken is a judge that cannot work: every question gets err, or an error that
// says so where err is nil.
func Broken(err error) analysis.Judge {
	if err == nil {
		err = errors.New("analysistest: the judge is broken")
	}
	return analysis.JudgeFunc(func(context.Context, analysis.Check) (analysis.Finding, error) {
		return analysis.Finding{}, err
	})
}

// Stuck is a judge that does not answer before its context ends.
func Stuck() analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, _ analysis.Check) (analysis.Finding, error) {
		<-ctx.Done()
		return analysis.Finding{}, ctx.Err()
	})
}
