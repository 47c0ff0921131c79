// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"fmt"
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
	// with the best evidence, and until a mended target works again. 0 is five
	// seconds. Caps.Lag comes on top; a longer Lag than Settle skips the cases that
	// send requests.
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

	// Connect opens a connection to the data plane that stays open between
	// requests, as a client with keep-alive or HTTP/2 has one.
	Connect func(ctx context.Context) (*Conn, error)

	// Copies tells how many copies of mirrored requests the candidate has received so far.
	Copies func() uint64

	// Rest reads the rest of the target's configuration: all that is not the
	// router's own. It must be the same text, byte for byte, whatever the router
	// writes, its first write included.
	Rest func(ctx context.Context) (string, error)

	// Break makes a part of the target fail in one way, until mend is called. It
	// returns when the fault is there, and mend when it has gone; mend may be
	// called twice. A Fault that the subject cannot make is errors.ErrUnsupported.
	Break func(ctx context.Context, f Fault) (mend func(), err error)

	// Restart ends this instance and begins another over the same durable state,
	// as after a crash. What it returns takes the subject's place.
	Restart func(ctx context.Context) (Subject, error)

	// Another makes one more instance of the router over the same live target, as
	// a second process would have, while the first goes on. The two share nothing
	// but the target. Requests go through the data plane of the subject.
	Another func(ctx context.Context) (traffic.Router, error)
}

// Conn is one open connection of a client.
type Conn struct {
	// Send sends one request on the connection and never opens another in its
	// place. It is not called twice at once.
	Send func(ctx context.Context, r Request) (Answer, error)
	// Close ends the connection.
	Close func()
}

// Fault is a way in which a part of a target fails. With the first four, it is
// the control plane, what the router talks to, while the data plane goes on with
// what it has. With the others, it is the candidate.
type Fault uint8

const (
	// Down refuses every connection to the control plane.
	Down Fault = iota
	// Hanging takes every question and answers none.
	Hanging
	// Garbage answers what is no answer, and does not do what it is asked.
	Garbage
	// Deaf does what it is asked, and its reply is lost: the connection ends
	// without one.
	Deaf
	// CandidateHanging lets the candidate take every request and answer none.
	CandidateHanging
	// CandidateFailing lets the candidate answer every request with an error.
	CandidateFailing
)

var faultNames = [...]string{"Down", "Hanging", "Garbage", "Deaf", "CandidateHanging", "CandidateFailing"}

// String is the name of the constant.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// Request is what a client sends, as far as a route looks at it.
type Request struct {
	Header map[string]string
	Cookie map[string]string
	Query  map[string]string
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
