// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"errors"
	"maps"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
)

func conditions(kind, status, reason, message string) []any {
	return []any{map[string]any{"type": kind, "status": status, "reason": reason, "message": message}}
}

func TestHealthIsWhatTheStatusShows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		spec       string
		status     map[string]any
		want       rollback.Health
		ready      float64
		reason     string
	}{
		{"all there", "Deployment", `{}`, nil, rollback.Healthy, 1, "2 of 2 pods are available"},
		{"replicas not set are one", "Deployment", `{"spec":{"replicas":null}}`, map[string]any{"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, rollback.Healthy, 1, "1 of 1"},
		{"not all updated", "Deployment", `{}`, map[string]any{"updatedReplicas": 1}, rollback.Progressing, 1, "1 of 2 pods are updated"},
		{"old pods left", "Deployment", `{}`, map[string]any{"replicas": 3}, rollback.Progressing, 1, "1 pods of other revisions"},
		{"not all available", "Deployment", `{}`, map[string]any{"availableReplicas": 1}, rollback.Progressing, 0.5, "1 of 2 pods are available"},
		{"crashed later", "Deployment", `{}`, map[string]any{"availableReplicas": 1, "conditions": conditions("Progressing", "True", "NewReplicaSetAvailable", "")}, rollback.Degraded, 0.5, "all were"},
		{"past its deadline", "Deployment", `{}`, map[string]any{"availableReplicas": 1, "conditions": conditions("Progressing", "False", "ProgressDeadlineExceeded", "ReplicaSet CURRENT has timed out progressing.")}, rollback.Failed, 0.5, "timed out"},
		{"past another's deadline", "Deployment", `{}`, map[string]any{"availableReplicas": 1, "conditions": conditions("Progressing", "False", "ProgressDeadlineExceeded", "ReplicaSet OTHER has timed out progressing.")}, rollback.Progressing, 0.5, "1 of 2 pods are available"},
		{"a collision is nothing", "Deployment", `{}`, map[string]any{"collisionCount": 3}, rollback.Healthy, 1, "2 of 2"},
		{"paused on its way", "Deployment", `{"spec":{"paused":true}}`, map[string]any{"updatedReplicas": 0}, rollback.Degraded, 1, "paused"},
		{"none wanted", "Deployment", `{"spec":{"replicas":0}}`, map[string]any{"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}, rollback.Degraded, math.NaN(), "not a number"},

		{"all there", "StatefulSet", `{}`, nil, rollback.Healthy, 1, "2 of 2"},
		{"not all updated", "StatefulSet", `{}`, map[string]any{"updatedReplicas": 1}, rollback.Progressing, 1, "1 of 2 pods are updated"},
		{"a partition updated", "StatefulSet", `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":1}}}}`, map[string]any{"updatedReplicas": 1}, rollback.Healthy, 1, "2 of 2"},
		{"not all ready", "StatefulSet", `{}`, map[string]any{"availableReplicas": 1}, rollback.Progressing, 0.5, "1 of 2 pods are available"},
		{"on delete", "StatefulSet", `{"spec":{"updateStrategy":{"type":"OnDelete"}}}`, map[string]any{"updatedReplicas": 1}, rollback.Degraded, 1, "OnDelete"},

		{"all there", "DaemonSet", `{}`, nil, rollback.Healthy, 1, "2 of 2"},
		{"not all updated", "DaemonSet", `{}`, map[string]any{"updatedNumberScheduled": 1}, rollback.Progressing, 1, "1 of 2 pods are updated"},
		{"not all available", "DaemonSet", `{}`, map[string]any{"numberAvailable": 1}, rollback.Progressing, 0.5, "1 of 2 pods are available"},
		{"on delete", "DaemonSet", `{"spec":{"updateStrategy":{"type":"OnDelete"}}}`, map[string]any{"updatedNumberScheduled": 1}, rollback.Degraded, 1, "OnDelete"},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			t.Parallel()
			w := withHistory(t, c.kind, "web:1", "web:2")
			w.patch("ada", c.spec)
			target := w.target(kube.Options{})
			maps.Copy(w.status, c.status)
			if list, ok := w.status["conditions"].([]any); ok {
				m, _ := list[0].(map[string]any)
				text, _ := m["message"].(string)
				text = strings.Replace(text, "CURRENT", `"`+entry(t, target, "web:2").Object+`"`, 1)
				m["message"] = strings.Replace(text, "OTHER", `"`+entry(t, target, "web:1").Object+`"`, 1)
			}
			s, err := target.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			now, _ := current(t, target)
			health, reason := s.Judge(now)
			same := s.Ready == c.ready || math.IsNaN(s.Ready) && math.IsNaN(c.ready)
			if health != c.want || !same || !strings.Contains(reason, c.reason) {
				t.Errorf("%v, %v ready, %q; want %v, %v, %q", health, s.Ready, reason, c.want, c.ready, c.reason)
			}
		})
	}
}

func TestAStatusOfBeforeTheChangeSaysNothing(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		w.look()
		w.asleep = true
		w.patch("ci", image("web:3"))
		s, err := target.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now, _ := current(t, target)
		if health, reason := s.Judge(now); health != rollback.Progressing || s.Observed >= s.Generation {
			t.Errorf("%s: %v (%s), generation %d, observed %d", kind, health, reason, s.Generation, s.Observed)
		}
	}
}

