// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Subject is a router to be tried, with what the suite can do beside it. Only
// Router is required; cases that need a hook that is nil are skipped by name.
type Subject struct {
	// Router is the router, without a route or with any route in force.
	Router traffic.Router

	// Arms are two backends that exist. The zero Arms are "stable" and "candidate".
	Arms traffic.Arms

	// Settle bounds how long it takes until Observe shows what Apply accepted,
	// with the best evidence. 0 is five seconds. Caps.Lag comes on top; a longer
	// Lag than Settle skips the cases that send requests.
	Settle time.Duration

	// Foreign changes the target the way another tool would: it knows nothing of
	// fences and leaves alone what it does not understand. writer is who it says
	// it is, where the target keeps that.
	Foreign func(ctx context.Context, r traffic.Route, writer string) error

	// Send sends one request through the data plane and tells which arm answered.
	// An error is a request that a client would have seen fail. It is called
	// from several goroutines at once.
	Send func(ctx context.Context, r Request) (Answer, error)

	// Requests is how many requests a case sends to judge one split. 0 is 2000.
	// More find a smaller bias: 2000 tell 25% from 30%, 20,000 from 26.5%.
	Requests int

	// Restart ends this instance and begins another over the same durable state,
	// as after a crash. What it returns takes the subject's place.
	Restart func(ctx context.Context) (Subject, error)
}

// Request is what a client sends, as far as a route looks at it.
type Request struct {
	Header map[string]string
	Cookie map[string]string
}

// Answer is what a client got.
type Answer struct {
	// Arm is the name of the backend that answered.
	Arm string
	// Cookie is the cookies that the router set.
	Cookie map[string]string
}

func (s Subject) withDefaults() Subject {
	if s.Arms == (traffic.Arms{}) {
		s.Arms = traffic.Arms{Stable: "stable", Candidate: "candidate"}
	}
	if s.Settle == 0 {
		s.Settle = 5 * time.Second
	}
	if s.Requests == 0 {
		s.Requests = 2000
	}
	return s
}
