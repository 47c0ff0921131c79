// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package alb_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/alb"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const (
	prefix   = "arn:aws:elasticloadbalancing:eu-west-1:1:"
	listener = prefix + "listener/app/shop/1/2"
	rule     = prefix + "listener-rule/app/shop/1/2/3"
	login    = `<member><Type>authenticate-oidc</Type><Order>1</Order><AuthenticateOidcConfig><ClientId>shop</ClientId><ClientSecret>secret</ClientSecret>` +
		`<Issuer>https://id.example</Issuer><AuthorizationEndpoint>https://id.example/a</AuthorizationEndpoint><TokenEndpoint>https://id.example/t</TokenEndpoint>` +
		`<UserInfoEndpoint>https://id.example/u</UserInfoEndpoint><SessionTimeout>3600</SessionTimeout>` +
		`<AuthenticationRequestExtraParams><entry><key>prompt</key><value>login</value></entry></AuthenticationRequestExtraParams></AuthenticateOidcConfig></member>`
)

func arn(name string) string { return prefix + "targetgroup/" + name + "/9" }

func plain(name string) string {
	return `<member><Type>forward</Type><Order>2</Order><TargetGroupArn>` + arn(name) + `</TargetGroupArn></member>`
}

var arms = traffic.Arms{Stable: "blue", Candidate: "green"}

func route(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
}

func newServer(t *testing.T) *awstest.Server {
	t.Helper()
	s := awstest.New()
	t.Cleanup(s.Close)
	for _, name := range []string{"blue", "green", "third", "fourth", "fifth", "sixth"} {
		s.Balancing.AddGroup(arn(name), awstest.Health{Healthy: 2, Total: 2})
	}
	if err := errors.Join(s.Balancing.AddListener(listener, login+plain("blue")), s.Balancing.AddRule(rule, plain("blue"))); err != nil {
		t.Fatal(err)
	}
	return s
}

func options(of string) alb.Options {
	return alb.Options{
		ARN: of, Lag: time.Millisecond, Arms: arms,
		Groups: map[string]string{"blue": arn("blue"), "green": arn("green")},
	}
}

func newRouter(t *testing.T, s *awstest.Server, o alb.Options) *alb.Router {
	t.Helper()
	r, err := alb.New(elbv2.NewFromConfig(s.Config()), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The suite counts goroutines, so it runs alone.
func TestConformance(t *testing.T) {
	t.Run("listener", func(t *testing.T) { conform(t, listener) })
	t.Run("rule", func(t *testing.T) { conform(t, rule) })
}

func conform(t *testing.T, of string) {
	t.Helper()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		t.Helper()
		s := newServer(t)
		subject := traffictest.Subject{
			Arms: arms,
			Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
				group, err := s.Balancing.Pick(of)
				return traffictest.Answer{Arm: strings.Split(group+"//", "/")[1]}, err
			},
			Foreign: func(_ context.Context, r traffic.Route, _ string) error {
				candidate := int(r.Split.Candidate / 10_000) // another tool thinks in per cent
				return s.Balancing.Forward(of, map[string]int{arn(r.Arms.Stable): 100 - candidate, arn(r.Arms.Candidate): candidate})
			},
			Rest: func(context.Context) (string, error) { return s.Balancing.Rest(of), nil },
			Break: func(_ context.Context, f traffictest.Fault) (func(), error) {
				kinds := map[traffictest.Fault]awstest.Kind{
					traffictest.Down: awstest.Down, traffictest.Hanging: awstest.Hanging,
					traffictest.Garbage: awstest.Garbage, traffictest.Deaf: awstest.Lost,
				}
				kind, ok := kinds[f]
				if !ok {
					return nil, errors.ErrUnsupported
				}
				return s.FailAll(awstest.Failure{Kind: kind}), nil
			},
		}
		subject.Another = func(context.Context) (traffic.Router, error) { return newRouter(t, s, options(of)), nil }
		subject.Restart = func(context.Context) (traffictest.Subject, error) {
			subject.Router = newRouter(t, s, options(of))
			return subject, nil
		}
		subject.Router = newRouter(t, s, options(of))
		return subject
	})
}

func TestTheLoginBeforeAForwardKeepsItsSecret(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options(listener))
	before := s.Balancing.Rest(listener)
	for _, w := range []traffic.Weight{traffic.Percent(10), traffic.Full, 0} {
		if err := r.Apply(t.Context(), 1, route(w)); err != nil {
			t.Fatal(err)
		}
	}
	if after := s.Balancing.Rest(listener); after != before || !strings.Contains(after, "<ClientSecret>secret<") || !strings.Contains(after, "prompt") {
		t.Errorf("the rest was\n%s\nand is\n%s", before, after)
	}
}

