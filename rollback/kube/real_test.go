// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
	"github.com/rheostat-go/rheostat/rollback/rollbacktest"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// live is a workload on a real control plane.
type live struct {
	tb        testing.TB
	kind      string
	cluster   *kubetest.Cluster
	client    dynamic.Interface
	namespace string
	// more is YAML of the workload's spec.
	more string
}

func newReal(tb testing.TB, kind, more string, images ...string) *live {
	tb.Helper()
	cluster := kubetest.Shared(tb)
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		tb.Fatal(err)
	}
	r := &live{tb: tb, kind: kind, cluster: cluster, client: client, namespace: cluster.Namespace(tb), more: more}
	for i, image := range images {
		r.deploy(image)
		if i < len(images)-1 || !strings.HasSuffix(image, "broken") {
			r.settle(r.target(kube.Options{}))
		}
	}
	return r
}

func (r *live) deploy(image string) {
	r.tb.Helper()
	r.cluster.Apply(r.tb, fmt.Sprintf(`
apiVersion: apps/v1
kind: %s
metadata: {name: web, namespace: %s, annotations: {team: shop}}
spec:
  selector: {matchLabels: {app: web}}
%s
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "%s"}]
      volumes: [{name: tmp, emptyDir: {}}]
`, r.kind, r.namespace, r.more, image))
}

func (r *live) target(o kube.Options) *kube.Target {
	r.tb.Helper()
	t, err := kinds[r.kind].make(r.client, r.namespace, "web", o)
	if err != nil {
		r.tb.Fatal(err)
	}
	return t
}

// settle waits until what is asked for is healthy, and nothing is written any more.
func (r *live) settle(t *kube.Target) {
	r.tb.Helper()
	kubetest.Eventually(r.tb, "health", func(ctx context.Context) error {
		now, _, err := t.Current(ctx)
		s, seen := t.Observe(ctx)
		if err := errors.Join(err, seen); err != nil {
			return err
		}
		if health, reason := s.Judge(now); health != rollback.Healthy {
			return fmt.Errorf("it is %v: %s", health, reason)
		}
		return nil
	})
}

// is waits until what is observed has this health, and a reason with this in it.
func is(tb testing.TB, t *kube.Target, want rollback.Health, why string) {
	tb.Helper()
	kubetest.Eventually(tb, want.String(), func(ctx context.Context) error {
		s, err := t.Observe(ctx)
		if err == nil && (s.Health != want || !strings.Contains(s.Reason, why)) {
			err = fmt.Errorf("it is %v: %s", s.Health, s.Reason)
		}
		return err
	})
}

func (r *live) patch(text string) {
	r.tb.Helper()
	_, err := r.client.Resource(kinds[r.kind].gvr).Namespace(r.namespace).
		Patch(r.tb.Context(), "web", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "kubectl"})
	if err != nil {
		r.tb.Fatal(err)
	}
}

// ledger knows web:1 as good, and what runs as deployed.
func (r *live) ledger(t *kube.Target, good string) rollback.Ledger {
	r.tb.Helper()
	l := rollback.Ledger{Service: "web"}
	now, _ := current(r.tb, t)
	l, err := l.Deployed(time.Now(), revision(r.tb, t, good))
	if err == nil {
		l, err = l.Baked(time.Now(), revision(r.tb, t, good).Digest)
	}
	if err == nil {
		l, err = l.Deployed(time.Now(), now)
	}
	if err != nil {
		r.tb.Fatal(err)
	}
	return l
}

func options(why string) rollback.Options {
	return rollback.Options{
		Ask: rollback.Ask{By: "test", Why: why}, Poll: 50 * time.Millisecond, Stable: 200 * time.Millisecond, Deadline: time.Minute,
	}
}

func TestRealEachKindKeepsTheLaw(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			rollbacktest.Run(t, func(t *testing.T) rollbacktest.Subject {
				t.Helper()
				r := newReal(t, kind, "", "web:1", "web:2", "web:3")
				return rollbacktest.Subject{
					Target: r.target(kube.Options{}),
					Touch: func(context.Context) error {
						r.patch(`{"metadata":{"annotations":{"touched":"yes"}}}`)
						return nil
					},
				}
			})
		})
	}
}

