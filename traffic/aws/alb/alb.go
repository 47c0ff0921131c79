// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package alb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/internal/note"
)

const (
	sum       = 1000 // of the two weights, but at the ends
	maxWeight = 999
	// maxStickiness is the longest that AWS takes.
	maxStickiness = 7 * 24 * time.Hour
)

// API is the calls that a Router makes. *elasticloadbalancingv2.Client has them.
type API interface {
	// DescribeListeners reads a listener.
	DescribeListeners(ctx context.Context, in *elbv2.DescribeListenersInput, o ...func(*elbv2.Options)) (*elbv2.DescribeListenersOutput, error)
	// ModifyListener changes the default actions of a listener.
	ModifyListener(ctx context.Context, in *elbv2.ModifyListenerInput, o ...func(*elbv2.Options)) (*elbv2.ModifyListenerOutput, error)
	// DescribeRules reads a rule.
	DescribeRules(ctx context.Context, in *elbv2.DescribeRulesInput, o ...func(*elbv2.Options)) (*elbv2.DescribeRulesOutput, error)
	// ModifyRule changes the actions of a rule.
	ModifyRule(ctx context.Context, in *elbv2.ModifyRuleInput, o ...func(*elbv2.Options)) (*elbv2.ModifyRuleOutput, error)
	// DescribeTargetHealth reads the targets of a group.
	DescribeTargetHealth(ctx context.Context, in *elbv2.DescribeTargetHealthInput, o ...func(*elbv2.Options)) (*elbv2.DescribeTargetHealthOutput, error)
}

// Options say which forward action is turned.
type Options struct {
	// ARN is that of a listener, whose default actions are turned, or of a rule. Required.
	ARN string
	// Groups are the ARNs of target groups by the names that routes call them. A
	// group that is not in it is called by its ARN.
	Groups map[string]string
	// Arms are the two arms before a route was applied by this Router, as after a
	// restart. They only decide which of the two Observe calls stable.
	Arms traffic.Arms
	// Stickiness is the longest target group stickiness that the action may
	// have. 0 is none, 7 days is the most.
	Stickiness time.Duration
	// Lag is how long after the write the last request goes the new way, without
	// stickiness. 0 is 30 seconds.
	Lag time.Duration
}

// Router turns one listener or one rule. It is safe for concurrent use within one
// process; two processes must not turn the same one.
type Router struct {
	api   API
	o     Options
	names map[string]string // by ARN
	// turn is held while weights are written or read, so that nobody is shown the
	// weights of one route with the names of another. It guards arms.
	turn chan struct{}
	arms traffic.Arms // as last applied
}

var _ traffic.Router = (*Router)(nil)

// New is the router of one listener or one rule. It asks AWS nothing.
func New(api API, o Options) (*Router, error) {
	switch {
	case api == nil:
		return nil, errors.New("alb: api: give it a client of the SDK")
	case !strings.Contains(o.ARN, ":listener/") && !strings.Contains(o.ARN, ":listener-rule/"):
		return nil, fmt.Errorf("alb: arn: %q is not the ARN of a listener or a rule", o.ARN)
	case o.Lag < 0:
		return nil, fmt.Errorf("alb: lag: %v is below 0", o.Lag)
	case o.Stickiness < 0 || o.Stickiness > maxStickiness:
		return nil, fmt.Errorf("alb: stickiness: %v is not between 0 and %v", o.Stickiness, maxStickiness)
	}
	if o.Lag == 0 {
		o.Lag = 30 * time.Second
	}
	o.Groups = maps.Clone(o.Groups)
	names := map[string]string{}
	for name, arn := range o.Groups {
		if other, twice := names[arn]; twice {
			return nil, fmt.Errorf("alb: groups: %q and %q are the same target group", min(name, other), max(name, other))
		}
		names[arn] = name
	}
	return &Router{api: api, o: o, names: names, turn: make(chan struct{}, 1), arms: o.Arms}, nil
}

// Caps says that steps of a tenth of a per cent can be had, without a fence. AWS
// shows what is configured and has no word on when its nodes follow, so
// Written is the best evidence.
func (r *Router) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Full / sum, Room: true, Evidence: traffic.Written, Lag: r.o.Lag + r.o.Stickiness}
}

