// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// Load is what is known of a service's requests, and the regression that must not
// go unseen, for [Forecast.Under].
type Load struct {
	// PerSecond is how many requests a lane gets, both arms together. For lanes that
	// differ, take the quietest.
	PerSecond float64
	// Errors is the share of stable's requests that fails, from 0 to 1.
	Errors float64
	// Regression is how much higher that share is for the candidate. 0 is 0.01, a
	// percentage point.
	Regression float64
	// Judge is the options of the Compare that checks. Its zero fields are those of
	// analysis.Default.
	Judge analysis.CompareOptions
}

const defaultRegression = 0.01

// String is the load in a few words.
func (l Load) String() string {
	return fmt.Sprintf("at %g requests a second, with a candidate that fails %s of them where stable fails %s:",
		l.PerSecond, percent(l.Errors+l.Regression), percent(l.Errors))
}

// Under is f with what its holds are worth under a load: how much evidence of a
// regression each step gathers, when it shows, and how many requests it has failed
// by then. A lane that ends before it shows is a caution, for then the judge passes
// the candidate for want of evidence.
//
// Evidence goes through all steps of a lane, so that each adds the part of what
// [analysis.CompareOptions.Needed] says that its hold has requests for. Averages are
// meant: half of all rollouts take longer. A step that ends early gathers less, one
// that waits gathers more; where all traffic is on one side there is nothing to
// compare. f stays as it is. The error names the field of l that is wrong.
func (f Forecast) Under(l Load) (Forecast, error) {
	if l.Regression == 0 {
		l.Regression = defaultRegression
	}
	switch {
	case !(l.PerSecond > 0 && l.PerSecond <= 1e12):
		return Forecast{}, fmt.Errorf("strategy: load: PerSecond %v: want more than 0", l.PerSecond)
	case !(l.Errors >= 0 && l.Regression > 0 && l.Errors+l.Regression <= 1):
		return Forecast{}, fmt.Errorf("strategy: load: Errors %v and Regression %v: want shares from 0 to 1, also their sum", l.Errors, l.Regression)
	}
	// With all of them the judge's options are checked, whatever the plan's weights are.
	if _, err := l.rate(0.5); err != nil {
		return Forecast{}, err
	}
	before := f.Load
	f.Load = &l
	f.Cautions = slices.Clone(f.Cautions)
	f.Lanes = slices.Clone(f.Lanes)
	for i := range f.Lanes {
		lane := &f.Lanes[i]
		if before != nil {
			old := lane.tooQuick(*before)
			f.Cautions = slices.DeleteFunc(f.Cautions, func(c string) bool { return c == old })
		}
		lane.Steps = slices.Clone(lane.Steps)
		if err := lane.under(l, len(f.Plan.Watch) > 0); err != nil {
			return Forecast{}, err
		}
		if caution := lane.tooQuick(l); caution != "" {
			f.Cautions = append(f.Cautions, caution)
		}
	}
	return f, nil
}

// rate is how much of the evidence that is asked for a second of requests gives at
// this weight.
func (l Load) rate(weight float64) (float64, error) {
	need, err := l.Judge.Needed(l.Errors, l.Errors+l.Regression, weight)
	if err != nil {
		return 0, fmt.Errorf("strategy: load: %w", err)
	}
	// No block says it alone, however many requests it has.
	blocks := 2 * cmp.Or(l.Judge.Pace.Interval, analysis.Default().Pace.Interval)
	return min(l.PerSecond/need.Total, 1/blocks.Seconds()), nil
}

func (l *LaneForecast) under(load Load, watched bool) error {
	warmup := load.Judge.Pace.Warmup
	sum, begins := 0.0, time.Duration(0)
	l.Shown, l.Harmed = 0, 0
	for i := range l.Steps {
		s := &l.Steps[i]
		weight, hold := s.weight(), s.Takes.Usual
		rate := 0.0
		if weight > 0 && weight < 1 && (watched || len(s.Checks) > 0) {
			var err error
			if rate, err = load.rate(weight); err != nil {
				return err
			}
		}
		s.Alone, s.Gathered = 0, sum
		if rate > 0 {
			s.Alone = warmup + seconds(1/rate)
			s.Gathered += rate * max(hold-warmup, 0).Seconds()
		}
		exposed := hold
		if sum < 1 && s.Gathered >= 1 {
			exposed = min(warmup+seconds((1-sum)/rate), hold)
			l.Shown = begins + exposed
		}
		if sum < 1 {
			l.Harmed += load.PerSecond * weight * exposed.Seconds() * load.Regression
		}
		sum = s.Gathered
		begins += hold
	}
	return nil
}

// weight is the candidate's share at the lane's first target, which is the one
// that judges are asked about.
func (s *StepForecast) weight() float64 {
	if len(s.Dials) == 0 {
		return 0
	}
	return float64(s.Dials[0].Split.Candidate) / float64(traffic.Full)
}

// tooQuick is the caution against a lane that ends before a regression shows. One
// that nothing checks has a caution of its own.
func (l *LaneForecast) tooQuick(load Load) string {
	last := l.Steps[len(l.Steps)-1].Gathered
	switch {
	case !l.compared() || last >= 1:
		return ""
	case last <= 0:
		return fmt.Sprintf("lane %q holds no step for longer than the judge's Warmup, %v: no regression shows", l.Lane, load.Judge.Pace.Warmup)
	}
	return fmt.Sprintf("lane %q is too quick for %g requests a second: it gathers %s of the evidence that the regression takes; hold %s times as long",
		l.Lane, load.PerSecond, gathered(last), strconv.FormatFloat(math.Ceil(10/last)/10, 'f', -1, 64))
}

// compared reports that the arms are compared at some step.
func (l *LaneForecast) compared() bool {
	return slices.ContainsFunc(l.Steps, func(s StepForecast) bool { return s.Alone > 0 })
}

// sight is when the regression shows, in words.
func (l *LaneForecast) sight() string {
	switch {
	case !l.compared():
		return "the arms are never compared"
	case l.Shown == 0:
		return fmt.Sprintf("not shown, with %.0f requests harmed", math.Ceil(l.Harmed))
	}
	return fmt.Sprintf("shown after %v, with %.0f requests harmed", l.Shown, math.Ceil(l.Harmed))
}

// sight is what the step adds to the evidence, in words.
func (s *StepForecast) sight() string {
	if s.Alone == 0 {
		return "nothing to compare"
	}
	return fmt.Sprintf("%s shown, alone in %v", gathered(s.Gathered), s.Alone)
}

// gathered is a part of the evidence in percent; more than all of it is all of it.
func gathered(part float64) string { return percent(math.Floor(100*min(part, 1)) / 100) }

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 4, 64) + "%" }

// seconds is a time in whole seconds, rounded up: never shorter than it takes.
func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(min(s, 1e9))) * time.Second
}
