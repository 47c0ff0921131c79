// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Probe sends one request through the data plane the way a client would, with
// nothing that a match or a sticky key could catch, and names the arm that
// answered. An error is a request that failed, and counts for neither arm.
type Probe func(ctx context.Context) (arm string, err error)

// VerifyOptions say how a route is proven. The zero value proves it by the
// router's own evidence or its [Meter], with a risk of one in a thousand.
type VerifyOptions struct {
	// Need is the evidence that is enough. Unknown, the zero value, is Effective.
	Need Evidence
	// Probe sends requests of its own, for where nobody else does or the router
	// is no Meter. nil waits for the requests of others.
	Probe Probe
	// Within is how far from the weight the share may be for the weight to count
	// as met. 0 is half of the smaller part, so that 1% is met between 0.5% and
	// 1.5%, and one per cent at 0% and 100%: there a single request that goes the
	// other way refutes it, too.
	Within Weight
	// Quiet is how long an arm that should get nothing must have got nothing for
	// that to be a proof by itself, for a router that is a Meter and has few
	// requests to count. 0 is 30 seconds.
	Quiet time.Duration
	// Risk is the chance of proving a share that is not within. 0 is 0.001.
	Risk float64
	// Every is the pause between two looks at the router. 0 is a quarter second.
	Every time.Duration
	// Burst is how many probes are sent between two looks. 0 is 64.
	Burst int
}

func (o VerifyOptions) withDefaults() (VerifyOptions, error) {
	if o.Need == Unknown {
		o.Need = Effective
	}
	if o.Risk == 0 {
		o.Risk = 0.001
	}
	if o.Every <= 0 {
		o.Every = time.Second / 4
	}
	if o.Quiet <= 0 {
		o.Quiet = 30 * time.Second
	}
	if o.Burst <= 0 {
		o.Burst = 64
	}
	switch {
	case !(o.Risk > 0 && o.Risk < 1):
		return o, fmt.Errorf("VerifyOptions.Risk: %v is not between 0 and 1", o.Risk)
	case o.Within > Full/2:
		return o, fmt.Errorf("VerifyOptions.Within: %v is no proof of anything; want 50%% or less", o.Within)
	}
	return o, nil
}

// Proof is how sure a route is in force, and why.
type Proof struct {
	// Seen is the router's last look.
	Seen Seen
	// Evidence is what was reached: the router's own, or Effective by requests.
	Evidence Evidence
	// Requests were counted since the route was seen; 0 if the router's own
	// evidence was enough. Candidate of them went to the candidate.
	Requests  uint64
	Candidate uint64
	// Low and High are between what the candidate's share is, with a chance of
	// being wrong of at most Risk (Clopper–Pearson).
	Low, High Weight
}

// String is the proof in one sentence.
func (p Proof) String() string {
	if p.Requests == 0 {
		return fmt.Sprintf("%v: %v", p.Seen.Route, p.Evidence)
	}
	return fmt.Sprintf("%v: %v, %d of %d requests went to %s, its share is between %v and %v",
		p.Seen.Route, p.Evidence, p.Candidate, p.Requests, p.Seen.Route.Arms.Candidate, p.Low, p.High)
}

// Verify waits until want is in force as surely as Need says, or ctx ends. The
// error then says what was seen last; a deadline belongs into ctx.
//
// What is configured and what happens are two things. A router that is no data
// plane itself can show Programmed at most; Effective is shown by where requests
// go, counted by the router if it is a [Meter], or sent as probes. The share is
// tested by the exact binomial distribution, at looks whose risks add up to Risk,
// and a sample that speaks against the route is thrown away and begun anew, since
// old workers may not have gone yet. Proving 0% takes some 830 requests, 10% some
// 900 and 50% some 100.
//
// With Match in the route, requests that match come on top, so counts can only
// show that the candidate gets enough. With Sticky, few clients make many
// requests; send probes there.
func Verify(ctx context.Context, r Router, want Route, o VerifyOptions) (Proof, error) {
	v, err := newVerifier(r, o)
	if err != nil {
		return Proof{}, fmt.Errorf("traffic: verify: %w", err)
	}
	if want, err = r.Caps().NearestRoute(want); err != nil {
		return Proof{}, fmt.Errorf("traffic: verify: %w", err)
	}
	why := errors.New("it was not looked at")
	for {
		proof, err := v.look(ctx)
		switch {
		case ctx.Err() != nil: // what was seen before says more
		case err != nil:
			why = err
		case !proof.Seen.Route.Equal(want):
			why = fmt.Errorf("in force is %q%s", proof.Seen.Route, by(proof.Seen.Writer))
		case proof.Evidence >= v.options.Need:
			return proof, nil
		default:
			why = fmt.Errorf("so far it is %q, want %v", proof, v.options.Need)
			if v.against != "" {
				why = fmt.Errorf("%w; %s", why, v.against)
			}
		}
		if !pause(ctx, v.options.Every) {
			return proof, fmt.Errorf("traffic: verify %q: %w: %w", want, why, context.Cause(ctx))
		}
	}
}

func by(writer string) string {
	if writer == "" {
		return ""
	}
	return ", written by " + writer
}

// pause waits for d, or reports false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