// Apply writes the two weights in one call, if they are not as wanted already.
// The fence is ignored. It refuses an action where a third target group has
// weight, and to give the candidate traffic through stickiness that was not declared.
func (r *Router) Apply(ctx context.Context, _ uint64, route traffic.Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("alb: apply: %w", context.Cause(ctx))
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return fmt.Errorf("alb: apply: %w", err)
	}
	if err := r.take(ctx); err != nil {
		return fmt.Errorf("alb: apply: %w", err)
	}
	defer r.release()
	if err := r.write(ctx, route); err != nil {
		return fmt.Errorf("alb: apply: %w", err)
	}
	return nil
}

func (r *Router) write(ctx context.Context, route traffic.Route) error {
	stable, err := r.group(route.Arms.Stable)
	if err != nil {
		return fmt.Errorf("arms.stable: %w", err)
	}
	candidate, err := r.group(route.Arms.Candidate)
	if err != nil {
		return fmt.Errorf("arms.candidate: %w", err)
	}
	now, err := r.read(ctx)
	if err != nil {
		return err
	}
	if sticky := now.stickiness(); sticky > r.o.Stickiness && route.Split.Candidate > 0 {
		return fmt.Errorf("target group stickiness is on for %v, and clients stay with the candidate as long: turn it off, or declare it in Options.Stickiness", sticky)
	}
	weights := weigh(route.Split.Candidate)
	current, err := r.tell(now, route.Arms)
	inForce := err == nil && current.Equal(route)
	if !inForce || !now.has(stable, weights[0]) || !now.has(candidate, weights[1]) {
		if err := now.set(stable, candidate, weights); err != nil {
			return err
		}
		// A group that gets nothing may be gone; one that is there must be in the
		// action, for AWS to check its health.
		var gone *types.TargetGroupNotFoundException
		if err := r.modify(ctx, now); err != nil && (!inForce || !errors.As(err, &gone)) {
			return err
		}
	}
	r.arms = route.Arms
	return nil
}

// weigh is the weights of stable and candidate.
func weigh(candidate traffic.Weight) [2]int32 {
	part := int32(candidate / (traffic.Full / sum)) //nolint:gosec // 0 to 1000
	return [2]int32{min(sum-part, maxWeight), min(part, maxWeight)}
}

// take waits for the turn.
func (r *Router) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Router) release() { <-r.turn }

// group is the ARN of an arm.
func (r *Router) group(arm string) (string, error) {
	if arn, ok := r.o.Groups[arm]; ok {
		return arn, nil
	}
	if !strings.HasPrefix(arm, "arn:") {
		return "", fmt.Errorf("%q is not in Options.Groups and no ARN", arm)
	}
	return arm, nil
}

// Observe reads the weights, whoever wrote them, and the health of both arms'
// targets. Weights that are no split of two are an error. Fence is always 0. That the
// health could not be read makes the room not known, and is no error. It waits
// for an Apply under way.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	now, route, err := r.look(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("alb: observe: %w", err)
	}
	seen := traffic.Seen{Route: route, Evidence: traffic.Written}
	if now.stickiness() > r.o.Stickiness {
		seen.Evidence = traffic.Unknown
	}
	if room, err := r.room(ctx, route.Arms); err == nil {
		seen.Room = room
	}
	return seen, nil
}

func (r *Router) look(ctx context.Context) (*target, traffic.Route, error) {
	if err := r.take(ctx); err != nil {
		return nil, traffic.Route{}, err
	}
	defer r.release()
	now, err := r.read(ctx)
	if err != nil {
		return nil, traffic.Route{}, err
	}
	route, err := r.tell(now, r.arms)
	if err != nil {
		return nil, traffic.Route{}, fmt.Errorf("%s: %w", r.o.ARN, err)
	}
	return now, route, nil
}

// tell is the route that the weights make.
func (r *Router) tell(now *target, arms traffic.Arms) (traffic.Route, error) {
	var shares []note.Share
	for _, g := range now.groups() {
		name, ok := r.names[g.arn]
		if !ok {
			name = g.arn
		}
		shares = append(shares, note.Share{Arm: name, Parts: uint64(max(g.weight, 0))}) //nolint:gosec // not below 0
	}
	return note.Arrange(arms, shares)
}
