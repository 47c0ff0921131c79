// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Verified is r with its evidence raised to Effective by requests, in the way of
// [Verify]: Observe shows it once the requests since the route came into force
// have proven the split. So a rollout through it moves on only when traffic does.
// Between two Observes the Meter's counts grow, or each Observe sends a burst of
// probes; until there is a proof, the evidence is r's own. A proof holds as long
// as the route and its fence stay. What r shows still counts when its Meter or a
// probe fails. VerifyOptions.Need and Every have no meaning here.
//
// A router that is no Meter needs a Probe: anything else is errors.ErrUnsupported.
func Verified(r Router, o VerifyOptions) (Router, error) {
	o.Need = Effective
	v, err := newVerifier(r, o)
	if err != nil {
		return nil, fmt.Errorf("traffic: verified: %w", err)
	}
	return &verified{Router: r, v: v}, nil
}

type verified struct {
	Router
	mu sync.Mutex
	v  *verifier
}

// Unwrap is the router whose evidence is raised.
func (r *verified) Unwrap() Router { return r.Router }

func (r *verified) Caps() Caps {
	caps := r.Router.Caps()
	caps.Evidence = Effective
	return caps
}

func (r *verified) Observe(ctx context.Context) (Seen, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	proof, err := r.v.look(ctx)
	if err != nil {
		return Seen{}, err
	}
	proof.Seen.Evidence = proof.Evidence
	return proof.Seen, nil
}

// verifier gathers what requests show about the route in force.
type verifier struct {
	router  Router
	meter   Meter // nil if probes are sent or the router is none
	options VerifyOptions

	seen    Seen // whose route and fence the sample is about
	sample  sample
	began   time.Time
	was     *[2]uint64 // what stable and candidate had been given when it began
	proven  bool
	against string // what the last sample that was thrown away had shown
}

func newVerifier(r Router, o VerifyOptions) (*verifier, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &verifier{router: r, options: o}
	if o.Probe == nil {
		v.meter, _ = MeterOf(r)
	}
	if best := r.Caps().Evidence; best < o.Need && (o.Need < Effective || o.Probe == nil && v.meter == nil) {
		return nil, fmt.Errorf("the router can show %v at best, and counts no requests: give a Probe, or need less: %w", best, errors.ErrUnsupported)
	}
	return v, nil
}

// look looks once, and adds to the sample what has happened since.
func (v *verifier) look(ctx context.Context) (Proof, error) {
	seen, err := v.router.Observe(ctx)
	if err != nil {
		return Proof{}, err
	}
	if !seen.Route.Equal(v.seen.Route) || seen.Fence != v.seen.Fence || seen.Writer != v.seen.Writer {
		v.begin(seen)
	}
	v.seen = seen
	if seen.Evidence >= v.options.Need || v.proven || seen.Route.IsZero() || seen.Evidence < min(Programmed, v.router.Caps().Evidence) {
		return v.proof(), nil
	}
	if err := v.gather(ctx); err != nil {
		// What was seen of the route still counts.
		v.against = err.Error()
		return v.proof(), nil
	}
	switch v.sample.judge() {
	case shown:
		v.proven = true
	case undecided:
		v.proven = v.quiet()
	case refuted:
		v.against = fmt.Sprintf("%d of %d requests had gone to %s", v.sample.candidate, v.sample.requests, seen.Route.Arms.Candidate)
		v.restart()
	}
	return v.proof(), nil
}

// quiet reports whether an arm that should get nothing has got nothing for long
// enough. Otherwise a service that nobody asks could never be shown to be home.
func (v *verifier) quiet() bool {
	return v.was != nil && (v.sample.want == 0 || v.sample.want == 1) && time.Since(v.began) >= v.options.Quiet
}

// begin forgets what was shown about another route.
func (v *verifier) begin(seen Seen) {
	v.seen, v.proven, v.against = seen, false, ""
	v.restart()
}

func (v *verifier) restart() {
	v.began, v.was = time.Now(), nil
	v.sample = sample{goal: v.options.goal(v.seen.Route.Split)}
	v.sample.openEnded = v.meter != nil && len(v.seen.Route.Split.Match) > 0
}

// gather adds what the meter has counted since, or a burst of probes.
func (v *verifier) gather(ctx context.Context) error {
	switch {
	case v.options.Probe != nil:
		return v.probe(ctx)
	case v.meter != nil:
		return v.read(ctx)
	}
	return nil
}

// read takes the difference to what had been counted when the sample began.
func (v *verifier) read(ctx context.Context) error {
	readings, err := v.meter.Meter(ctx)
	if err != nil {
		return err
	}
	arms := v.seen.Route.Arms
	now := [2]uint64{readings[arms.Stable].Requests, readings[arms.Candidate].Requests}
	switch {
	case v.was == nil:
		v.was = &now
	case now[0] < v.was[0] || now[1] < v.was[1]: // the counting has begun anew
		v.restart()
		v.was = &now
	default:
		v.sample.candidate = now[1] - v.was[1]
		v.sample.requests = now[0] - v.was[0] + v.sample.candidate
	}
	return nil
}

// probe sends a burst, and stops early at a verdict or when ctx ends.
func (v *verifier) probe(ctx context.Context) error {
	for range v.options.Burst {
		arm, err := v.options.Probe(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("traffic: probe: %w", err)
		case arm == v.seen.Route.Arms.Candidate:
			v.sample.candidate++
		case arm != v.seen.Route.Arms.Stable:
			return fmt.Errorf("traffic: probe: %q answered, want %q or %q", arm, v.seen.Route.Arms.Stable, v.seen.Route.Arms.Candidate)
		}
		v.sample.requests++
	}
	return nil
}

func (v *verifier) proof() Proof {
	p := Proof{Seen: v.seen, Evidence: v.seen.Evidence, Requests: v.sample.requests, Candidate: v.sample.candidate}
	if v.proven {
		p.Evidence = Effective
	}
	if p.Requests > 0 {
		low, high := interval(p.Candidate, p.Requests, v.options.Risk)
		p.Low, p.High = Weight(math.Floor(low*float64(Full))), Weight(math.Ceil(high*float64(Full)))
	}
	return p
}
