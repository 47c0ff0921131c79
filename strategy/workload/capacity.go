// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// capacity is the task that gives the candidate the pods that a share needs. It only ever
// adds some. Taken back, it lets the candidate rest.
type capacity struct {
	*Workload
	share traffic.Weight
}

func (c capacity) look(ctx context.Context, r strategy.Ref) (outlook, error) {
	arms := r.Release.Arms()
	stable, candidate, found, err := c.pair(ctx, arms)
	if err != nil {
		return outlook{}, err
	}
	if r.Back {
		return c.homeLook(ctx, r, stable, candidate, found)
	}
	for _, d := range []deployment{stable, candidate} {
		if d.Unstructured != nil {
			if err := admit(d.Unstructured, r.Fence); err != nil {
				return outlook{}, fmt.Errorf("deployment %s: %w", d.GetName(), err)
			}
		}
	}
	rec := stable.record()
	need := c.need(c.share, full(stable, candidate, found))
	switch {
	case rec.Run != r.Run:
		return todo("it has not begun"), nil
	case changed(stable, rec):
		return failed("the template of stable's Deployment %s was changed%s since the rollout began", stable.GetName(), writer(stable)), nil
	case !found:
		return todo("Deployment %s is to be made", c.name(arms.Candidate)), nil
	}
	mine := candidate.record()
	switch {
	case mine.Run != r.Run || mine.Template == "":
		return todo("Deployment %s is not the candidate's yet", candidate.GetName()), nil
	case candidate.digest() != mine.Template:
		return failed("the template of the candidate's Deployment %s was changed%s", candidate.GetName(), writer(candidate)), nil
	case candidate.replicas() < need:
		return todo("Deployment %s has %d replicas, and %v need %d", candidate.GetName(), candidate.replicas(), c.share, need), nil
	}
	return c.arrived(ctx, candidate, need)
}

// changed says that somebody else gave stable another template since the run began.
func changed(stable deployment, rec record) bool {
	now := stable.digest()
	return now != rec.Template && now != rec.Promoted
}

// writer names who wrote a template last, where the object tells.
func writer(d deployment) string {
	if w, ok := kube.LastWrite(d.GetManagedFields(), "spec", "template"); ok && w.Manager != kube.Manager {
		return " by " + w.Manager
	}
	return ""
}

// arrived is how far the pods of a Deployment are that should have need of them.
func (x *Workload) arrived(ctx context.Context, d deployment, need int64) (outlook, error) {
	switch why := x.failure(ctx, d); {
	case why != "":
		return failed("Deployment %s: %s%s", d.GetName(), why, x.trouble(ctx, d)), nil
	case d.paused():
		return failed("Deployment %s is paused", d.GetName()), nil
	case !d.observed():
		return running("Deployment %s is not looked at by its controller yet", d.GetName()), nil
	case !d.rolled():
		return running("Deployment %s has %d of %d pods of its template, and %d of others%s",
			d.GetName(), d.updated(), d.replicas(), d.total()-d.updated(), x.trouble(ctx, d)), nil
	case d.available() < need:
		return running("Deployment %s has %d pods available of the %d it needs%s", d.GetName(), d.available(), need, x.trouble(ctx, d)), nil
	case d.resting():
		return todo("Deployment %s is to be declared in service", d.GetName()), nil
	}
	return done("Deployment %s has %d pods available", d.GetName(), d.available()), nil
}

func (c capacity) do(ctx context.Context, r strategy.Ref) error {
	arms := r.Release.Arms()
	stable, err := c.begin(ctx, r)
	if err != nil {
		return err
	}
	candidate, found, err := c.deployment(ctx, arms.Candidate)
	if err != nil {
		return err
	}
	all := full(stable, candidate, found)
	if err := c.pin(ctx, stable.GetName(), all, r); err != nil {
		return err
	}
	need := c.need(c.share, all)
	if !found && c.o.Template == nil {
		return fmt.Errorf("deployment %s/%s of the candidate is not there; apply it, or set Options.Template", c.o.Namespace, c.name(arms.Candidate))
	}
	if err := c.pin(ctx, c.name(arms.Candidate), need, r); err != nil {
		return err
	}
	if found {
		return c.raise(ctx, r, stable, need)
	}
	return c.create(ctx, r, stable, need)
}

