// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

var (
	services       = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	pods           = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	endpointslices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

// blueGreen has the Service prod/web, which selects blue, and so many pods of each colour,
// with a controller that keeps the endpoints of the Service.
type blueGreen struct {
	*kubefake.Server
	mu     sync.Mutex
	behind bool // the controller sleeps
	ready  map[string]bool
}

func newBlueGreen(blue, green int) *blueGreen {
	s := &blueGreen{Server: kubefake.New(), ready: map[string]bool{}}
	s.Add(services, "Service", "prod", "web", map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"team": "shop"}},
		"spec": map[string]any{
			"selector": map[string]any{"app": "web", "version": "blue"},
			"ports":    []any{map[string]any{"port": 80, "targetPort": 8080}},
		},
	})
	for colour, n := range map[string]int{"blue": blue, "green": green} {
		for i := range n {
			s.pod(fmt.Sprintf("%s-%d", colour, i), colour, true)
		}
	}
	s.Before = func(req *http.Request) int {
		if strings.HasSuffix(req.URL.Path, "/endpointslices") {
			s.control()
		}
		return 0
	}
	return s
}

// pod makes a pod, or makes it anew.
func (s *blueGreen) pod(name, colour string, ready bool) {
	s.mu.Lock()
	s.ready[name] = ready
	s.mu.Unlock()
	is := map[bool]string{true: "True", false: "False"}[ready]
	s.Add(pods, "Pod", "prod", name, map[string]any{
		"metadata": map[string]any{"uid": name, "labels": map[string]any{"app": "web", "version": colour}},
		"status":   map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": is}}},
	})
}

// control is one turn of the controller of endpoints.
func (s *blueGreen) control() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind {
		return
	}
	colour, _, _ := unstructured.NestedString(s.Object(services, "prod", "web"), "spec", "selector", "version")
	endpoints := []any{}
	for name, ready := range s.ready {
		if strings.HasPrefix(name, colour) {
			endpoints = append(endpoints, map[string]any{
				"addresses": []any{name}, "conditions": map[string]any{"ready": ready}, "targetRef": map[string]any{"uid": name},
			})
		}
	}
	s.Add(endpointslices, "EndpointSlice", "prod", "web", map[string]any{
		"metadata":  map[string]any{"labels": map[string]any{"kubernetes.io/service-name": "web"}},
		"endpoints": endpoints,
	})
}

func (s *blueGreen) sleep(asleep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = asleep
}

func (s *blueGreen) router(t *testing.T) *kube.Router {
	t.Helper()
	client := kubefake.Client(t, s.Config())
	r, err := kube.NewService(client, "prod", "web", kube.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var colours = traffic.Arms{Stable: "blue", Candidate: "green"}

func TestAServiceConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return serviceTarget(newBlueGreen(3, 3)).Subject(t)
	})
}

func serviceTarget(s *blueGreen) kubefake.Target {
	return kubefake.Target{
		Config: s.Config(),
		Object: kube.Object{Resource: services, Namespace: "prod", Name: "web"},
		Arms:   colours,
		Router: func(c dynamic.Interface) (traffic.Router, error) {
			return kube.NewService(c, "prod", "web", kube.ServiceOptions{})
		},
		Write: func(o *unstructured.Unstructured, r traffic.Route) error {
			return unstructured.SetNestedField(o.Object, r.Serves(), "spec", "selector", "version")
		},
		Forget: func(o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "selector", "version")
		},
	}
}

func TestASwitchIsProgrammedOnceTheEndpointsFollow(t *testing.T) {
	t.Parallel()
	s := newBlueGreen(2, 2)
	r := s.router(t)
	evidence := func() traffic.Evidence {
		t.Helper()
		return kubefake.Observe(t, r).Evidence
	}
	apply := func(fence uint64, w traffic.Weight) {
		t.Helper()
		kubefake.Apply(t, r, fence, traffic.Route{Arms: colours, Split: traffic.Split{Candidate: w}})
	}
	apply(1, 0)
	if got := evidence(); got != traffic.Programmed {
		t.Errorf("before the switch: %v, want programmed", got)
	}
	s.sleep(true)
	apply(2, traffic.Full)
	if got := evidence(); got != traffic.Written {
		t.Errorf("while the endpoints are those of the other arm: %v, want written", got)
	}
	s.sleep(false)
	if got := evidence(); got != traffic.Programmed {
		t.Errorf("when the endpoints have followed: %v, want programmed", got)
	}
	for _, pod := range []string{"green-0", "green-1"} {
		s.pod(pod, "green", false)
	}
	if got := evidence(); got != traffic.Written {
		t.Errorf("while none of them is ready: %v, want written", got)
	}
}

func TestRoomOfAServiceIsThatOfThePodsItWouldSelect(t *testing.T) {
	t.Parallel()
	s := newBlueGreen(4, 4)
	s.pod("green-0", "green", false)
	r := s.router(t)
	if err := r.Apply(t.Context(), 1, traffic.Route{Arms: colours}); err != nil {
		t.Fatal(err)
	}
	seen, err := r.Observe(t.Context())
	if want := (traffic.Room{Known: true, Stable: traffic.Full, Candidate: traffic.Percent(75)}); err != nil || seen.Room != want {
		t.Errorf("room: got %+v (%v), want %+v", seen.Room, err, want)
	}
}

func TestAServiceThatSelectsAllArmsIsRefused(t *testing.T) {
	t.Parallel()
	s := newBlueGreen(1, 1)
	s.Add(services, "Service", "prod", "web", map[string]any{"spec": map[string]any{"selector": map[string]any{"app": "web"}}})
	if err := s.router(t).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "has no version") {
		t.Errorf("check: %v, want that the selector has no version", err)
	}
	if _, err := s.router(t).Observe(t.Context()); err == nil {
		t.Error("observe: no error, want one")
	}
}
