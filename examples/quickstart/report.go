// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// report is what there is to know at one moment.
type report struct {
	At        time.Time        `json:"at"`
	Stable    string           `json:"stable"`
	Candidate string           `json:"candidate"`
	Weight    traffic.Weight   `json:"weight"`
	Verdict   analysis.Verdict `json:"verdict"`
	Why       string           `json:"why,omitempty"`
	// Explanation says what the rollout waits for and until when.
	Explanation strategy.Explanation `json:"explanation"`
	Arms        []armReport          `json:"arms"`
	Clients     tally                `json:"clients"`
}

// armReport is what one arm has answered since this process began.
type armReport struct {
	Version  string         `json:"version"`
	Share    traffic.Weight `json:"share"`
	Requests uint64         `json:"requests"`
	Errors   uint64         `json:"errors"`
	latency  []uint64
}

// look asks everybody.
func (w *world) look(ctx context.Context) (report, error) {
	s, err := w.store.Load(ctx, web)
	if err != nil {
		return report{}, err
	}
	e, err := w.runner.Explain(ctx, web)
	if err != nil {
		return report{}, err
	}
	target, _ := s.Target(web)
	weight := target.Route.Split.Candidate
	arms := s.Release.Arms()
	r := report{
		At: time.Now(), Stable: arms.Stable, Candidate: arms.Candidate, Weight: weight, Explanation: e,
		Arms:    []armReport{w.arm(arms.Stable, traffic.Full-weight), w.arm(arms.Candidate, weight)},
		Clients: w.load.tally(),
	}
	for _, c := range s.Checks {
		r.Verdict, r.Why = c.Finding.Verdict, c.Finding.Reason
	}
	return r, nil
}

func (w *world) arm(version string, share traffic.Weight) armReport {
	requests, errors, latency, _, _ := w.proxy.Totals(version)
	return armReport{Version: version, Share: share, Requests: requests, Errors: errors, latency: latency}
}

// recent is how long the rate and the latency of an arm look back.
const recent = 2 * time.Second

// window remembers the latest reports, to tell what is going on now from what
// has ever been.
type window struct {
	bounds  []time.Duration
	reports []report
}

// pace is how an arm fares now.
type pace struct {
	rate float64
	// p99 bounds what all but one in a hundred answers took; 0 is not known.
	p99 time.Duration
}

// add takes the newest report, and says how its arms fare.
func (w *window) add(r report) []pace {
	w.reports = append(w.reports, r)
	for len(w.reports) > 2 && r.At.Sub(w.reports[1].At) >= recent {
		w.reports = slices.Delete(w.reports, 0, 1)
	}
	paces := make([]pace, len(r.Arms))
	for i, arm := range r.Arms {
		old, ok := w.reports[0].arm(arm.Version)
		passed := r.At.Sub(w.reports[0].At)
		if !ok || passed <= 0 {
			continue
		}
		paces[i] = pace{float64(arm.Requests-old.Requests) / passed.Seconds(), quantile(w.bounds, old.latency, arm.latency)}
	}
	return paces
}

func (r *report) arm(version string) (armReport, bool) {
	for _, arm := range r.Arms {
		if arm.Version == version {
			return arm, true
		}
	}
	return armReport{}, false
}

// quantile is the bound that 99% of what was counted between the two stays within.
func quantile(bounds []time.Duration, from, to []uint64) time.Duration {
	if len(from) != len(to) || len(to) != len(bounds)+1 {
		return 0
	}
	var all, so uint64
	for i := range to {
		all += to[i] - from[i]
	}
	if all == 0 {
		return 0
	}
	for i, bound := range bounds {
		so += to[i] - from[i]
		if so*100 >= all*99 {
			return bound
		}
	}
	return bounds[len(bounds)-1]
}

// story is a transition in a line for people, "" for those that say nothing new to them.
func story(s strategy.State, t strategy.Transition) string {
	candidate := s.Release.Candidate.Version
	switch t.Kind {
	case strategy.RunStarted:
		return fmt.Sprintf("rollout %d begins, %s", t.Run, t.Reason)
	case strategy.DialsTurned, strategy.WeightLowered:
		return fmt.Sprintf("%s gets %v", candidate, t.Weight)
	case strategy.VerdictChanged:
		if t.Verdict == analysis.Pending {
			return ""
		}
		return fmt.Sprintf("%s: %v: %s", t.Subject, t.Verdict, t.Reason)
	case strategy.ReturnBegan:
		return fmt.Sprintf("%s goes home: %s", candidate, t.Reason)
	case strategy.ReturnSettled:
		return fmt.Sprintf("%s is at 0%%, and that was observed", candidate)
	case strategy.RunPromoted, strategy.RunRolledBack, strategy.RunStranded:
		return fmt.Sprintf("rollout %d: %s %s", t.Run, candidate, phaseWords(s.Phase))
	case strategy.Ordered:
		return fmt.Sprintf("%s asks: %s", t.By, t.Subject+because(t.Reason))
	case strategy.HoldBegan, strategy.HoldEnded, strategy.Paged, strategy.Resumed, strategy.DriftRepaired, strategy.FenceRaised:
		return t.Kind.String() + because(t.Reason)
	default:
		return ""
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