// begin notes of stable what it is at the beginning of the run.
func (x *Workload) begin(ctx context.Context, r strategy.Ref) (deployment, error) {
	return x.editArm(ctx, r.Release.Arms().Stable, r.Fence, func(d deployment) error {
		rec := d.record()
		if rec.Run == r.Run {
			return nil
		}
		if d.replicas() == 0 || d.resting() {
			return errors.New("stable has no replicas in service: what carries everything is not known")
		}
		return d.setRecord(record{Run: r.Run, Replicas: max(rec.Replicas, d.replicas()), Template: d.digest()})
	})
}

// create makes the candidate's Deployment out of stable's.
func (c capacity) create(ctx context.Context, r strategy.Ref, stable deployment, need int64) error {
	name := c.name(r.Release.Arms().Candidate)
	other := c.labels(stable, name)
	template, err := c.template(ctx, r, stable, other)
	if err != nil {
		return err
	}
	spec := runtime.DeepCopyJSON(field[map[string]any](stable.Object, "spec"))
	spec["template"], spec["replicas"] = template, need
	spec["selector"] = map[string]any{"matchLabels": stringsOf(other)}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}}
	o.SetName(name)
	o.SetNamespace(c.o.Namespace)
	o.SetLabels(other)
	note(o, kube.Fence, fmt.Sprint(r.Fence))
	if err := (deployment{o}).setRecord(record{Run: r.Run}); err != nil {
		return err
	}
	made, err := c.api(deployments).Create(ctx, o, metav1.CreateOptions{FieldManager: kube.Manager})
	switch {
	case apierrors.IsAlreadyExists(err):
		return c.raise(ctx, r, stable, need) // by ourselves, and the reply was lost; or by another
	case err != nil:
		return fmt.Errorf("make Deployment %s: %w", name, err)
	}
	if err := c.overtaken(ctx, r, made); err != nil {
		return err
	}
	return c.seal(ctx, r, deployment{made})
}

