// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
	"github.com/rheostat-go/rheostat/rollback/rollbacktest"
)

func TestEachKindKeepsTheLaw(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rollbacktest.Run(t, func(t *testing.T) rollbacktest.Subject {
				t.Helper()
				w := withHistory(t, kind, "web:1", "web:2", "web:3")
				return rollbacktest.Subject{
					Target: w.target(kube.Options{}),
					Touch: func(context.Context) error {
						w.patch("hpa", `{"spec":{"replicas":3}}`)
						return nil
					},
				}
			})
		})
	}
}

func TestARevisionKeepsItsNameWhenItsNumberMoves(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2", "web:3")
		target := w.target(kube.Options{})
		before := entry(t, target, "web:2")
		_, token := current(t, target)
		if _, err := target.Apply(t.Context(), before.Revision, token, "k"); err != nil {
			t.Fatal(err)
		}
		w.look()
		after := entry(t, target, "web:2")
		if before.Number != 2 || after.Number != 4 || before.Revision != after.Revision || !after.Current {
			t.Errorf("%s: was %+v, is %+v", kind, before, after)
		}
		// "Previous" is the bad one now; it is no name.
		for _, name := range []string{"0", "-1", "previous", ""} {
			if _, err := target.Find(t.Context(), name); !errors.Is(err, rollback.ErrNoTarget) {
				t.Errorf("%s: %q was found: %v", kind, name, err)
			}
		}
		for _, name := range []string{"4", before.ID, before.Object} {
			if e, err := target.Find(t.Context(), name); err != nil || e.Revision != before.Revision {
				t.Errorf("%s: %q is %v, %v", kind, name, e, err)
			}
		}
	}
}

func TestARestartIsNoNewRevision(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		before, _ := current(t, target)
		w.patch("kubectl", `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-02T15:04:05Z"}}}}}`)
		w.look()
		after, _ := current(t, target)
		history, err := target.History(t.Context())
		if err != nil || before != after || len(history) != 2 {
			t.Errorf("%s: %v became %v, history %v %v", kind, before, after, history, err)
		}
	}
}

func TestAnnotationsThatCameLaterStay(t *testing.T) {
	t.Parallel()
	w := withHistory(t, "Deployment", "web:1")
	w.patch("ada", `{"metadata":{"annotations":{"tier":"gold","kubectl.kubernetes.io/last-applied-configuration":"one"}}}`)
	w.look()
	w.deploy("web:2")
	w.patch("ada", `{"metadata":{"annotations":{"tier":"silver","pager":"on","kubectl.kubernetes.io/last-applied-configuration":"two"}}}`)
	target := w.target(kube.Options{})
	_, token := current(t, target)
	if _, err := target.Apply(t.Context(), revision(t, target, "web:1"), token, "k1"); err != nil {
		t.Fatal(err)
	}
	notes := w.look().GetAnnotations()
	delete(notes, "rheostat.dev/returns")
	cause := notes["kubernetes.io/change-cause"]
	delete(notes, "kubernetes.io/change-cause")
	want := map[string]string{
		"team": "shop", "tier": "gold", "pager": "on", revisionNote: "3",
		"kubectl.kubernetes.io/last-applied-configuration": "two",
	}
	if d := cmp.Diff(want, notes); d != "" {
		t.Errorf("annotations (-want +got):\n%s", d)
	}
	if !strings.HasPrefix(cause, "rollback from web-") || !strings.HasSuffix(cause, "(k1)") {
		t.Errorf("the cause is %q", cause)
	}
}

func TestOnlyTheTemplateReturns(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1")
		first := nested(w.look(), "spec", "template")
		w.patch("ci", `{"spec":{"replicas":7,"template":{"metadata":{"labels":{"new":"yes"}},"spec":{"dnsPolicy":"None","containers":[{"name":"web","image":"web:2","env":[]}]}}}}`)
		w.look()
		target := w.target(kube.Options{})
		_, token := current(t, target)
		if _, err := target.Apply(t.Context(), revision(t, target, "web:1"), token, "k1"); err != nil {
			t.Fatal(err)
		}
		spec := nested(w.look(), "spec")
		if d := cmp.Diff(first, spec["template"]); d != "" || spec["replicas"] != int64(7) {
			t.Errorf("%s: replicas %v, template (-want +got):\n%s", kind, spec["replicas"], d)
		}
	}
}