func TestACallIsRetriedAndALostReplyIsFoundOut(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options(listener))
	s.Fail("ModifyListener", awstest.Failure{Kind: awstest.Lost})
	s.Fail("DescribeListeners", awstest.Throttled("DescribeListeners"))
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	writes := s.Calls("ModifyListener")
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	if s.Calls("ModifyListener") != writes {
		t.Error("what was in force was written again")
	}
}

func TestGroupsWithoutWeightStayAndOneWithWeightIsNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options(rule))
	if err := s.Balancing.Forward(rule, map[string]int{arn("blue"): 1, arn("third"): 0}); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	client := elbv2.NewFromConfig(s.Config())
	out, err := client.DescribeRules(t.Context(), &elbv2.DescribeRulesInput{RuleArns: []string{rule}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int32{}
	for _, g := range out.Rules[0].Actions[0].ForwardConfig.TargetGroups {
		got[*g.TargetGroupArn] = *g.Weight
	}
	if len(got) != 3 || got[arn("blue")] != 0 || got[arn("green")] != 999 || got[arn("third")] != 0 {
		t.Errorf("the weights are %v", got)
	}

	for _, weights := range []map[string]int{{arn("blue"): 1, arn("third"): 1}, {arn("third"): 1}} {
		if err := s.Balancing.Forward(rule, weights); err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 2, route(0)); !errors.Is(err, traffic.ErrConflict) || !strings.Contains(err.Error(), arn("third")) {
			t.Errorf("Apply over %v: %v, want ErrConflict and the group", weights, err)
		}
		seen, err := r.Observe(t.Context())
		if err != nil || seen.Route.Arms == arms {
			t.Errorf("Observe of %v shows %v, %v", weights, seen.Route, err)
		}
	}
	for _, weights := range []map[string]int{{arn("blue"): 1, arn("green"): 1, arn("third"): 1}, {arn("blue"): 0}} {
		if err := s.Balancing.Forward(rule, weights); err != nil {
			t.Fatal(err)
		}
		if seen, err := r.Observe(t.Context()); err == nil {
			t.Errorf("Observe of %v shows %v, want an error", weights, seen.Route)
		}
	}
}

func TestMoreThanFiveGroupsAreNotTried(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.Balancing.Forward(rule, map[string]int{arn("blue"): 1, arn("third"): 0, arn("fourth"): 0, arn("fifth"): 0, arn("sixth"): 0}); err != nil {
		t.Fatal(err)
	}
	err := newRouter(t, s, options(rule)).Apply(t.Context(), 1, route(traffic.Full))
	if err == nil || !strings.Contains(err.Error(), "AWS takes 5") {
		t.Errorf("Apply: %v, want an error about the number of groups", err)
	}
}

func TestStickinessMustBeDeclared(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	sticky := `<member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>` + arn("blue") + `</TargetGroupArn><Weight>1</Weight></member></TargetGroups>` +
		`<TargetGroupStickinessConfig><Enabled>true</Enabled><DurationSeconds>3600</DurationSeconds></TargetGroupStickinessConfig></ForwardConfig></member>`
	if err := s.Balancing.AddRule(rule, sticky); err != nil {
		t.Fatal(err)
	}
	r := newRouter(t, s, options(rule))
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err == nil || !strings.Contains(err.Error(), "Options.Stickiness") {
		t.Errorf("Apply: %v, want an error about stickiness", err)
	}
	if err := r.Apply(t.Context(), 1, route(0)); err != nil {
		t.Errorf("the way home is barred: %v", err)
	}
	if seen, err := r.Observe(t.Context()); err != nil || seen.Evidence != traffic.Unknown {
		t.Errorf("Observe shows evidence %v, %v; want unknown", seen.Evidence, err)
	}
	o := options(rule)
	o.Stickiness = time.Hour
	r = newRouter(t, s, o)
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Error(err)
	}
	if lag := r.Caps().Lag; lag < time.Hour {
		t.Errorf("Caps.Lag is %v, want the hour of stickiness in it", lag)
	}
	if !strings.Contains(s.Balancing.Rest(rule), "<DurationSeconds>3600<") {
		t.Error("the stickiness was taken away")
	}
}

