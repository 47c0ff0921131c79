// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Plan is a rollout as data: lanes of steps that are carried out in order. It is
// written by a builder such as Canary, by hand, or read from JSON or YAML, and
// frozen into the run that carries it out.
type Plan struct {
	// Name says what kind of rollout it is, for people: "canary".
	Name string `json:"name,omitempty"`
	// Lanes are carried out side by side: a canary has one, rings and regions
	// have several.
	Lanes []Lane `json:"lanes"`
	// MaxParallel bounds the lanes that move at once. 0 is one at a time.
	MaxParallel int `json:"maxParallel,omitempty"`
	// OnFail says what goes home when one lane fails.
	OnFail Scope `json:"onFail,omitempty"`
	// OnTimeout says what happens when a step outlives its deadline without a
	// failing check.
	OnTimeout Timeout `json:"onTimeout,omitempty"`
	// Watch lists checks that run in every lane from the first exposure of the
	// candidate to the end of the rollout. They can fail it and never pass a step.
	Watch []string `json:"watch,omitempty"`
	// Repairs bounds how often the route of one target is put back after
	// somebody else changed it. 0 is three. After that the rollout holds and pages.
	Repairs int `json:"repairs,omitempty"`
	// Back is the way home.
	Back Back `json:"back,omitzero"`
}

// Scope says how far a failure reaches.
type Scope uint8

const (
	// Everything goes home, lanes that were done included. It is the zero Scope.
	Everything Scope = iota
	// ThisLane goes home alone: lanes under way finish, lanes that have not
	// begun never do, and lanes that are done stay.
	ThisLane
)

// Timeout says what follows when a step outlives its deadline.
type Timeout uint8

const (
	// GoHome treats it as a failure. It is the zero Timeout.
	GoHome Timeout = iota
	// HoldAndPage keeps the weights where they are and calls for a person.
	HoldAndPage
)

// Lane is a sequence of steps with targets of its own.
type Lane struct {
	// Name is unique in the plan.
	Name string `json:"name"`
	// After names lanes that must be done before this one begins.
	After []string `json:"after,omitempty"`
	Steps []Step   `json:"steps"`
}

// Step is one position of a lane: what must be true before, where the dials
// stand, and what must be shown before the next step begins.
type Step struct {
	// Name is unique in the lane. Empty gets the split or the number.
	Name string `json:"name,omitempty"`
	// Before names tasks that are done, in order, before the dials turn.
	Before []string `json:"before,omitempty"`
	// Set turns dials, in order. Dials not named stay as an earlier step set
	// them. On the way home they are undone in reverse.
	Set []Dial `json:"set,omitempty"`
	// Hold is how long the split must be in force with every check passing. Time
	// counts from when the data plane shows it, and only while somebody watches.
	Hold time.Duration `json:"-"`
	// Min is the time after which the step may end early, when every check says
	// Safe. 0 is as soon as they do; a step without checks never ends early.
	Min time.Duration `json:"-"`
	// Deadline bounds the whole step, waiting for approval and freeze windows
	// apart. 0 is twice Hold plus ten minutes.
	Deadline time.Duration `json:"-"`
	// Checks names the judges that must pass. One Fail sends the lane home.
	Checks []string `json:"checks,omitempty"`
	// Approval, if set, makes the end of the step wait for a person.
	Approval *Approval `json:"approval,omitempty"`
	// Commit says that from here on home is the candidate: stable is about to
	// take its template, so weights may fall again and nothing returns.
	Commit bool `json:"commit,omitempty"`
	// OneWay says that this step cannot be taken back once it has begun: an
	// automatic return is refused, the rollout holds and pages instead.
	OneWay bool `json:"oneWay,omitempty"`
}

// Dial is where one target's split stands.
type Dial struct {
	Target string        `json:"target"`
	Split  traffic.Split `json:"split"`
}

// Approval is a person's word that a step may end. A grant counts only for this
// run, this step and this plan.
type Approval struct {
	// Need is how many different people must grant it. 0 is one.
	Need int `json:"need,omitempty"`
	// Timeout bounds the wait. 0 is 24 hours.
	Timeout time.Duration `json:"-"`
}

// Back is the way home. The zero Back returns at once, as far as stable has room.
type Back struct {
	// Before names tasks that make room for the return, such as scaling stable
	// up. They are started first and not waited for: room decides the pace.
	Before []string `json:"before,omitempty"`
	// Stride is how much weight returns at a time, and Pace the time between two
	// strides. A zero Stride is everything at once.
	Stride traffic.Weight `json:"stride,omitempty"`
	Pace   time.Duration  `json:"-"`
	// Drain is the time between an observed 0% and taking tasks back, for
	// requests that are under way. 0 is 30 seconds.
	Drain time.Duration `json:"-"`
	// Bound is the time after which a return that has not arrived ends as
	// RollbackFailed. 0 is 15 minutes.
	Bound time.Duration `json:"-"`
}

// Strategy makes a plan. Canary, BlueGreen, Rings, Progressive and AllAtOnce are
// strategies; so is any type of yours, with the same guarantees, because the
// plan is all that the machine sees.
type Strategy interface {
	// Plan is the strategy as data, or a *PlanError that names what is wrong with it.
	Plan() (Plan, error)
}

const (
	defaultRepairs  = 3
	defaultApproval = 24 * time.Hour
	defaultBound    = 15 * time.Minute
	defaultDrain    = 30 * time.Second
	defaultGrace    = 10 * time.Minute
)

// withDefaults is p with every zero replaced by what it stands for, so that a
// frozen plan says exactly what will happen and later defaults change nothing.
func (p Plan) withDefaults() Plan {
	p = p.clone()
	if p.MaxParallel == 0 {
		p.MaxParallel = 1
	}
	if p.Repairs == 0 {
		p.Repairs = defaultRepairs
	}
	if p.Back.Bound == 0 {
		p.Back.Bound = defaultBound
	}
	if p.Back.Drain == 0 {
		p.Back.Drain = defaultDrain
	}
	for i := range p.Lanes {
		steps := p.Lanes[i].Steps
		for j := range steps {
			steps[j].setDefaults(steps[:j])
		}
	}
	return p
}

func (s *Step) setDefaults(before []Step) {
	if s.Name == "" {
		s.Name = stepName(*s, before)
	}
	if s.Deadline == 0 {
		s.Deadline = 2*s.Hold + defaultGrace
	}
	if s.Approval != nil && s.Approval.Timeout == 0 {
		s.Approval.Timeout = defaultApproval
	}
	if s.Approval != nil && s.Approval.Need == 0 {
		s.Approval.Need = 1
	}
}
