// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	httproutes  = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	events      = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
)

// others are what turns the traffic of a shop without a Gateway, and autoscalers.
const others = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}], selector: {app: web, arm: web-blue}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: nginx
  rules: [{host: web.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web-blue, port: {number: 80}}}}]}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web-blue, namespace: shop}
spec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web-blue}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web-green, namespace: shop}
spec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web-green}}
`

// open applies the sample under another name, and with the patience of a test.
func (s *shop) open(t *testing.T, name, by, hold string, edits ...string) {
	t.Helper()
	sample := strings.NewReplacer(append(edits,
		"\n  hold: 1m", "\n  hold: "+hold, "drain: 30s", "drain: 1s", "progressDeadlineSeconds: 120", "progressDeadlineSeconds: 5",
		"    spec:\n", "    spec:\n      terminationGracePeriodSeconds: 0\n", "traffic: httproute/", "traffic: "+by+"/",
	)...).Replace(read(t, "sample.yaml"))
	s.apply(t, strings.ReplaceAll(others+"---\n"+sample, "web", name))
}

// TestTheControllerReleases has all that the README promises of it done by two processes
// that have the ServiceAccount of the manifests.
func TestTheControllerReleases(t *testing.T) {
	s := newShop(t)
	container := s.manifest(t)
	var args []string
	for _, arg := range container["args"].([]any) { //nolint:errcheck // a panic tells as much
		args = append(args, strings.ReplaceAll(fmt.Sprint(arg), "$(POD_NAMESPACE)", s.namespace))
	}
	// The second one asks as it would ask an API server that cannot stream a list.
	replicas := []*replica{s.start(t, args), s.start(t, args, "KUBE_FEATURE_WatchListClient=false")}
	for _, r := range replicas {
		probe(t, r.address, container)
	}
	kubefake.Control(t, s.client, httproutes, s.namespace, kubefake.Parents)

	t.Run("in parallel", func(t *testing.T) {
		t.Run("a version is promoted, and a broken one goes home", func(t *testing.T) {
			t.Parallel()
			s.promoted(t)
		})
		t.Run("the first version is broken, and a mended one is promoted", func(t *testing.T) {
			t.Parallel()
			s.broken(t)
		})
		t.Run("a Service is switched to and fro, each time that it is approved", func(t *testing.T) {
			t.Parallel()
			s.approved(t)
		})
		t.Run("an operator aborts, under their own name only", func(t *testing.T) {
			t.Parallel()
			s.aborted(t)
		})
		t.Run("another replica goes on where one was killed", func(t *testing.T) {
			t.Parallel()
			s.killed(t, replicas)
		})
	})
	for _, r := range replicas {
		if err := r.process.Process.Signal(syscall.SIGTERM); err == nil {
			if err := <-r.ended; err != nil {
				t.Errorf("a replica that is asked to end: %v", err)
			}
		}
	}
	s.rights(t, replicas)
}

func (s *shop) promoted(t *testing.T) {
	t.Helper()
	s.open(t, "one", "httproute", "100ms")
	s.until(t, "one", status{Run: int64(1), Phase: "promoted", Candidate: "v2"})
	s.serves(t, "one", "0/0 v1, 3/3 v2")

	if err := s.patch(t.Context(), "one", `{"spec":{"candidate":{"version":"v3-broken"}}}`); err != nil {
		t.Fatal(err)
	}
	s.until(t, "one", status{Run: int64(2), Phase: "rolledBack", Candidate: "v3-broken"})
	s.serves(t, "one", "0/0 v3-broken, 3/3 v2")
	if blue, green := s.share(t, "one", "one-blue"), s.share(t, "one", "one-green"); blue != 0 || green != int64(traffic.Full) {
		t.Errorf("what serves gets %d ppm, and the broken side %d", green, blue)
	}
}

func (s *shop) broken(t *testing.T) {
	t.Helper()
	s.open(t, "two", "httproute", "100ms", "candidate: {version: v2}", "candidate: {version: v2-broken}")
	s.until(t, "two", status{Run: int64(1), Phase: "rolledBack", Candidate: "v2-broken"})
	s.serves(t, "two", "3/3 v1, 0/0 v2-broken")
	if green := s.share(t, "two", "two-green"); green != 0 {
		t.Errorf("the broken side gets %d ppm", green)
	}

	if err := s.patch(t.Context(), "two", `{"spec":{"candidate":{"version":"v3"},"retry":{"run":1,"by":"admin","why":"it was mended"}}}`); err != nil {
		t.Fatal(err)
	}
	s.until(t, "two", status{Run: int64(2), Phase: "promoted", Candidate: "v3"})
	s.serves(t, "two", "0/0 v1, 3/3 v3")
}

func (s *shop) approved(t *testing.T) {
	t.Helper()
	s.open(t, "three", "service", "100ms", "drain: 30s", "drain: 1s\n  approve: true")
	approve := func(run int64) {
		s.until(t, "three", status{Run: run, Step: "preview"})
		for n := range 5 { // each a turn in which it might have gone on
			if err := s.patch(t.Context(), "three", `{"spec":{"hold":"%dms"}}`, 100+n); err != nil {
				t.Fatal(err)
			}
			kubetest.Eventually(t, "a turn of three", func(ctx context.Context) error { return s.acted(ctx, "three") })
		}
		s.until(t, "three", status{Run: run, Step: "preview"})
		err := s.patch(t.Context(), "three", `{"spec":{"intent":{"run":%d,"by":"admin","approvals":[{"lane":"three","step":"preview","by":"admin"}]}}}`, run)
		if err != nil {
			t.Fatal(err)
		}
		s.until(t, "three", status{Run: run, Phase: "promoted"})
	}
	approve(1)
	s.serves(t, "three", "0/0 v1, 3/3 v2")
	if err := s.patch(t.Context(), "three", `{"spec":{"candidate":{"version":"v3"}}}`); err != nil {
		t.Fatal(err)
	}
	approve(2)
	s.serves(t, "three", "3/3 v3, 0/0 v2")
}

func (s *shop) aborted(t *testing.T) {
	t.Helper()
	s.open(t, "four", "ingress", "1h")
	s.until(t, "four", status{Run: int64(1), Weight: "5%"})
	// The API server takes a moment to know a new policy.
	kubetest.Eventually(t, "the refusal of somebody else's name", func(ctx context.Context) error {
		switch err := s.patch(ctx, "four", `{"spec":{"intent":{"hold":true,"by":"somebody"}}}`); {
		case err == nil:
			return errors.New("it is taken")
		case !strings.Contains(err.Error(), "say admin, who you are"):
			return err
		}
		return nil
	})
	if err := s.patch(t.Context(), "four", `{"spec":{"intent":{"run":1,"hold":false,"abort":true,"by":"admin","why":"a complaint"}}}`); err != nil {
		t.Fatal(err)
	}
	s.until(t, "four", status{Run: int64(1), Phase: "rolledBack"})
	s.serves(t, "four", "3/3 v1, 0/0 v2")
	kubetest.Eventually(t, "an Event that tells why it went home", func(ctx context.Context) error {
		list, err := s.client.Resource(events).Namespace(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if about, _, _ := unstructured.NestedString(e.Object, "regarding", "name"); about == "four" && strings.Contains(fmt.Sprint(e.Object["note"]), "a complaint") {
				return nil
			}
		}
		return fmt.Errorf("none of %d does", len(list.Items))
	})
}

func (s *shop) killed(t *testing.T, replicas []*replica) {
	t.Helper()
	s.open(t, "five", "httproute", "1h")
	s.until(t, "five", status{Run: int64(1), Weight: "5%"})
	victim, heir := replicas[0], replicas[1]
	if heir.turnsOf("five") > 0 {
		victim, heir = heir, victim
	}
	if victim.turnsOf("five") == 0 || heir.turnsOf("five") > 0 {
		t.Fatalf("of one Rollout both replicas write the status: %d and %d times", victim.turnsOf("five"), heir.turnsOf("five"))
	}
	if err := victim.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-victim.ended; err == nil {
		t.Fatal("it has ended by itself")
	}
	// The weights are for the next run: this one has those that it began with.
	if err := s.patch(t.Context(), "five", `{"spec":{"weights":["10%%","100%%"],"intent":{"run":1,"promote":true,"by":"admin"}}}`); err != nil {
		t.Fatal(err)
	}
	s.until(t, "five", status{Run: int64(1), Phase: "promoted"})
	s.serves(t, "five", "0/0 v1, 3/3 v2")
	if heir.turnsOf("five") == 0 {
		t.Error("nobody has gone on with it")
	}
}
