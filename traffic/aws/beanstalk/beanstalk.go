// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package beanstalk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"github.com/rheostat-go/rheostat/traffic"
)

// maxPages bounds how many pages of a list are read.
const maxPages = 20

// API is the calls that a Router makes. *elasticbeanstalk.Client has them.
type API interface {
	// DescribeEnvironments reads the state of the environments.
	DescribeEnvironments(ctx context.Context, in *eb.DescribeEnvironmentsInput, o ...func(*eb.Options)) (*eb.DescribeEnvironmentsOutput, error)
	// SwapEnvironmentCNAMEs exchanges two CNAMEs. It is a toggle.
	SwapEnvironmentCNAMEs(ctx context.Context, in *eb.SwapEnvironmentCNAMEsInput, o ...func(*eb.Options)) (*eb.SwapEnvironmentCNAMEsOutput, error)
	// DescribeEvents is asked by NeededUntil alone.
	DescribeEvents(ctx context.Context, in *eb.DescribeEventsInput, o ...func(*eb.Options)) (*eb.DescribeEventsOutput, error)
}

// Options say which name is turned, and how patiently.
type Options struct {
	// Application is the name of the application. Required.
	Application string
	// CNAME is the name that the users know: its first label, such as
	// "shop-prod", or all of it. Required.
	CNAME string
	// Arms are the two environments before a route was applied by this Router,
	// as after a restart. They only decide which of the two Observe calls
	// stable. The zero Arms are not known.
	Arms traffic.Arms
	// Lag is how long after the swap the last client comes over to the other
	// side. 0 is two minutes: the 60 seconds that the name lives in DNS, and
	// as much again for resolvers that round it up.
	Lag time.Duration
	// Poll is how often Apply looks while AWS works. 0 is 3 seconds.
	Poll time.Duration
	// Wait bounds one Apply. 0 is 5 minutes. What is not done then may still
	// happen; applying again continues.
	Wait time.Duration
	// Doubt is how long after a lost reply an unchanged target is looked at
	// before the swap is believed not to have begun. 0 is 30 seconds.
	Doubt time.Duration
}

// Router turns one CNAME. It is safe for concurrent use within one process; two
// processes must not turn the same CNAME.
type Router struct {
	api API
	o   Options

	turn chan struct{} // held by the Apply under way

	mu   sync.Mutex
	arms traffic.Arms // as last applied
}

var _ traffic.Router = (*Router)(nil)

// New is the router of one CNAME. It asks AWS nothing.
func New(api API, o Options) (*Router, error) {
	switch {
	case api == nil:
		return nil, errors.New("beanstalk: api: give it a client of the SDK")
	case o.Application == "":
		return nil, errors.New("beanstalk: application: name the application")
	case o.CNAME == "":
		return nil, errors.New("beanstalk: cname: name the CNAME that the users know")
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"lag", &o.Lag, 2 * time.Minute},
		{"poll", &o.Poll, 3 * time.Second},
		{"wait", &o.Wait, 5 * time.Minute},
		{"doubt", &o.Doubt, 30 * time.Second},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("beanstalk: %s: %v is below 0", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	return &Router{api: api, o: o, turn: make(chan struct{}, 1), arms: o.Arms}, nil
}

// Caps says that only all or nothing can be had, without a fence, and how long
// DNS takes. AWS acknowledges the swap, but nobody sees the resolvers, so
// Programmed is the best evidence.
func (r *Router) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Full, Evidence: traffic.Programmed, Lag: r.o.Lag, Toggle: true}
}

// Apply brings the CNAME to the environment that the route sends everything to,
// and waits until both environments are Ready. The fence is ignored.
//
// It refuses to go to a candidate whose health is Red, to swap with an
// environment of another route, and to swap one that is being terminated; each
// by name. An error whose outcome is not known says so, and the same Apply again
// looks before it acts.
func (r *Router) Apply(ctx context.Context, _ uint64, route traffic.Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("beanstalk: apply: %w", context.Cause(ctx))
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return fmt.Errorf("beanstalk: apply: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.Wait, fmt.Errorf("not done within %v", r.o.Wait))
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("beanstalk: apply: %w", context.Cause(ctx))
	}
	if err := r.bring(ctx, route); err != nil {
		return fmt.Errorf("beanstalk: apply: %w", err)
	}
	return nil
}

// bring looks until AWS is at rest, and swaps at most once.
func (r *Router) bring(ctx context.Context, route traffic.Route) error {
	pair, err := r.settled(ctx, route.Arms)
	if err != nil {
		return err
	}
	if done, err := r.arrived(pair, route); done || err != nil {
		return err
	}
	if err := r.fit(pair, route); err != nil {
		return err
	}
	return r.await(ctx, route, r.swap(ctx, route.Arms))
}

// arrived reports whether the CNAME is where the route wants it, and then keeps
// the names of the arms. That neither arm has it is an error.
func (r *Router) arrived(pair map[string]types.EnvironmentDescription, route traffic.Route) (bool, error) {
	want, other := route.Arms.Stable, route.Arms.Candidate
	if route.Split.Candidate == traffic.Full {
		want, other = other, want
	}
	switch {
	case r.has(pair[want]):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.arms = route.Arms
		return true, nil
	case r.has(pair[other]):
		return false, nil
	}
	return false, fmt.Errorf("%s is on neither %q nor %q; somebody else moved it: %w", r.o.CNAME, route.Arms.Stable, route.Arms.Candidate, traffic.ErrConflict)
}

// fit refuses to swap with what is not there, and to go to a candidate that AWS
// itself calls broken. The way home is never barred by anybody's health.
func (r *Router) fit(pair map[string]types.EnvironmentDescription, route traffic.Route) error {
	for _, name := range []string{route.Arms.Stable, route.Arms.Candidate} {
		if err := r.gone(pair, name); err != nil {
			return err
		}
	}
	if route.Split.Candidate == traffic.Full && pair[route.Arms.Candidate].Health == types.EnvironmentHealthRed {
		return fmt.Errorf("environment %q: its health is Red; mend it before it gets traffic", route.Arms.Candidate)
	}
	return nil
}

// swap makes the call once. The SDK must not make it twice.
func (r *Router) swap(ctx context.Context, arms traffic.Arms) error {
	_, err := r.api.SwapEnvironmentCNAMEs(ctx,
		&eb.SwapEnvironmentCNAMEsInput{SourceEnvironmentName: &arms.Stable, DestinationEnvironmentName: &arms.Candidate},
		func(o *eb.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	return nil
}

// has reports whether the environment has the CNAME.
func (r *Router) has(e types.EnvironmentDescription) bool {
	name := aws.ToString(e.CNAME)
	if !strings.Contains(r.o.CNAME, ".") {
		name, _, _ = strings.Cut(name, ".")
	}
	return strings.EqualFold(name, r.o.CNAME)
}
