// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/observe"
)

// service is what is remembered of a service that has a place of its own.
type service struct {
	run uint64
	// started and failing are when the run began and first failed, zero if that
	// was not told.
	started, failing time.Time
	// over says that the run has ended: what comes late does not open it again.
	over    bool
	targets *firsts
	shares  map[string]float64
}

// record is called once for each event.
func (o *Observer) record(_ context.Context, e observe.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := o.services.value(e.Service)
	environment := e.Environment
	if environment == "" {
		environment = o.options.Environment
	}
	environment = o.environments.value(environment)

	started, failing := e.Started, e.Failing
	if s := o.service(name); s != nil {
		if e.Run < s.run {
			// A late word about a run that was overtaken: it is counted, and says
			// nothing about what is under way.
			o.count(name, e)
			o.finish(name, environment, e, started, failing)
			return nil
		}
		s.follow(e)
		started, failing = s.started, s.failing
		o.level(name, environment, s, e)
	}
	o.count(name, e)
	o.finish(name, environment, e, started, failing)
	return nil
}

// service is the memory of a service, nil for Other: a level of many services
// together would mean nothing.
func (o *Observer) service(name string) *service {
	if name == Other {
		return nil
	}
	s := o.live[name]
	if s == nil {
		s = &service{targets: newFirsts(o.options.MaxTargets, o.vecs.targetsFull), shares: make(map[string]float64)}
		o.live[name] = s
	}
	return s
}

// follow notes when the run began and first failed.
func (s *service) follow(e observe.Event) {
	if e.Run > s.run {
		s.run, s.started, s.failing, s.over = e.Run, time.Time{}, time.Time{}, false
	}
	switch {
	case !e.Started.IsZero():
		s.started = e.Started
	case e.Kind == observe.Started:
		s.started = e.At
	}
	switch {
	case !e.Failing.IsZero():
		s.failing = e.Failing
	case e.Kind == observe.Judged && e.Verdict == "fail" && s.failing.IsZero():
		s.failing = e.At
	}
	s.over = s.over || e.Ends()
}

// level sets the gauges.
func (o *Observer) level(name, environment string, s *service, e observe.Event) {
	active := 1.0
	if s.over {
		active = 0
	}
	o.vecs.gauge(observe.MetricRolloutActive, name, environment).Set(active)
	held := o.vecs.gauge(observe.MetricHeld, name, environment)
	switch {
	case s.over || e.Kind == observe.Resumed || e.Kind == observe.Started || e.Kind == observe.RollingBack:
		held.Set(0)
	case e.Kind == observe.Held:
		held.Set(1)
	}
	for _, share := range e.Shares {
		target := s.targets.value(share.Target)
		if target == Other {
			continue
		}
		s.shares[target] = share.Ratio()
		o.vecs.gauge(observe.MetricTrafficWeight, name, target, observe.ArmCandidate).Set(share.Ratio())
		o.vecs.gauge(observe.MetricTrafficWeight, name, target, observe.ArmStable).Set(1 - share.Ratio())
	}
	if len(s.shares) > 0 {
		highest := 0.0
		for _, ratio := range s.shares {
			highest = max(highest, ratio)
		}
		o.vecs.gauge(observe.MetricCanaryWeight, name).Set(highest * 100)
	}
}

// count adds to the counters.
func (o *Observer) count(name string, e observe.Event) {
	if e.Pages() {
		o.vecs.counter(observe.MetricPages, name).Inc()
	}
	switch e.Kind {
	case observe.Judged:
		verdict := known(e.Verdict, observe.Verdicts())
		o.vecs.counter(observe.MetricVerdicts, name, o.checks.value(e.Check), verdict).Inc()
	case observe.Drifted:
		o.vecs.counter(observe.MetricDrifts, name).Inc()
	case observe.RollingBack:
		o.vecs.counter(observe.MetricRollbacks, name, cause(e.Cause)).Inc()
		if e.Cause != observe.CauseSuperseded {
			o.vecs.counter(observe.MetricDeploymentRollback).Inc()
		}
	default:
		// The other kinds are levels, or count when they end a run.
	}
}

// finish counts the end of a run and how long things took. What is not known is
// not measured: a duration of zero would be a lie.
func (o *Observer) finish(name, environment string, e observe.Event, started, failing time.Time) {
	if e.Kind == observe.RolledBack && !failing.IsZero() && !e.At.Before(failing) {
		o.vecs.histogram(observe.MetricRollback, name).Observe(e.At.Sub(failing).Seconds())
	}
	if !e.Ends() {
		return
	}
	outcome, status := ending(e.Outcome)
	version := o.versions.value(e.Version)
	o.vecs.counter(observe.MetricRollouts, name, environment, outcome).Inc()
	o.vecs.counter(observe.MetricDeployments, version, environment, status).Inc()
	if started.IsZero() || e.At.Before(started) {
		return
	}
	took := e.At.Sub(started).Seconds()
	o.vecs.histogram(observe.MetricRolloutDuration, name, environment, outcome).Observe(took)
	o.vecs.histogram(observe.MetricDeploymentDuration, version, environment).Observe(took)
}

// ending is an outcome as the labels outcome and status.
func ending(o observe.Outcome) (outcome, status string) {
	switch o {
	case observe.OutcomePromoted:
		return o.String(), observe.StatusSuccess
	case observe.OutcomeSuperseded:
		return o.String(), observe.StatusSuperseded
	case observe.OutcomeRolledBack, observe.OutcomeRollbackFailed:
		return o.String(), observe.StatusFailure
	default: // an outcome of the future
		return Other, Other
	}
}

func cause(c observe.Cause) string {
	if slices.Contains(observe.Causes(), c) {
		return c.String()
	}
	return Other
}
