// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"time"
)

// Gate is how Flagger paces the checks of a canary, for [RequestSuccessRate] and
// [RequestDuration]. The zero Gate is Flagger's own default.
type Gate struct {
	// Interval is both how often the metric is read and the window that is read. 0
	// is one minute. Flagger may look more often than its window is long, and then
	// counts a request several times; here windows never overlap.
	Interval time.Duration
	// Threshold is with which failed check the candidate fails. 0 is 1, as in
	// Flagger; its documents use 5 or 10. Checks fail for good: a check that passes
	// afterwards takes none back.
	Threshold int
}

func (g Gate) options() (ThresholdOptions, error) {
	switch {
	case g.Threshold < 0 || g.Threshold > maxLimit:
		return ThresholdOptions{}, fmt.Errorf("Threshold %d: want 0 for 1, up to %d", g.Threshold, maxLimit)
	case g.Threshold == 0:
		g.Threshold = 1
	}
	return ThresholdOptions{Interval: g.Interval, FailureLimit: g.Threshold - 1, NoData: NoDataFail}, nil
}

// RequestSuccessRate is Flagger's gate of that name, as a [Threshold]: at least that
// many per cent of the candidate's requests must succeed in each interval. 0 is 99.
//
// As in Flagger, an interval without requests is a failed check, and what stable does
// is not looked at. Other than in Flagger, a source that cannot be read is
// Inconclusive after some errors and not a failed check; and a candidate fails with the
// failed check itself and not an interval later. To hold the same limit by
// evidence, and not by the share of a few requests, see [Limit].
func RequestSuccessRate(src Source, percent float64, g Gate) (*Threshold, error) {
	if percent == 0 {
		percent = 99
	}
	if !(percent > 0 && percent < 100) {
		return nil, fmt.Errorf("analysis: request-success-rate: percent %v: want a number between 0 and 100", percent)
	}
	// The share that may fail is rounded, for 100-99.9 is not 0.1 to a computer.
	most := math.Round((100-percent)*1e9) / 1e11
	return preset("request-success-rate", ErrorRate(src), AtMost(most), g)
}

// RequestDuration is Flagger's gate of that name, as a [Threshold]: 99% of the
// candidate's requests must take at most so long in each interval. 0 is half a second.
//
// It is read as the share of requests above the bound, which may be 1%: that is the same
// where the bound is one of the source's buckets, and exact where Flagger interpolates.
// Apart from that it differs from Flagger as [RequestSuccessRate] does.
func RequestDuration(src Source, limit time.Duration, g Gate) (*Threshold, error) {
	if limit == 0 {
		limit = 500 * time.Millisecond
	}
	return preset("request-duration", LatencyAbove(src, limit), AtMost(0.01), g)
}

func preset(name string, m Metric, b Bounds, g Gate) (*Threshold, error) {
	o, err := g.options()
	if err != nil {
		return nil, fmt.Errorf("analysis: %s: %w", name, err)
	}
	t, err := NewThreshold(m, b, o)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, name)
	}
	return t, nil
}

// ArgoLimits are [ThresholdOptions] that count as a metric of an Argo Rollouts
// AnalysisTemplate with a successCondition does, whose defaults are a failureLimit of
// 0, an inconclusiveLimit of 0 and a consecutiveErrorLimit of 4: the candidate fails
// with the first bad measurement after failureLimit; a measurement of nothing, NaN in
// Argo, is a bad one; errors in a row are tolerated up to four. An interval of 0 is one
// minute; Argo's has no default.
//
// What is different: five errors in a row are Inconclusive, where Argo ends the run with
// Error and aborts; and windows do not overlap, where a query over 5m that runs every
// 10s counts each request thirty times.
func ArgoLimits(interval time.Duration, failureLimit int) ThresholdOptions {
	return ThresholdOptions{Interval: interval, FailureLimit: failureLimit, NoData: NoDataFail}
}
