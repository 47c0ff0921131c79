// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// promoteLook is how far stable is from running what the candidate runs, in full strength
// and in service.
func (x *Workload) promoteLook(ctx context.Context, r strategy.Ref) (outlook, error) {
	if r.Back {
		return x.stableLook(ctx, r)
	}
	stable, candidate, found, err := x.pair(ctx, r.Release.Arms())
	if err != nil {
		return outlook{}, err
	}
	if err := admit(stable.Unstructured, r.Fence); err != nil {
		return outlook{}, fmt.Errorf("deployment %s: %w", stable.GetName(), err)
	}
	rec := stable.record()
	switch owner, owned := kube.OwnerOf(stable); {
	case !found:
		return failed("Deployment %s of the candidate is not there", x.name(r.Release.Arms().Candidate)), nil
	case rec.Run != r.Run:
		return failed("Deployment %s has no record of the run: the plan must have a %q task before %q", stable.GetName(), CapacityTask, PromoteTask), nil
	case owned && owner.Reverts() && !x.o.Unowned:
		return failed("%v puts back what is written to Deployment %s: promote there, or have it ignore that and set Options.Unowned", owner, stable.GetName()), nil
	case rec.Promoted != "" && stable.digest() == rec.Promoted && stable.replicas() >= rec.Replicas:
		return x.arrived(ctx, stable, full(stable, candidate, found))
	case rec.Promoted != taken && changed(stable, rec):
		return failed("the template of stable's Deployment %s was changed%s since the rollout began", stable.GetName(), writer(stable)), nil
	case candidate.digest() != candidate.record().Template:
		return failed("the template of the candidate's Deployment %s was changed%s since it was judged", candidate.GetName(), writer(candidate)), nil
	case stable.resting() && stable.rested(time.Now()) < x.o.Grace:
		return running("Deployment %s takes the template %v after it was declared to be resting", stable.GetName(), x.o.Grace), nil
	case rec.Promoted == "" && !stable.resting():
		return todo("Deployment %s is to be declared to be resting", stable.GetName()), nil
	}
	return todo("Deployment %s is to take the candidate's template", stable.GetName()), nil
}

// promoteDo takes the next step: stable is declared to be resting, takes the template, and,
// once its pods are there, is in service again. Nothing of it is done unless the candidate
// is observed to have everything.
func (x *Workload) promoteDo(ctx context.Context, r strategy.Ref) error {
	o, err := x.promoteLook(ctx, r)
	if err != nil || o.status != strategy.TaskTodo {
		return err
	}
	arms := r.Release.Arms()
	candidate, _, err := x.deployment(ctx, arms.Candidate)
	if err != nil {
		return err
	}
	written, err := x.editArm(ctx, arms.Stable, r.Fence, func(d deployment) error {
		rec := d.record()
		ready := rec.Promoted != "" && d.digest() == rec.Promoted && d.replicas() >= rec.Replicas
		switch {
		case ready && d.rolled() && d.available() >= rec.Replicas:
			note(d.Unstructured, resting, "")
			return nil
		case ready:
			return nil
		}
		if err := x.idle(ctx, arms, arms.Stable); err != nil {
			return err
		}
		if !d.resting() {
			note(d.Unstructured, resting, time.Now().UTC().Format(time.RFC3339Nano))
			return nil
		}
		if d.rested(time.Now()) < x.o.Grace {
			return nil
		}
		return d.take(rec, candidate)
	})
	if err != nil {
		return err
	}
	return x.sealPromoted(ctx, r, arms, written)
}

// take gives stable the candidate's template, under its own labels.
func (d deployment) take(rec record, candidate deployment) error {
	if rec.Pod == nil {
		rec.Pod = d.template()
	}
	rec.Promoted = taken
	if err := d.setRecord(rec); err != nil {
		return err
	}
	template := candidate.template()
	labels := field[map[string]any](template, "metadata", "labels")
	for key := range candidate.selects() {
		delete(labels, key)
	}
	for key, value := range d.selects() {
		if err := set(template, value, "metadata", "labels", key); err != nil {
			return err
		}
	}
	if n := d.replicas(); n < rec.Replicas {
		if err := set(d.Object, rec.Replicas, "spec", "replicas"); err != nil {
			return err
		}
	}
	return set(d.Object, template, "spec", "template")
}

// taken stands for the hash of the template until it is known what it became.
const taken = "taken"

// sealPromoted notes what the template became as it was written.
func (x *Workload) sealPromoted(ctx context.Context, r strategy.Ref, arms traffic.Arms, written deployment) error {
	if written.record().Promoted != taken {
		return nil
	}
	_, err := x.editArm(ctx, arms.Stable, r.Fence, func(d deployment) error {
		rec := d.record()
		if rec.Promoted == taken {
			rec.Promoted = written.digest()
		}
		return d.setRecord(rec)
	})
	return err
}

