// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// homeLook is how far the candidate is from resting after a return, and stable from being
// what it was.
func (x *Workload) homeLook(ctx context.Context, r strategy.Ref, stable, candidate deployment, found bool) (outlook, error) {
	if found && candidate.record().Run == r.Run {
		o, err := x.restLook(ctx, candidate)
		if err != nil || o.status != strategy.TaskDone {
			return o, err
		}
		return todo("what was noted of Deployment %s is to be removed", candidate.GetName()), nil
	}
	if stable.record().Run == r.Run {
		return todo("what was noted of Deployment %s is to be removed", stable.GetName()), nil
	}
	return done("the candidate rests"), nil
}

// undo lets the candidate rest, and then gives the autoscalers back what they had.
func (c capacity) undo(ctx context.Context, r strategy.Ref) error {
	arms := r.Release.Arms()
	stable, candidate, found, err := c.pair(ctx, arms)
	if err != nil {
		return err
	}
	if found && candidate.record().Run == r.Run {
		if rested, err := c.rest(ctx, r, candidate); err != nil || !rested {
			return err
		}
		if err := c.forget(ctx, r, candidate); err != nil {
			return err
		}
	}
	if stable.record().Run != r.Run {
		return nil
	}
	if err := c.collect(ctx, r); err != nil {
		return err
	}
	return c.forget(ctx, r, stable)
}

// forget gives a Deployment's autoscaler back what it had, and removes the run's record.
func (x *Workload) forget(ctx context.Context, r strategy.Ref, d deployment) error {
	if err := x.unpin(ctx, d.GetName(), r); err != nil {
		return err
	}
	_, err := x.edit(ctx, deployments, d.GetName(), r.Fence, noted(kube.Original, ""))
	return err
}

// restLook is how far a Deployment is from resting.
func (x *Workload) restLook(ctx context.Context, d deployment) (outlook, error) {
	keep, floor, err := x.keep(ctx, d)
	if err != nil {
		return outlook{}, err
	}
	settled := d.observed() && d.total() <= d.replicas()
	switch {
	case d.replicas() <= keep && settled && d.total() <= keep && d.terminating() == 0:
		return done("Deployment %s rests with %d pods", d.GetName(), d.total()), nil
	case !d.resting():
		return todo("Deployment %s is to be declared to be resting", d.GetName()), nil
	case d.rested(time.Now()) < x.o.Grace:
		return running("Deployment %s is scaled down %v after it was declared to be resting", d.GetName(), x.o.Grace), nil
	case d.replicas() <= keep || !settled:
		return running("Deployment %s has %d pods, %d of them ending, and goes to %d", d.GetName(), d.total(), d.terminating(), keep), nil
	}
	to, why, err := x.stride(ctx, d, keep, floor)
	switch {
	case err != nil:
		return outlook{}, err
	case to >= d.replicas():
		return running("Deployment %s keeps its %d pods: %s", d.GetName(), d.replicas(), why), nil
	}
	return todo("Deployment %s goes from %d replicas to %d", d.GetName(), d.replicas(), to), nil
}

// rest brings a Deployment one step nearer to resting, and says whether it rests. Nothing
// is scaled down that has traffic: the route is looked at after the Deployment was read,
// under whose resourceVersion it is then written.
func (x *Workload) rest(ctx context.Context, r strategy.Ref, d deployment) (rested bool, err error) {
	o, err := x.restLook(ctx, d)
	if err != nil || o.status != strategy.TaskTodo {
		return o.status == strategy.TaskDone, err
	}
	arms := r.Release.Arms()
	arm := arms.Candidate
	if d.GetName() == x.name(arms.Stable) {
		arm = arms.Stable
	}
	if d.resting() {
		if err := x.unpin(ctx, d.GetName(), r); err != nil {
			return false, err
		}
	}
	_, err = x.editArm(ctx, arm, r.Fence, func(d deployment) error {
		if err := x.idle(ctx, arms, arm); err != nil {
			return err
		}
		switch {
		case !d.resting():
			note(d.Unstructured, resting, time.Now().UTC().Format(time.RFC3339Nano))
			return nil
		case d.rested(time.Now()) < x.o.Grace:
			return nil
		}
		keep, floor, err := x.keep(ctx, d)
		if err != nil {
			return err
		}
		to, _, err := x.stride(ctx, d, keep, floor)
		if err != nil || to >= d.replicas() {
			return err
		}
		return set(d.Object, to, "spec", "replicas")
	})
	return false, err
}

// stride is how many replicas a Deployment may be left with now. A PodDisruptionBudget
// counts if it covers other pods, too: one that is about these alone guards what has no
// traffic, and would keep the Deployment from ever resting.
func (x *Workload) stride(ctx context.Context, d deployment, keep, floor int64) (to int64, why string, err error) {
	found, err := x.list(ctx, budgets, metav1.ListOptions{})
	if err != nil {
		return 0, "", err
	}
	to = keep
	for _, b := range found {
		covers, err := selector(b.Object, "spec", "selector")
		if err != nil {
			return 0, "", fmt.Errorf("PodDisruptionBudget %s: %w", b.GetName(), err)
		}
		if !covers.Matches(d.podLabels()) || number(b.Object, "status", "expectedPods") <= d.replicas() {
			continue
		}
		allowed := number(b.Object, "status", "disruptionsAllowed")
		if number(b.Object, "status", "observedGeneration") < b.GetGeneration() {
			allowed = 0
		}
		if least := d.replicas() - allowed; least > to {
			to, why = least, fmt.Sprintf("PodDisruptionBudget %s allows %d disruptions now", b.GetName(), allowed)
		}
	}
	if to > keep && to < floor { // its autoscaler would bring it back up
		to = min(floor, d.replicas())
	}
	return to, why, nil
}

// keep is how many pods a resting Deployment has, and how many its autoscaler lets it have
// at least while it has any.
func (x *Workload) keep(ctx context.Context, d deployment) (keep, floor int64, err error) {
	s, err := x.scalerOf(ctx, d.GetName())
	if err != nil {
		return 0, 0, err
	}
	if keep = int64(x.o.Warm); keep > 0 {
		keep = max(keep, s.least)
	}
	return keep, s.least, nil
}

// sorted joins what was said, with what to put before it.
func sorted(said []string) string {
	if len(said) == 0 {
		return ""
	}
	slices.Sort(said)
	return ": " + strings.Join(said, "; ")
}
