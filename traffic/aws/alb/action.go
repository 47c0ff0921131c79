// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package alb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/rheostat-go/rheostat/traffic"
)

// maxGroups is how many target groups AWS takes in one forward action.
const maxGroups = 5

// target is the actions of a listener or a rule.
type target struct {
	actions []types.Action
	forward *types.Action // one of them
}

// group is a target group in a forward action.
type group struct {
	arn    string
	weight int32
}

// read asks for the actions, of which one must forward.
func (r *Router) read(ctx context.Context) (*target, error) {
	var actions []types.Action
	if strings.Contains(r.o.ARN, ":listener/") {
		out, err := r.api.DescribeListeners(ctx, &elbv2.DescribeListenersInput{ListenerArns: []string{r.o.ARN}})
		if err != nil {
			return nil, fmt.Errorf("describe listener: %w", err)
		}
		if len(out.Listeners) != 1 {
			return nil, fmt.Errorf("describe listener: %d answers, want one", len(out.Listeners))
		}
		actions = out.Listeners[0].DefaultActions
	} else {
		out, err := r.api.DescribeRules(ctx, &elbv2.DescribeRulesInput{RuleArns: []string{r.o.ARN}})
		if err != nil {
			return nil, fmt.Errorf("describe rule: %w", err)
		}
		if len(out.Rules) != 1 {
			return nil, fmt.Errorf("describe rule: %d answers, want one", len(out.Rules))
		}
		actions = out.Rules[0].Actions
	}
	t := &target{actions: actions}
	for i := range actions {
		if actions[i].Type == types.ActionTypeEnumForward {
			t.forward = &actions[i]
		}
	}
	if t.forward == nil {
		return nil, fmt.Errorf("%s has no forward action", r.o.ARN)
	}
	return t, nil
}

// modify writes the actions. AWS shows no client secrets; it must be told to
// keep what it has.
func (r *Router) modify(ctx context.Context, t *target) error {
	for i := range t.actions {
		if oidc := t.actions[i].AuthenticateOidcConfig; oidc != nil && oidc.ClientSecret == nil {
			oidc.UseExistingClientSecret = aws.Bool(true)
		}
	}
	if strings.Contains(r.o.ARN, ":listener/") {
		if _, err := r.api.ModifyListener(ctx, &elbv2.ModifyListenerInput{ListenerArn: &r.o.ARN, DefaultActions: t.actions}); err != nil {
			return fmt.Errorf("modify listener: %w", err)
		}
		return nil
	}
	if _, err := r.api.ModifyRule(ctx, &elbv2.ModifyRuleInput{RuleArn: &r.o.ARN, Actions: t.actions}); err != nil {
		return fmt.Errorf("modify rule: %w", err)
	}
	return nil
}

// groups is the target groups in the order of the action.
func (t *target) groups() []group {
	var list []group
	if t.forward.ForwardConfig != nil {
		for _, g := range t.forward.ForwardConfig.TargetGroups {
			weight := int32(1) // what AWS takes for none
			if g.Weight != nil {
				weight = *g.Weight
			}
			list = append(list, group{aws.ToString(g.TargetGroupArn), weight})
		}
	}
	if len(list) == 0 && aws.ToString(t.forward.TargetGroupArn) != "" {
		list = append(list, group{*t.forward.TargetGroupArn, 1})
	}
	return list
}

// has reports whether the group has exactly that weight.
func (t *target) has(arn string, weight int32) bool {
	for _, g := range t.groups() {
		if g.arn == arn {
			return g.weight == weight
		}
	}
	return false
}

// set gives the two groups their weights, and leaves others their 0.
func (t *target) set(stable, candidate string, weights [2]int32) error {
	tuples := []types.TargetGroupTuple{
		{TargetGroupArn: &stable, Weight: &weights[0]},
		{TargetGroupArn: &candidate, Weight: &weights[1]},
	}
	old := t.groups()
	for _, g := range old {
		switch {
		case g.arn == stable || g.arn == candidate:
		case g.weight > 0 && len(old) > 1:
			return fmt.Errorf("target group %s has weight %d and is no arm; give it 0: %w", g.arn, g.weight, traffic.ErrConflict)
		case g.weight > 0:
			return fmt.Errorf("all goes to target group %s, which is no arm: %w", g.arn, traffic.ErrConflict)
		default:
			tuples = append(tuples, types.TargetGroupTuple{TargetGroupArn: &g.arn, Weight: aws.Int32(0)})
		}
	}
	if len(tuples) > maxGroups {
		return fmt.Errorf("the action would have %d target groups, and AWS takes %d; remove those with weight 0", len(tuples), maxGroups)
	}
	if t.forward.ForwardConfig == nil {
		t.forward.ForwardConfig = &types.ForwardActionConfig{}
	}
	t.forward.ForwardConfig.TargetGroups = tuples
	t.forward.TargetGroupArn = nil // stands for one group alone
	return nil
}

// stickiness is how long a client stays with its target group, 0 if it does not.
func (t *target) stickiness() time.Duration {
	if t.forward.ForwardConfig == nil || t.forward.ForwardConfig.TargetGroupStickinessConfig == nil {
		return 0
	}
	config := t.forward.ForwardConfig.TargetGroupStickinessConfig
	if !aws.ToBool(config.Enabled) {
		return 0
	}
	if config.DurationSeconds == nil {
		return maxStickiness
	}
	return time.Duration(*config.DurationSeconds) * time.Second
}

// room is what both arms' healthy targets could carry.
func (r *Router) room(ctx context.Context, arms traffic.Arms) (traffic.Room, error) {
	var healthy, registered [2]int
	for i, arm := range []string{arms.Stable, arms.Candidate} {
		arn, err := r.group(arm)
		if err != nil {
			return traffic.Room{}, err
		}
		out, err := r.api.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			return traffic.Room{}, fmt.Errorf("describe target health: %w", err)
		}
		for _, d := range out.TargetHealthDescriptions {
			if d.TargetHealth == nil || d.TargetHealth.State == types.TargetHealthStateEnumDraining {
				continue
			}
			registered[i]++
			if d.TargetHealth.State == types.TargetHealthStateEnumHealthy {
				healthy[i]++
			}
		}
	}
	all := max(registered[0], registered[1])
	if all == 0 {
		return traffic.Room{}, errors.New("no targets are registered")
	}
	part := func(n int) traffic.Weight {
		return traffic.Weight(uint64(n) * uint64(traffic.Full) / uint64(all)) //nolint:gosec // n is 0 to all
	}
	return traffic.Room{Known: true, Stable: part(healthy[0]), Candidate: part(healthy[1])}, nil
}
