// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package beanstalk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rheostat-go/rheostat/traffic"
)

// Observe reads which environment has the CNAME, whoever brought it there. It
// is Programmed when the environments are Ready and Written while AWS works on
// one. Fence is always 0, and Room is not known: wrap the router with
// traffic.WithRoom or traffic.AssumeRoom.
//
// Before this Router has applied a route it does not know the candidate, unless
// Options.Arms tell; the route then has the one arm that serves.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	environments, err := r.describe(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("beanstalk: observe: %w", err)
	}
	r.mu.Lock()
	arms := r.arms
	r.mu.Unlock()
	var holder string
	for name, e := range environments {
		if r.has(e) {
			holder = name
		}
	}
	seen := traffic.Seen{Evidence: traffic.Programmed}
	switch holder {
	case "":
		return traffic.Seen{}, fmt.Errorf("beanstalk: observe: no environment of %q has the CNAME %s", r.o.Application, r.o.CNAME)
	case arms.Stable:
		seen.Route.Arms = arms
	case arms.Candidate:
		seen.Route.Arms, seen.Route.Split.Candidate = arms, traffic.Full
	default:
		seen.Route.Arms.Stable = holder
	}
	for _, name := range []string{holder, arms.Stable, arms.Candidate} {
		if e, ok := environments[name]; ok && e.Status != types.EnvironmentStatusReady {
			seen.Evidence = traffic.Written
		}
	}
	return seen, nil
}

// describe lists the application's environments by name, without those that are gone.
func (r *Router) describe(ctx context.Context) (map[string]types.EnvironmentDescription, error) {
	found := map[string]types.EnvironmentDescription{}
	in := &eb.DescribeEnvironmentsInput{ApplicationName: &r.o.Application, IncludeDeleted: aws.Bool(false)}
	for range maxPages {
		out, err := r.api.DescribeEnvironments(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describe environments: %w", err)
		}
		for _, e := range out.Environments {
			if e.Status != types.EnvironmentStatusTerminated {
				found[aws.ToString(e.EnvironmentName)] = e
			}
		}
		if aws.ToString(out.NextToken) == "" {
			return found, nil
		}
		in.NextToken = out.NextToken
	}
	return nil, fmt.Errorf("describe environments: more than %d pages", maxPages)
}

// settled looks until both environments are Ready. One that is not there, or on
// its way out, will never be, and does not matter where the other one has the CNAME.
func (r *Router) settled(ctx context.Context, arms traffic.Arms) (map[string]types.EnvironmentDescription, error) {
	busy := ""
	for {
		environments, err := r.describe(ctx)
		switch {
		case err != nil && busy != "":
			return nil, fmt.Errorf("%s: %w", busy, err)
		case err != nil:
			return nil, err
		}
		busy = ""
		for _, names := range [][2]string{{arms.Stable, arms.Candidate}, {arms.Candidate, arms.Stable}} {
			e, other := environments[names[0]], environments[names[1]]
			switch err := r.gone(environments, names[0]); {
			case err != nil && !r.has(other):
				return nil, err
			case err != nil, e.Status == types.EnvironmentStatusReady:
				continue
			}
			busy = fmt.Sprintf("environment %q is %s", names[0], e.Status)
			if aws.ToBool(e.AbortableOperationInProgress) {
				busy += " by an operation that can be aborted (AbortEnvironmentUpdate)"
			}
		}
		if busy == "" {
			return environments, nil
		}
		if err := r.pause(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", busy, err)
		}
	}
}

// gone is why an environment cannot be swapped with and never will be, or nil.
func (r *Router) gone(environments map[string]types.EnvironmentDescription, name string) error {
	switch e, ok := environments[name]; {
	case !ok:
		return fmt.Errorf("environment %q: application %q has none of that name", name, r.o.Application)
	case e.Status == types.EnvironmentStatusTerminating:
		return fmt.Errorf("environment %q is being terminated", name)
	}
	return nil
}

// await finds out what became of a swap that returned err. Where AWS refused it,
// only somebody else can have brought the CNAME there. Otherwise a swap may have
// begun that does not show yet, a reply may be lost, so the target is looked at
// for a while, and nothing is asked for again.
func (r *Router) await(ctx context.Context, route traffic.Route, err error) error {
	rest := r.o.Doubt
	if refused(err) {
		rest = 0
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for {
		pair, lookErr := r.settled(ctx, route.Arms)
		if lookErr != nil {
			return fmt.Errorf("whether the swap was carried out is not known: %w", errors.Join(err, lookErr))
		}
		if done, lookErr := r.arrived(pair, route); done || lookErr != nil {
			return lookErr
		}
		over := rest == 0
		select {
		case <-timer.C:
			over = true
		default:
		}
		if over {
			if err == nil {
				err = errors.New("swap: accepted, and not carried out; see the events of the environments")
			}
			return err
		}
		if lookErr := r.pause(ctx); lookErr != nil {
			return fmt.Errorf("whether the swap was carried out is not known: %w", errors.Join(err, lookErr))
		}
	}
}

// refused reports whether AWS said no, so that nothing was begun.
func refused(err error) bool {
	var reply *smithyhttp.ResponseError
	var said smithy.APIError
	return errors.As(err, &reply) && errors.As(err, &said) && reply.HTTPStatusCode()/100 == 4
}

// pause waits for the next look.
func (r *Router) pause(ctx context.Context) error {
	timer := time.NewTimer(r.o.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// NeededUntil is the time until which the environment that was left last may
// still be asked by clients that know the old answer: Options.Lag after the
// newest swap that AWS has an event of. Clients that hold connections open are
// not in it. That no swap is on record (events are kept for some weeks) or
// that one is under way is an error, never a time.
func (r *Router) NeededUntil(ctx context.Context) (time.Time, error) {
	environments, err := r.describe(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("beanstalk: needed until: %w", err)
	}
	for name, e := range environments {
		if !r.has(e) {
			continue
		}
		if e.Status != types.EnvironmentStatusReady {
			return time.Time{}, fmt.Errorf("beanstalk: needed until: environment %q is %s", name, e.Status)
		}
		swapped, err := r.swapped(ctx, name)
		if err != nil {
			return time.Time{}, fmt.Errorf("beanstalk: needed until: %w", err)
		}
		return swapped.Add(r.o.Lag), nil
	}
	return time.Time{}, fmt.Errorf("beanstalk: needed until: no environment has the CNAME %s", r.o.CNAME)
}

// swapped is the time of the newest event of a swap.
func (r *Router) swapped(ctx context.Context, environment string) (time.Time, error) {
	in := &eb.DescribeEventsInput{ApplicationName: &r.o.Application, EnvironmentName: &environment}
	for range maxPages {
		out, err := r.api.DescribeEvents(ctx, in)
		if err != nil {
			return time.Time{}, fmt.Errorf("describe events: %w", err)
		}
		for _, e := range out.Events { // the newest first
			if strings.Contains(strings.ToLower(aws.ToString(e.Message)), "swapping cnames") && e.EventDate != nil {
				return *e.EventDate, nil
			}
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	return time.Time{}, fmt.Errorf("no event of environment %q tells of a swap", environment)
}