// overtaken takes back what was made, if the run had ended before: what is not there yet
// bears no fence, but stable does.
func (c capacity) overtaken(ctx context.Context, r strategy.Ref, made *unstructured.Unstructured) error {
	stable, ok, err := c.deployment(ctx, r.Release.Arms().Stable)
	if err != nil || !ok {
		return err
	}
	fenced := admit(stable.Unstructured, r.Fence)
	if fenced == nil {
		return nil
	}
	uid := made.GetUID()
	gone := c.api(deployments).Delete(ctx, made.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	return errors.Join(fmt.Errorf("deployment %s: %w", stable.GetName(), fenced), gone)
}

// raise gives the candidate the template of this run, once, and the replicas that it lacks.
func (c capacity) raise(ctx context.Context, r strategy.Ref, stable deployment, need int64) error {
	candidate, found, err := c.deployment(ctx, r.Release.Arms().Candidate)
	if err != nil || !found {
		return err
	}
	var template map[string]any
	if rec := candidate.record(); c.o.Template != nil && (rec.Run != r.Run || rec.Template == "") {
		if template, err = c.template(ctx, r, stable, textsOf(candidate.selects())); err != nil {
			return err
		}
	}
	written, err := c.editArm(ctx, r.Release.Arms().Candidate, r.Fence, func(d deployment) error {
		if rec := d.record(); rec.Run != r.Run || rec.Template == "" {
			if template != nil {
				if err := set(d.Object, template, "spec", "template"); err != nil {
					return err
				}
			}
			if err := d.setRecord(record{Run: r.Run}); err != nil {
				return err
			}
		}
		if d.replicas() < need {
			if err := set(d.Object, need, "spec", "replicas"); err != nil {
				return err
			}
		}
		if d.resting() && d.rolled() && d.available() >= need {
			note(d.Unstructured, resting, "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.seal(ctx, r, written)
}

// seal notes what the template became as it was written: the API server fills in defaults,
// so that it is not what was sent. Whatever it is afterwards is somebody else's.
func (c capacity) seal(ctx context.Context, r strategy.Ref, written deployment) error {
	d, err := c.editArm(ctx, r.Release.Arms().Candidate, r.Fence, func(d deployment) error {
		rec := d.record()
		if rec.Run != r.Run || rec.Template != "" {
			return nil
		}
		rec.Template = written.digest()
		return d.setRecord(rec)
	})
	if err != nil {
		return err
	}
	return c.adopt(ctx, d)
}

// labels are those by which the candidate's Deployment knows its pods.
func (x *Workload) labels(stable deployment, name string) map[string]string {
	labels := map[string]string{}
	for key, value := range textsOf(stable.selects()) {
		labels[key] = value
		if value == stable.GetName() && len(x.o.Labels) == 0 {
			labels[key] = name
		}
	}
	maps.Copy(labels, x.o.Labels)
	return labels
}

// template is the candidate's: stable's as Options.Template makes it, with the labels of
// the candidate and the ConfigMaps and Secrets of their contents now.
func (c capacity) template(ctx context.Context, r strategy.Ref, stable deployment, labels map[string]string) (map[string]any, error) {
	template, err := c.o.Template(r.Release, stable.template())
	if err != nil {
		return nil, err
	}
	if err := c.apart(stable, template, labels); err != nil {
		return nil, err
	}
	return template, c.freeze(ctx, stable, template)
}

// apart gives a template the candidate's labels, and refuses one whose pods would be taken
// for stable's.
func (x *Workload) apart(stable deployment, template map[string]any, labels map[string]string) error {
	for key, value := range labels {
		if err := set(template, value, "metadata", "labels", key); err != nil {
			return fmt.Errorf("the candidate's template: %w", err)
		}
	}
	selector, err := stable.selector()
	if err != nil {
		return fmt.Errorf("deployment %s: %w", stable.GetName(), err)
	}
	if selector.Matches(podLabels(template)) {
		return fmt.Errorf("%s would take the candidate's pods for its own, as would a Service that selects by %q: set Options.Labels to what the candidate's have other than stable's",
			stable.GetName(), selector)
	}
	return nil
}

func textsOf(m map[string]any) map[string]string {
	texts := make(map[string]string, len(m))
	for key, value := range m {
		if text, ok := value.(string); ok {
			texts[key] = text
		}
	}
	return texts
}

func stringsOf(m map[string]string) map[string]any {
	values := make(map[string]any, len(m))
	for key, value := range m {
		values[key] = value
	}
	return values
}

// trouble is what the pods of a Deployment say of why they are not ready, with what to put
// before it. It is for people: what cannot be read is left out.
func (x *Workload) trouble(ctx context.Context, d deployment) string {
	selector, err := d.selector()
	if err != nil {
		return ""
	}
	found, err := x.list(ctx, pods, metav1.ListOptions{LabelSelector: selector.String(), Limit: 50})
	if err != nil {
		return ""
	}
	counts := map[string]int{}
	for _, pod := range found {
		if why := ailment(pod.Object); why != "" {
			counts[why]++
		}
	}
	var said []string
	for why, n := range counts {
		said = append(said, fmt.Sprintf("%d pods: %s", n, why))
	}
	if c := d.condition("ReplicaFailure"); field[string](c, "status") == "True" {
		said = append(said, field[string](c, "message"))
	}
	return sorted(said)
}

// ailment is why a pod is not ready, "" if it does not say so.
func ailment(pod map[string]any) string {
	if field[string](pod, "metadata", "deletionTimestamp") != "" {
		return ""
	}
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, s := range field[[]any](pod, "status", list) {
			s, _ := s.(map[string]any)
			reason := field[string](s, "state", "waiting", "reason")
			if reason != "" && reason != "PodInitializing" && reason != "ContainerCreating" {
				return strings.TrimSuffix(reason+" "+field[string](s, "image"), " ")
			}
		}
	}
	if c := condition(pod, "PodScheduled"); field[string](c, "status") == "False" {
		return field[string](c, "reason") + ": " + field[string](c, "message")
	}
	return ""
}
