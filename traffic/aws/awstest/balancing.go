// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	spaceBalancing  = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	maxTargetWeight = 999
	maxTargetGroups = 5
)

// Health is how many targets a group has, and how many of them are healthy.
type Health struct{ Healthy, Total int }

// Balancing is Elastic Load Balancing v2: listeners, their rules and target groups.
type Balancing struct {
	server    *Server
	listeners map[string]*node // by ARN, as DescribeListeners shows them
	rules     map[string]*node
	health    map[string]Health
}

// AddGroup makes a target group, or changes its health.
func (b *Balancing) AddGroup(arn string, h Health) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.health[arn] = h
}

// AddListener makes a listener with its default actions, written as XML the way
// DescribeListeners shows them: "<member><Type>forward</Type>…</member>".
func (b *Balancing) AddListener(arn, actions string) error {
	return b.put(b.listeners, "ListenerArn", arn, "DefaultActions", actions)
}

// AddRule makes a rule with its actions, as AddListener does.
func (b *Balancing) AddRule(arn, actions string) error {
	return b.put(b.rules, "RuleArn", arn, "Actions", actions)
}

func (b *Balancing) put(in map[string]*node, name, arn, field, actions string) error {
	parsed, err := parseXML([]byte("<" + field + ">" + actions + "</" + field + ">"))
	if err != nil {
		return fmt.Errorf("awstest: actions of %s: %w", arn, err)
	}
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	stored, f := b.accept(parsed, nil)
	if f != nil {
		return fmt.Errorf("awstest: %s: %s", f.code, f.message)
	}
	in[arn] = element("member", text(name, arn), stored)
	return nil
}

// Forward writes the weights of the target groups of the forward action of a
// listener or a rule, the way another tool does that leaves the rest alone.
func (b *Balancing) Forward(arn string, weights map[string]int) error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	forward := b.forward(arn)
	if forward == nil {
		return fmt.Errorf("awstest: %s forwards nothing", arn)
	}
	groups := forward.child("ForwardConfig").child("TargetGroups")
	groups.kids = nil
	for group, weight := range weights {
		groups.add(element("member", text("TargetGroupArn", group), text("Weight", strconv.Itoa(weight))))
	}
	forward.drop("TargetGroupArn")
	return nil
}

// Pick is the target group that gets the next request.
func (b *Balancing) Pick(arn string) (string, error) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	sum := 0
	groups := b.forward(arn).list("ForwardConfig", "TargetGroups")
	for _, g := range groups {
		sum += number(g.str("Weight"))
	}
	if sum == 0 {
		return "", fmt.Errorf("awstest: 503: %s has no target group with a weight", arn)
	}
	at := rand.IntN(sum)
	for _, g := range groups {
		if at -= number(g.str("Weight")); at < 0 {
			return g.str("TargetGroupArn"), nil
		}
	}
	return "", fmt.Errorf("awstest: %s has no target group", arn)
}

// Rest is a listener or a rule without the weights, as text, whatever the order of
// its fields.
func (b *Balancing) Rest(arn string) string {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	rest := b.object(arn).clone()
	for _, action := range append(rest.list("DefaultActions"), rest.list("Actions")...) {
		action.drop("TargetGroupArn")
		if config := action.get("ForwardConfig"); config != nil {
			config.drop("TargetGroups")
		}
	}
	return rest.byName().String()
}

func (b *Balancing) object(arn string) *node {
	if l := b.listeners[arn]; l != nil {
		return l
	}
	return b.rules[arn]
}

func (b *Balancing) forward(arn string) *node {
	object := b.object(arn)
	for _, action := range append(object.list("DefaultActions"), object.list("Actions")...) {
		if action.str("Type") == "forward" {
			return action
		}
	}
	return nil
}

func (b *Balancing) serve(action string, in *node) (*node, *fault) {
	switch action {
	case "DescribeListeners":
		return b.describe(b.listeners, "Listeners", in.list("ListenerArns"), "ListenerNotFound")
	case "DescribeRules":
		return b.describe(b.rules, "Rules", in.list("RuleArns"), "RuleNotFound")
	case "ModifyListener":
		return b.modify(b.listeners, in, "Listener", "DefaultActions")
	case "ModifyRule":
		return b.modify(b.rules, in, "Rule", "Actions")
	case "DescribeTargetHealth":
		return b.targets(in.str("TargetGroupArn"))
	}
	return nil, invalid("InvalidAction", "Could not find operation %s for version 2015-12-01", action)
}

func (b *Balancing) describe(in map[string]*node, name string, arns []*node, missing string) (*node, *fault) {
	list := element(name)
	for _, arn := range arns {
		found := in[arn.text]
		if found == nil {
			return nil, invalid(missing, "One or more of %s not found", strings.ToLower(name))
		}
		list.add(shown(found))
	}
	return element("", list), nil
}