func TestTerminatingPodsAreToldAndWaitedForIfAskedTo(t *testing.T) {
	t.Parallel()
	w := withHistory(t, "Deployment", "web:1")
	w.status["terminatingReplicas"] = 2
	for wait, want := range map[bool]rollback.Health{false: rollback.Healthy, true: rollback.Progressing} {
		s, err := w.target(kube.Options{WaitTerminating: wait}).Observe(t.Context())
		if err != nil || s.Health != want || len(s.Notes) != 1 {
			t.Errorf("waiting %t: %+v %v", wait, s, err)
		}
	}
}

// stuck is a StatefulSet back on its first revision, with a pod of the second that never
// gets ready, and one that is ready.
func stuck(t *testing.T) *world {
	t.Helper()
	w := withHistory(t, "StatefulSet", "web:1", "web:2")
	target := w.target(kube.Options{})
	good, bad := entry(t, target, "web:1").Object, entry(t, target, "web:2").Object
	w.status["updatedReplicas"], w.status["availableReplicas"], w.status["readyReplicas"] = 0, 1, 1
	w.status["updateRevision"] = good
	u := w.look()
	for name, ready := range map[string]string{"web-0": "True", "web-1": "False"} {
		meta := owned(u, name, nil)
		meta["labels"] = map[string]any{"app": "web", "controller-revision-hash": bad}
		w.server.Add(podsOf, "Pod", namespace, name, map[string]any{
			"metadata": meta, "status": map[string]any{"conditions": conditions("Ready", ready, "", "")},
		})
	}
	return w
}

func TestAPodThatHoldsUpAStatefulSetIsNamed(t *testing.T) {
	t.Parallel()
	w := stuck(t)
	target := w.target(kube.Options{})
	_, token := current(t, target)
	if _, err := target.Apply(t.Context(), revision(t, target, "web:1"), token, "k1"); err != nil {
		t.Fatal(err)
	}
	s, err := target.Observe(t.Context())
	if err != nil || s.Health != rollback.Degraded || !strings.Contains(s.Reason, "pod web-1 ") {
		t.Errorf("%+v %v", s, err)
	}
	if w.server.Object(podsOf, namespace, "web-1") == nil {
		t.Error("it was deleted, and nobody had said so")
	}
}

func TestOnlyThePodThatHoldsUpAStatefulSetIsDeletedAndOnlyIfAskedTo(t *testing.T) {
	t.Parallel()
	w := stuck(t)
	target := w.target(kube.Options{Unstick: true})
	_, token := current(t, target)
	if _, err := target.Apply(t.Context(), revision(t, target, "web:1"), token, "k1"); err != nil {
		t.Fatal(err)
	}
	if w.server.Object(podsOf, namespace, "web-1") != nil || w.server.Object(podsOf, namespace, "web-0") == nil {
		t.Error("want web-1 gone, and web-0, which is ready, still there")
	}
	deletes := 0
	for _, r := range w.server.Requests() {
		if strings.HasPrefix(r, http.MethodDelete) {
			deletes++
		}
	}
	if deletes != 1 {
		t.Errorf("%d deletes", deletes)
	}
}

func TestNoPodIsDeletedForADecisionThatWasOvertaken(t *testing.T) {
	t.Parallel()
	w := stuck(t)
	target := w.target(kube.Options{Unstick: true})
	if pod, err := target.Unstick(t.Context(), revision(t, target, "web:1")); !errors.Is(err, rollback.ErrConflict) || pod != "" {
		t.Errorf("deleted %q, %v", pod, err)
	}
	// Nor before the controller knows of the change: it would make the same pod again.
	w.asleep = true
	w.patch("ada", image("web:1"))
	if pod, err := target.Unstick(t.Context(), revision(t, target, "web:1")); err != nil || pod != "" {
		t.Errorf("deleted %q, %v", pod, err)
	}
	if _, err := withHistory(t, "DaemonSet", "web:1").target(kube.Options{}).Unstick(t.Context(), rollback.Revision{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestADecisionWhoseReplyWasLostIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		w := withHistory(t, kind, "web:1", "web:2")
		target := w.target(kube.Options{})
		_, token := current(t, target)
		to := revision(t, target, "web:1")
		if _, err := target.Apply(t.Context(), to, token, "k1"); err != nil {
			t.Fatal(err)
		}
		w.deploy("web:3")
		_, token = current(t, target)
		if _, err := target.Apply(t.Context(), to, token, "k1"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if now, _ := current(t, target); now == to {
			t.Errorf("%s: the deploy after the decision was undone", kind)
		}
	}
}
