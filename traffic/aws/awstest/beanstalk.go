// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	spaceBeanstalk = "http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/"
	domain         = ".eu-west-1.elasticbeanstalk.com"
	ready          = "Ready"
)

// Environment is one environment of an application.
type Environment struct {
	Application, Name string
	// CNAME is the first label of its name in DNS. "" is its own name.
	CNAME string
	// Status and Health default to "Ready" and "Green".
	Status, Health string
	// Updated is when it was last changed.
	Updated time.Time
}

// Beanstalk is Elastic Beanstalk.
type Beanstalk struct {
	server       *Server
	environments []*Environment
	events       []event
	slow         int    // how many looks a swap takes; below 0 until Finish
	unseen       int    // how many looks before a swap begins
	waiting      int    // looks left before the swap that was asked for begins
	underway     int    // looks left of the swap under way
	start        func() // begins the swap that was asked for
	swap         func() // ends it
}

type event struct {
	at                   time.Time
	environment, message string
}

// Add makes an environment.
func (b *Beanstalk) Add(e Environment) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if e.CNAME == "" {
		e.CNAME = e.Name
	}
	if e.Status == "" {
		e.Status = ready
	}
	if e.Health == "" {
		e.Health = "Green"
	}
	b.environments = append(b.environments, &e)
}

// Set changes the environment of that name; a change to Terminated stays listed, as in AWS.
func (b *Beanstalk) Set(name string, change func(*Environment)) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if e := b.find(name); e != nil {
		change(e)
	}
}

// Slow makes each swap from now on take so many looks with DescribeEnvironments
// before both environments are Ready again. 0 is at once; below 0 is until Finish.
func (b *Beanstalk) Slow(looks int) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.slow = looks
}

// Unseen makes each swap from now on begin only after so many looks, in which
// nothing is to be seen of it.
func (b *Beanstalk) Unseen(looks int) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.unseen = looks
}

// Finish ends the swap under way.
func (b *Beanstalk) Finish() {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.finish()
}

func (b *Beanstalk) finish() {
	if b.start != nil {
		b.start()
	}
	if b.swap != nil {
		b.swap()
		b.swap = nil
	}
}

// Holder is the name of the environment that has the CNAME, or "".
func (b *Beanstalk) Holder(cname string) string {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	for _, e := range b.environments {
		if e.CNAME == cname && e.Status != "Terminated" {
			return e.Name
		}
	}
	return ""
}

// Swap exchanges two CNAMEs at once, as somebody else would from the console,
// who has waited until it was done.
func (b *Beanstalk) Swap(one, other string) error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if f := b.begin(one, other); f != nil {
		return fmt.Errorf("awstest: %s: %s", f.code, f.message)
	}
	b.finish()
	return nil
}

func (b *Beanstalk) find(name string) *Environment {
	// A terminated environment's name may be in use again.
	for _, e := range slices.Backward(b.environments) {
		if e.Name == name {
			return e
		}
	}
	return nil
}

func (b *Beanstalk) serve(action string, in *node) (*node, *fault) {
	switch action {
	case "DescribeEnvironments":
		return b.describe(in)
	case "SwapEnvironmentCNAMEs":
		return &node{}, b.begin(in.str("SourceEnvironmentName"), in.str("DestinationEnvironmentName"))
	case "DescribeEvents":
		return b.tell(in)
	}
	return nil, invalid("InvalidAction", "Could not find operation %s for version 2010-12-01", action)
}

func (b *Beanstalk) describe(in *node) (*node, *fault) {
	var names []string
	for _, n := range in.list("EnvironmentNames") {
		names = append(names, n.text)
	}
	list := element("Environments")
	for _, e := range b.environments {
		if app := in.str("ApplicationName"); app != "" && app != e.Application || len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		if e.Status == "Terminated" && in.str("IncludeDeleted") == "false" {
			continue
		}
		list.add(element("member",
			text("ApplicationName", e.Application), text("EnvironmentName", e.Name),
			text("CNAME", e.CNAME+domain), text("Status", e.Status), text("Health", e.Health),
			text("AbortableOperationInProgress", "false"),
			text("DateUpdated", e.Updated.UTC().Format(time.RFC3339))))
	}
	b.look()
	return element("", list), nil
}

// look lets a swap go on by one step.
func (b *Beanstalk) look() {
	switch {
	case b.start != nil:
		if b.waiting--; b.waiting <= 0 {
			b.start()
		}
	case b.swap != nil && b.underway > 0:
		if b.underway--; b.underway == 0 {
			b.finish()
		}
	}
}

// begin starts a swap: it is refused unless both are Ready, and exchanges what
// they have, whatever that is.
func (b *Beanstalk) begin(source, destination string) *fault {
	var both []*Environment
	for _, name := range []string{source, destination} {
		e := b.find(name)
		if e == nil || e.Status == "Terminated" {
			return invalid("InvalidParameterValue", "No Environment found for EnvironmentName = '%s'.", name)
		}
		if e.Status != ready {
			return invalid("InvalidParameterValue", "Environment named %s is in an invalid state for this operation. Must be Ready.", name)
		}
		both = append(both, e)
	}
	if both[0] == both[1] {
		return invalid("InvalidParameterValue", "Source and destination must be two environments.")
	}
	b.waiting = b.unseen
	b.start = func() {
		b.start = nil
		b.exchange(both, source, destination)
	}
	if b.waiting == 0 {
		b.start()
	}
	return nil
}

func (b *Beanstalk) exchange(both []*Environment, source, destination string) {
	b.event(both, fmt.Sprintf("Swapping CNAMEs for environments '%s' and '%s'.", source, destination))
	both[0].Status, both[1].Status = "Updating", "Updating"
	b.underway = b.slow
	b.swap = func() {
		both[0].CNAME, both[1].CNAME = both[1].CNAME, both[0].CNAME
		both[0].Status, both[1].Status = ready, ready
		both[0].Updated, both[1].Updated = time.Now(), time.Now()
		b.event(both, fmt.Sprintf("Completed swapping CNAMEs for environments '%s' and '%s'.", source, destination))
	}
	if b.slow == 0 {
		b.finish()
	}
}

func (b *Beanstalk) event(both []*Environment, message string) {
	for _, e := range both {
		b.events = append(b.events, event{time.Now(), e.Name, message})
	}
}

// tell lists events, the newest first.
func (b *Beanstalk) tell(in *node) (*node, *fault) {
	list := element("Events")
	for _, e := range slices.Backward(b.events) {
		if name := in.str("EnvironmentName"); name != "" && name != e.environment {
			continue
		}
		list.add(element("member", text("EventDate", e.at.UTC().Format(time.RFC3339Nano)),
			text("EnvironmentName", e.environment), text("Message", e.message), text("Severity", "INFO")))
	}
	return element("", list), nil
}

// Pick is the environment that answers for the CNAME, as somebody sees it whose
// resolver has forgotten what it knew.
func (b *Beanstalk) Pick(cname string) string { return b.Holder(strings.TrimSuffix(cname, domain)) }