func TestRoomIsHealthyTargetsByTheBiggerArm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options(listener))
	for _, c := range []struct {
		blue, green awstest.Health
		want        traffic.Room
	}{
		{awstest.Health{Healthy: 10, Total: 10}, awstest.Health{Healthy: 1, Total: 1}, traffic.Room{Known: true, Stable: traffic.Full, Candidate: 100_000}},
		{awstest.Health{Healthy: 5, Total: 10}, awstest.Health{Healthy: 0, Total: 2}, traffic.Room{Known: true, Stable: 500_000}},
		{awstest.Health{}, awstest.Health{Healthy: 3, Total: 3}, traffic.Room{Known: true, Candidate: traffic.Full}},
		{awstest.Health{}, awstest.Health{}, traffic.Room{}},
	} {
		s.Balancing.AddGroup(arn("blue"), c.blue)
		s.Balancing.AddGroup(arn("green"), c.green)
		seen, err := r.Observe(t.Context())
		if err != nil || seen.Room != c.want {
			t.Errorf("of %v and %v the room is %+v, %v; want %+v", c.blue, c.green, seen.Room, err, c.want)
		}
	}
	s.Fail("DescribeTargetHealth", awstest.Failure{Status: 403, Code: "AccessDenied"})
	if seen, err := r.Observe(t.Context()); err != nil || seen.Room.Known || !seen.Route.Equal(route(0)) {
		t.Errorf("without the right to see health: %+v, %v; want the route and no room", seen, err)
	}
}

func TestWhatAWSRefusesIsShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	missing := options(listener + "x")
	if _, err := newRouter(t, s, missing).Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "ListenerNotFound") {
		t.Errorf("Observe of no listener: %v", err)
	}
	if err := newRouter(t, s, options(rule+"x")).Apply(t.Context(), 1, route(0)); err == nil || !strings.Contains(err.Error(), "RuleNotFound") {
		t.Errorf("Apply to no rule: %v", err)
	}
	o := options(rule)
	o.Groups["green"] = arn("none")
	if err := newRouter(t, s, o).Apply(t.Context(), 1, route(traffic.Full)); err == nil || !strings.Contains(err.Error(), "TargetGroupNotFound") {
		t.Errorf("Apply with no group: %v", err)
	}
	if err := newRouter(t, s, o).Apply(t.Context(), 1, route(0)); err != nil {
		t.Errorf("a group that gets nothing may be gone: %v", err)
	}
	if err := newRouter(t, s, options(rule)).Apply(t.Context(), 1, traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "red"}}); err == nil || !strings.Contains(err.Error(), "Options.Groups") {
		t.Errorf("Apply with an unknown arm: %v", err)
	}
}

// The server that these tests talk to must be no more patient than AWS.
func TestTheServerRefusesWhatAWSDoes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := elbv2.NewFromConfig(s.Config())
	tuple := func(name string, weight int32) types.TargetGroupTuple {
		return types.TargetGroupTuple{TargetGroupArn: aws.String(arn(name)), Weight: &weight}
	}
	for _, c := range []struct {
		want   string
		single *string
		groups []types.TargetGroupTuple
	}{
		{"Weight '1000'", nil, []types.TargetGroupTuple{tuple("blue", 1000)}},
		{"at most 5", nil, []types.TargetGroupTuple{tuple("blue", 1), tuple("green", 1), tuple("third", 1), tuple("fourth", 1), tuple("fifth", 1), tuple("sixth", 1)}},
		{"cannot specify both", aws.String(arn("blue")), []types.TargetGroupTuple{tuple("blue", 1), tuple("green", 1)}},
		{"", nil, []types.TargetGroupTuple{tuple("blue", 999), tuple("green", 0)}},
	} {
		_, err := client.ModifyRule(t.Context(), &elbv2.ModifyRuleInput{RuleArn: aws.String(rule), Actions: []types.Action{{
			Type: types.ActionTypeEnumForward, TargetGroupArn: c.single, ForwardConfig: &types.ForwardActionConfig{TargetGroups: c.groups},
		}}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := elbv2.New(elbv2.Options{})
	for _, c := range []struct {
		want string
		api  alb.API
		o    alb.Options
	}{
		{"api", nil, options(rule)},
		{"arn", client, alb.Options{ARN: arn("blue")}},
		{"lag", client, alb.Options{ARN: rule, Lag: -1}},
		{"stickiness", client, alb.Options{ARN: rule, Stickiness: 8 * 24 * time.Hour}},
		{"groups", client, alb.Options{ARN: rule, Groups: map[string]string{"a": arn("blue"), "b": arn("blue")}}},
	} {
		if _, err := alb.New(c.api, c.o); err == nil || !strings.HasPrefix(err.Error(), "alb: "+c.want) {
			t.Errorf("New: %v, want one about %s", err, c.want)
		}
	}
}

func TestCapsAreThoseOfTheMatrix(t *testing.T) {
	t.Parallel()
	r, err := alb.New(elbv2.New(elbv2.Options{}), alb.Options{ARN: listener})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(t, routertest.Row{Router: "traffic/aws/alb", Caps: r.Caps()})
}
