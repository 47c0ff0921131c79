// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy"
)

// RequestOf is what the spec of a Rollout asks for, and false if it asks for nothing.
func RequestOf(_ context.Context, r Rollout) (strategy.Request, bool, error) {
	spec, err := SpecOf(r.Object)
	if err != nil || spec.Candidate == (strategy.Revision{}) {
		return strategy.Request{}, false, err
	}
	plan, err := strategy.ParsePlan(spec.Plan)
	if err != nil {
		return strategy.Request{}, false, fmt.Errorf("spec.plan: %w", err)
	}
	return strategy.Request{Release: strategy.Release{Stable: spec.Stable, Candidate: spec.Candidate}, Plan: plan}, true, nil
}

// refusal is why what the spec asks for does not begin, and when to ask again; zero is
// when somebody has changed the object.
type refusal struct {
	err   error
	again time.Time
}

// begin starts the run that the object asks for, if it is not under way or over.
func (c *Controller) begin(ctx context.Context, service string, object *unstructured.Unstructured) (asked bool, no refusal, err error) {
	s, err := c.store.Load(ctx, service)
	if err != nil {
		return true, refusal{}, err
	}
	request, asked, err := c.options.Request(ctx, Rollout{service, object, s})
	if err != nil {
		return true, refusal{err: err}, nil
	}
	if !asked {
		return false, refusal{}, nil
	}
	spec, err := SpecOf(object)
	if err != nil {
		return true, refusal{err: err}, nil
	}
	if spec.Retry.Run != 0 && spec.Retry.Run == s.Run && !s.Active() {
		request.Override = strategy.Override{By: spec.Retry.By, Why: spec.Retry.Why}
	}
	if !wanted(s, request) {
		return true, refusal{}, nil
	}
	if err := c.guard(ctx, service, true); err != nil {
		return true, refusal{}, err
	}
	named := request.Release.Stable
	if s.Phase != strategy.Idle {
		request.Release.Stable = s.Serving()
	}
	_, err = c.runner.Start(ctx, service, request)
	if errors.Is(err, strategy.ErrNotHome) && named != (strategy.Revision{}) && named != request.Release.Stable {
		request.Release.Stable = named // somebody else has released in between, and says what
		_, err = c.runner.Start(ctx, service, request)
	}
	return true, refused(err), nil
}

// wanted says whether a run has to begin for what is asked.
func wanted(s strategy.State, r strategy.Request) bool {
	candidate := r.Release.Candidate
	same := s.Release.Candidate.Is(candidate)
	switch {
	case s.Phase == strategy.Idle:
		return true
	case s.Active() && !s.Next.Plan.IsZero():
		return !s.Next.Release.Candidate.Is(candidate)
	case s.Active():
		return !same && !candidate.Is(s.Release.Stable) // the intent sends it home already
	case candidate.Is(s.Serving()):
		return false
	case same:
		return r.Override.By != "" || s.Cause == strategy.CauseSuperseded
	}
	return true
}

// askAgain is when a refusal that may pass by itself is put to the test again.
const askAgain = time.Minute

func refused(err error) refusal {
	var flap *strategy.FlapError
	switch {
	case err == nil:
		return refusal{}
	case errors.As(err, &flap):
		return refusal{err, flap.Until}
	case errors.Is(err, strategy.ErrInvalidPlan), errors.Is(err, strategy.ErrInvalidRelease), errors.Is(err, strategy.ErrQuarantined):
		return refusal{err: err}
	}
	return refusal{err, time.Now().Add(askAgain)}
}
