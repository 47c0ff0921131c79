// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// Check says before a rollout what would stop it half way, as an error for each, and what
// is allowed and probably not meant. It writes nothing.
func (x *Workload) Check(ctx context.Context, r strategy.Release) (cautions []string, err error) {
	stable, candidate, found, err := x.pair(ctx, r.Arms())
	if err != nil {
		return nil, ours(err)
	}
	c := checker{x: x}
	c.stable(stable)
	c.candidate(r, stable, candidate, found)
	all := full(stable, candidate, false)
	c.scaler(ctx, stable.GetName(), all)
	c.scaler(ctx, x.name(r.Candidate.Arm()), x.need(traffic.Full, all))
	if c.scales[stable.GetName()] && !c.scales[x.name(r.Candidate.Arm())] {
		c.warn("an autoscaler scales Deployment %s and none %s: the candidate gets what its share of %d replicas needs, and no more when the load rises",
			stable.GetName(), x.name(r.Candidate.Arm()), all)
	}
	c.owned(stable, [][]string{{"spec", "replicas"}, {"spec", "template"}})
	if found {
		c.owned(candidate, [][]string{{"spec", "replicas"}, {"spec", "template"}})
	}
	for _, name := range x.o.Configs {
		c.config(ctx, name)
	}
	return c.cautions, ours(errors.Join(c.errs...))
}

type checker struct {
	x        *Workload
	scales   map[string]bool
	cautions []string
	errs     []error
}

func (c *checker) refuse(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) warn(format string, args ...any) {
	c.cautions = append(c.cautions, fmt.Sprintf(format, args...))
}

func (c *checker) stable(d deployment) {
	switch {
	case d.replicas() == 0 || d.resting():
		c.refuse("deployment %s of stable has no replicas in service", d.GetName())
	case d.paused():
		c.refuse("deployment %s is paused: it would not take a template", d.GetName())
	case d.available() < d.replicas():
		c.warn("Deployment %s has %d of %d pods available: nothing moves before all are", d.GetName(), d.available(), d.replicas())
	}
	if run := d.record().Run; run > 0 {
		c.warn("Deployment %s is noted for run %d, which has not ended", d.GetName(), run)
	}
}

func (c *checker) candidate(r strategy.Release, stable, d deployment, found bool) {
	name := c.x.name(r.Candidate.Arm())
	labels := c.x.labels(stable, name)
	switch {
	case !found && c.x.o.Template == nil:
		c.refuse("deployment %s of the candidate is not there; apply it, or set Options.Template", name)
		return
	case found:
		labels = textsOf(d.selects())
	}
	var template map[string]any
	if c.x.o.Template == nil {
		template = d.template()
	} else if made, err := c.x.o.Template(r, stable.template()); err != nil {
		c.errs = append(c.errs, err)
		return
	} else {
		template = made
	}
	if err := c.x.apart(stable, template, labels); err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *checker) scaler(ctx context.Context, name string, need int64) {
	s, err := c.x.scalerOf(ctx, name)
	switch {
	case err != nil:
		c.errs = append(c.errs, err)
	case s.name != "" && s.most < need:
		c.refuse("%s %s lets Deployment %s have %d replicas at the most, and it needs %d: raise that", s.kind.Resource, s.name, name, s.most, need)
	}
	if c.scales == nil {
		c.scales = map[string]bool{}
	}
	c.scales[name] = s.name != ""
}

// owned tells what a system must be told that keeps the object as its sources say.
func (c *checker) owned(d deployment, fields [][]string) {
	owner, ok := kube.OwnerOf(d)
	if !ok {
		return
	}
	leave := owner.Leave(schema.GroupKind{Group: "apps", Kind: "Deployment"}, c.x.o.Namespace, d.GetName(), fields...)
	if owner.Reverts() && !c.x.o.Unowned {
		c.refuse("%v puts back what is written to Deployment %s: have it leave that alone and set Options.Unowned; %s", owner, d.GetName(), leave)
		return
	}
	c.warn("%v owns Deployment %s: %s", owner, d.GetName(), leave)
}

func (c *checker) config(ctx context.Context, text string) {
	kind, name := split(text)
	o, err := c.x.get(ctx, config{kind, name}.resource(), name)
	switch {
	case err != nil:
		c.errs = append(c.errs, err)
	case o == nil:
		c.refuse("%s of Options.Configs is not there", text)
	}
}