func TestRealABrokenRevisionIsUndoneAndStaysUndone(t *testing.T) {
	t.Parallel()
	for kind, more := range map[string]string{
		"Deployment": "  replicas: 2\n  progressDeadlineSeconds: 2", "StatefulSet": "  replicas: 2", "DaemonSet": "",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newReal(t, kind, more, "web:1", "web:2", "web:broken")
			target := r.target(kube.Options{Unstick: true})
			if kind == "Deployment" {
				is(t, target, rollback.Failed, "")
			}
			r.patch(`{"metadata":{"annotations":{"pager":"on"}}}`)
			bad, _ := current(t, target)
			result, err := rollback.Do(t.Context(), target, r.ledger(target, "web:2"), options("it never got ready"))
			if err != nil {
				t.Fatal(err)
			}
			now, _ := current(t, target)
			if now != revision(t, target, "web:2") || result.Outcome != rollback.RolledBack {
				t.Errorf("%v at %v", result.Outcome, now)
			}
			u, err := r.client.Resource(kinds[kind].gvr).Namespace(r.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if notes := u.GetAnnotations(); notes["pager"] != "on" || notes["team"] != "shop" || !strings.HasPrefix(notes["kubernetes.io/change-cause"], "rollback from ") {
				t.Errorf("annotations: %v", notes)
			}
			// The previous revision is the bad one now, and nothing goes there by itself.
			_, err = rollback.Do(t.Context(), target, result.Ledger, options("again"))
			if !errors.Is(err, rollback.ErrRefused) {
				t.Errorf("a second return: %v", err)
			}
			ask := options("wrong button")
			ask.Trigger, ask.To = rollback.Human, bad.ID
			if _, err = rollback.Do(t.Context(), target, result.Ledger, ask); !errors.Is(err, rollback.ErrQuarantined) {
				t.Errorf("a return to the bad one: %v", err)
			}
		})
	}
}

func TestRealADeadlineOfTheRevisionBeforeIsNotThatOfThisOne(t *testing.T) {
	t.Parallel()
	r := newReal(t, "Deployment", "  replicas: 1\n  progressDeadlineSeconds: 2", "web:1", "web:broken")
	target := r.target(kube.Options{})
	is(t, target, rollback.Failed, "")
	to := revision(t, target, "web:1")
	_, token := current(t, target)
	if _, err := target.Apply(t.Context(), to, token, "k1"); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "health", func(ctx context.Context) error {
		s, err := target.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		health, reason := s.Judge(to)
		if health == rollback.Failed {
			t.Fatalf("failed by what came before: %s", reason)
		}
		if health != rollback.Healthy {
			return fmt.Errorf("it is %v: %s", health, reason)
		}
		return nil
	})
}

func TestRealAStatefulSetWaitsForABrokenPodUnlessItIsUnstuck(t *testing.T) {
	t.Parallel()
	r := newReal(t, "StatefulSet", "  replicas: 3", "web:1", "web:broken")
	target := r.target(kube.Options{})
	kubetest.Eventually(t, "the broken pod", func(ctx context.Context) error {
		u, err := r.client.Resource(podsOf).Namespace(r.namespace).Get(ctx, "web-2", metav1.GetOptions{})
		if err != nil {
			return err
		}
		phase := nested(u, "status")["phase"]
		if phase != "Pending" || !strings.Contains(fmt.Sprint(nested(u, "spec")), "web:broken") {
			return fmt.Errorf("web-2 is %v", phase)
		}
		return nil
	})
	to := revision(t, target, "web:1")
	_, token := current(t, target)
	if _, err := target.Apply(t.Context(), to, token, "k1"); err != nil {
		t.Fatal(err)
	}
	is(t, target, rollback.Degraded, "pod web-2 ")
	// The same decision again, by somebody who may unstick it.
	if _, err := r.target(kube.Options{Unstick: true}).Apply(t.Context(), to, token, "k1"); err != nil {
		t.Fatal(err)
	}
	r.settle(target)
}

// A deploy slips in between what kubectl rollout undo reads and what it writes, and is lost.
func TestRealADeployThatKubectlWouldOverwriteIsKept(t *testing.T) {
	t.Parallel()
	r := newReal(t, "Deployment", "", "web:1", "web:2")
	target := r.target(kube.Options{})
	to := revision(t, target, "web:1")
	_, token := current(t, target)
	r.deploy("web:3") // between the decision and the write
	if _, err := target.Apply(t.Context(), to, token, "k1"); !errors.Is(err, rollback.ErrConflict) || !strings.Contains(err.Error(), "kubetest wrote last") {
		t.Errorf("%v", err)
	}
	r.settle(target)
	if now, _ := current(t, target); now != revision(t, target, "web:3") {
		t.Errorf("the deploy was lost: %v", now)
	}
	old, err := r.client.Resource(apps("replicasets")).Namespace(r.namespace).Get(t.Context(), entry(t, target, "web:1").Object, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	template := nested(old, "spec", "template")
	unstructured.RemoveNestedField(template, "metadata", "labels", "pod-template-hash")
	kubectls, err := json.Marshal([]any{map[string]any{"op": "replace", "path": "/spec/template", "value": template}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.client.Resource(apps("deployments")).Namespace(r.namespace).
		Patch(t.Context(), "web", types.JSONPatchType, kubectls, metav1.PatchOptions{FieldManager: "kubectl"})
	if now, _ := current(t, target); err != nil || now != to {
		t.Errorf("what kubectl sends did not overwrite the deploy: %v %v; it has learnt better, and so may this test", now, err)
	}
}