// stableLook is how far stable is from carrying everything as it did when the run began.
func (x *Workload) stableLook(ctx context.Context, r strategy.Ref) (outlook, error) {
	stable, candidate, found, err := x.pair(ctx, r.Release.Arms())
	if err != nil {
		return outlook{}, err
	}
	rec := stable.record()
	if rec.Run != r.Run {
		return done("Deployment %s is as it was", stable.GetName()), nil
	}
	all := full(stable, candidate, found)
	switch {
	case rec.Promoted != "" && stable.digest() != rec.Template:
		return todo("Deployment %s is to take back its template", stable.GetName()), nil
	case stable.replicas() < all:
		return todo("Deployment %s has %d of %d replicas", stable.GetName(), stable.replicas(), all), nil
	case admitted(stable) < r.Fence:
		return todo("Deployment %s is to be kept from those who were overtaken", stable.GetName()), nil
	}
	s, err := x.scalerOf(ctx, stable.GetName())
	switch {
	case err != nil:
		return outlook{}, err
	case !s.holds(all) || s.name != "" && s.fence < r.Fence:
		return todo("%s %s is to keep %d replicas", s.kind.Resource, s.name, all), nil
	}
	return x.arrived(ctx, stable, all)
}

// stableDo brings stable back to what it was, and to its whole size, whether or not its
// scaler can be written: that only keeps it there.
func (x *Workload) stableDo(ctx context.Context, r strategy.Ref) error {
	arms := r.Release.Arms()
	stable, candidate, found, err := x.pair(ctx, arms)
	if err != nil {
		return err
	}
	if stable.record().Run != r.Run {
		return nil
	}
	all := full(stable, candidate, found)
	_, err = x.editArm(ctx, arms.Stable, r.Fence, func(d deployment) error {
		rec := d.record()
		if rec.Run != r.Run {
			return nil
		}
		if rec.Pod != nil && d.digest() != rec.Template {
			note(d.Unstructured, resting, time.Now().UTC().Format(time.RFC3339Nano))
			if err := set(d.Object, rec.Pod, "spec", "template"); err != nil {
				return err
			}
		}
		if d.replicas() < all {
			if !d.resting() && d.replicas() == 0 {
				note(d.Unstructured, resting, time.Now().UTC().Format(time.RFC3339Nano))
			}
			return set(d.Object, all, "spec", "replicas")
		}
		if d.resting() && d.rolled() && d.available() >= all && d.digest() == rec.Template {
			note(d.Unstructured, resting, "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, err := x.scalerOf(ctx, stable.GetName())
	if err != nil || s.name == "" {
		return err
	}
	return x.pinScaler(ctx, s, stable.GetName(), all, r)
}

// admitted is the fence under which an object was last written, 0 if none.
func admitted(o interface{ GetAnnotations() map[string]string }) (fence uint64) {
	_, _ = fmt.Sscan(o.GetAnnotations()[kube.Fence], &fence)
	return fence
}

// releaseLook is how far the arm without traffic is from resting, and the other from being
// nobody's.
func (x *Workload) releaseLook(ctx context.Context, r strategy.Ref) (outlook, error) {
	if r.Back { // what Plan makes has committed by now; a plan by hand may not have
		return x.stableLook(ctx, r)
	}
	stable, candidate, found, err := x.pair(ctx, r.Release.Arms())
	if err != nil {
		return outlook{}, err
	}
	idle, serving := x.sides(stable, candidate)
	if !found {
		return failed("Deployment %s of the candidate is not there", x.name(r.Release.Arms().Candidate)), nil
	}
	for _, d := range []deployment{idle, serving} {
		if err := admit(d.Unstructured, r.Fence); err != nil {
			return outlook{}, fmt.Errorf("deployment %s: %w", d.GetName(), err)
		}
	}
	if serving.record().Run != r.Run && idle.record().Run != r.Run {
		return done("Deployment %s rests, and %s serves", idle.GetName(), serving.GetName()), nil
	}
	o, err := x.restLook(ctx, idle)
	if err != nil || o.status != strategy.TaskDone {
		return o, err
	}
	return todo("what was noted of the rollout is to be removed"), nil
}

// sides are the arm that rests at the end, and the one that serves.
func (x *Workload) sides(stable, candidate deployment) (idle, serving deployment) {
	if x.o.End == Swap {
		return stable, candidate
	}
	return candidate, stable
}

// releaseDo takes the next step. Stable's record goes last: until then the task knows that
// it is not done.
func (x *Workload) releaseDo(ctx context.Context, r strategy.Ref) error {
	stable, candidate, found, err := x.pair(ctx, r.Release.Arms())
	if err != nil || !found {
		return err
	}
	idle, _ := x.sides(stable, candidate)
	if rested, err := x.rest(ctx, r, idle); err != nil || !rested {
		return err
	}
	if err := x.collect(ctx, r); err != nil {
		return err
	}
	for _, d := range []deployment{candidate, stable} {
		if err := x.unpin(ctx, d.GetName(), r); err != nil {
			return err
		}
		if _, err := x.edit(ctx, deployments, d.GetName(), r.Fence, func(o *unstructured.Unstructured) error {
			if (deployment{o}).record().Run == r.Run {
				note(o, kube.Original, "")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