func TestADeployInBetweenIsNotOverwritten(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		_, token := current(t, target)
		to := revision(t, target, "web:1")
		w.deploy("web:3")
		_, err := target.Apply(t.Context(), to, token, "k1")
		if !errors.Is(err, rollback.ErrConflict) || !strings.Contains(err.Error(), "ci wrote last") {
			t.Errorf("%s: %v", kind, err)
		}
		if now, _ := current(t, target); now != revision(t, target, "web:3") {
			t.Errorf("%s: the deploy was overwritten", kind)
		}
	}
}

func TestAStatusThatIsWrittenInBetweenIsNoConflict(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		_, token := current(t, target)
		to := revision(t, target, "web:1")
		n := 0
		w.interleave(func() {
			if n++; n < 6 {
				w.status["conditions"] = []any{map[string]any{"type": "Touched", "status": fmt.Sprint(n)}}
			}
		})
		if _, err := target.Apply(t.Context(), to, token, "k1"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestARefusalSaysTheWayOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, kind, patch, want string }{
		{"Argo CD", "Deployment", `{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"shop:apps/Deployment:prod/web"}}}`, "argocd app rollback shop"},
		{"Flux", "Deployment", `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":"apps"}}}`, "suspend it"},
		{"Helm", "Deployment", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"},"annotations":{"meta.helm.sh/release-name":"web"}}}`, "AcceptHelm"},
		{"a controller", "StatefulSet", `{"metadata":{"ownerReferences":[{"apiVersion":"db/v1","kind":"Database","name":"shop","uid":"1","controller":true}]}}`, "Database shop"},
		{"a pause", "Deployment", `{"spec":{"paused":true}}`, "resume it"},
		{"on delete", "DaemonSet", `{"spec":{"updateStrategy":{"type":"OnDelete"}}}`, "RollingUpdate"},
		{"a partition", "StatefulSet", `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}`, "lower the partition"},
	} {
		w := withHistory(t, c.kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		to := revision(t, target, "web:1")
		if err := target.Preflight(t.Context(), to); err != nil {
			t.Errorf("%s: before: %v", c.name, err)
		}
		w.patch("somebody", c.patch)
		_, token := current(t, target)
		_, err := target.Apply(t.Context(), to, token, "k1")
		for doing, err := range map[string]error{"preflight": target.Preflight(t.Context(), to), "apply": err} {
			if !errors.Is(err, rollback.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s: %v, want %q", c.name, doing, err, c.want)
			}
		}
		if err := w.target(kube.Options{AcceptHelm: true}).Preflight(t.Context(), to); (err == nil) != (c.name == "Helm") {
			t.Errorf("%s: with AcceptHelm: %v", c.name, err)
		}
	}
}

func TestAHistoryThatIsNotKeptIsExplained(t *testing.T) {
	t.Parallel()
	w := withHistory(t, "Deployment", "web:1", "web:2")
	target := w.target(kube.Options{})
	e := entry(t, target, "web:1")
	w.server.Delete(apps("replicasets"), namespace, e.Object)
	if err := target.Preflight(t.Context(), e.Revision); !errors.Is(err, rollback.ErrNoTarget) || !strings.Contains(err.Error(), "is 10") {
		t.Errorf("%v", err)
	}
	w.patch("ada", `{"spec":{"revisionHistoryLimit":0}}`)
	if err := target.Preflight(t.Context(), e.Revision); !errors.Is(err, rollback.ErrNoTarget) || !strings.Contains(err.Error(), "set it to at least 1") {
		t.Errorf("%v", err)
	}
}

func TestAReplicaSetOfAnotherWithTheSameLabelsIsNone(t *testing.T) {
	t.Parallel()
	w := withHistory(t, "Deployment", "web:1", "web:2")
	w.server.Add(apps("replicasets"), "ReplicaSet", namespace, "alien", map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "web"}, "annotations": map[string]any{revisionNote: "9"}},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}}}},
	})
	if history, err := w.target(kube.Options{}).History(t.Context()); err != nil || len(history) != 2 {
		t.Errorf("%v %v", history, err)
	}
}

func TestAWorkloadThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "Deployment")
	if _, _, err := w.target(kube.Options{}).Current(t.Context()); !errors.Is(err, rollback.ErrRefused) {
		t.Errorf("%v", err)
	}
	if _, err := kube.Deployment(nil, "", "web", kube.Options{}); err == nil {
		t.Error("a target without a client")
	}
}