// shown is what a description shows: no secrets.
func shown(stored *node) *node {
	copied := stored.clone()
	for _, action := range append(copied.list("DefaultActions"), copied.list("Actions")...) {
		if oidc := action.get("AuthenticateOidcConfig"); oidc != nil {
			oidc.drop("ClientSecret")
			oidc.drop("UseExistingClientSecret")
		}
	}
	return copied
}

func (b *Balancing) modify(in map[string]*node, request *node, kind, field string) (*node, *fault) {
	stored := in[request.str(kind+"Arn")]
	if stored == nil {
		return nil, invalid(kind+"NotFound", "One or more %ss not found", strings.ToLower(kind))
	}
	if actions := request.get(field); actions != nil {
		accepted, f := b.accept(actions, stored.get(field))
		if f != nil {
			return nil, f
		}
		stored.drop(field)
		stored.add(accepted)
	}
	return element("", element(kind+"s", shown(stored))), nil
}

// accept checks a list of actions and completes it the way AWS does: a single
// target group is told in both of its places, and a secret is kept when told to.
func (b *Balancing) accept(actions, before *node) (*node, *fault) {
	accepted := actions.clone()
	for i, action := range accepted.kids {
		last := i == len(accepted.kids)-1
		switch kind := action.str("Type"); kind {
		case "forward", "redirect", "fixed-response":
			if !last {
				return nil, invalid("InvalidLoadBalancerAction", "The last action must be forward, redirect or fixed-response, and the only one of them")
			}
		default:
			if last {
				return nil, invalid("InvalidLoadBalancerAction", "The last action must be forward, redirect or fixed-response, not %s", kind)
			}
		}
		if f := b.acceptForward(action); f != nil {
			return nil, f
		}
		if oidc := action.get("AuthenticateOidcConfig"); oidc != nil && oidc.str("ClientSecret") == "" {
			secret := ""
			if old := before.list(); i < len(old) {
				secret = old[i].str("AuthenticateOidcConfig", "ClientSecret")
			}
			if oidc.str("UseExistingClientSecret") != "true" || secret == "" {
				return nil, invalid("ValidationError", "A client secret must be specified for action type 'authenticate-oidc'")
			}
			oidc.drop("UseExistingClientSecret")
			oidc.set("ClientSecret", secret)
		}
	}
	return accepted, nil
}

func (b *Balancing) acceptForward(action *node) *fault {
	if action.str("Type") != "forward" {
		return nil
	}
	single := action.str("TargetGroupArn")
	config := action.child("ForwardConfig")
	groups := config.child("TargetGroups")
	switch {
	case single == "" && len(groups.kids) == 0:
		return invalid("ValidationError", "A target group must be specified for action type 'forward'")
	case len(groups.kids) == 0:
		groups.add(element("member", text("TargetGroupArn", single), text("Weight", "1")))
	case single != "" && (len(groups.kids) > 1 || groups.kids[0].str("TargetGroupArn") != single):
		return invalid("ValidationError", "You cannot specify both a target group ARN and a forward config with other target groups")
	case len(groups.kids) > maxTargetGroups:
		return invalid("ValidationError", "A forward action can have at most %d target groups", maxTargetGroups)
	}
	seen := map[string]bool{}
	for _, g := range groups.kids {
		arn := g.str("TargetGroupArn")
		if _, ok := b.health[arn]; !ok {
			return invalid("TargetGroupNotFound", "Target groups '%s' not found", arn)
		}
		if seen[arn] {
			return invalid("ValidationError", "Target group '%s' is listed twice", arn)
		}
		seen[arn] = true
		if w, err := strconv.Atoi(g.str("Weight")); err != nil || w < 0 || w > maxTargetWeight {
			return invalid("ValidationError", "Weight '%s' must be between 0 and %d", g.str("Weight"), maxTargetWeight)
		}
	}
	action.drop("TargetGroupArn")
	if len(groups.kids) == 1 {
		action.set("TargetGroupArn", groups.kids[0].str("TargetGroupArn"))
	}
	if config.get("TargetGroupStickinessConfig") == nil {
		config.add(element("TargetGroupStickinessConfig", text("Enabled", "false")))
	}
	return nil
}

func (b *Balancing) targets(arn string) (*node, *fault) {
	h, ok := b.health[arn]
	if !ok {
		return nil, invalid("TargetGroupNotFound", "One or more target groups not found")
	}
	list := element("TargetHealthDescriptions")
	for i := range h.Total {
		state := "healthy"
		if i >= h.Healthy {
			state = "unhealthy"
		}
		list.add(element("member",
			element("Target", text("Id", "i-"+strconv.Itoa(i)), text("Port", "80")),
			element("TargetHealth", text("State", state))))
	}
	return element("", list), nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
