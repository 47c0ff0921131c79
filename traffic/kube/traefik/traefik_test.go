// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traefik_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/traefik"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

var (
	traefikservices = schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "traefikservices"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	arms            = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
)

const declared = `
weighted:
  services:
  - {name: web-a, port: 80, passHostHeader: true}
`

// cluster has the TraefikService prod/web with this spec, and a Service for each arm.
func cluster(spec string) *kubefake.Server {
	s := kubefake.New()
	s.Add(traefikservices, "TraefikService", "prod", "web", map[string]any{"spec": kubefake.Parse(spec)})
	for _, name := range []string{"web-a", "web-b"} {
		s.Add(services, "Service", "prod", name, map[string]any{})
		s.Endpoints("prod", name, 4, 4)
	}
	return s
}

func routerOf(t *testing.T, s *kubefake.Server, o traefik.Options) *kube.Router {
	t.Helper()
	client := kubefake.Client(t, s.Config())
	r, err := traefik.New(client, "prod", "web", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(percent float64) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Percent(percent)}}
}

// wants holds the spec to a text.
func wants(t *testing.T, s *kubefake.Server, text string) {
	t.Helper()
	said, err := yaml.Marshal(s.Object(traefikservices, "prod", "web")["spec"])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(kubefake.Parse(text), kubefake.Parse(string(said))); d != "" {
		t.Errorf("spec (-want +is):\n%s", d)
	}
}

// turn writes a route as another tool would.
func turn(o *unstructured.Unstructured, r traffic.Route) error {
	candidate := int64(r.Split.Candidate) / 1000
	list := []any{
		map[string]any{"name": r.Arms.Stable, "port": int64(80), "weight": 1000 - candidate},
		map[string]any{"name": r.Arms.Candidate, "port": int64(80), "weight": candidate},
	}
	return unstructured.SetNestedSlice(o.Object, list, "spec", "weighted", "services")
}

func forget(o *unstructured.Unstructured) {
	unstructured.RemoveNestedField(o.Object, "spec", "weighted", "services")
}

func TestATraefikServiceConforms(t *testing.T) {
	t.Parallel()
	for _, group := range []string{"traefik.io", "traefik.containo.us"} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			traffictest.Run(t, func(t *testing.T) traffictest.Subject {
				resource := traefikservices
				resource.Group = group
				s := cluster(declared)
				s.Add(resource, "TraefikService", "prod", "web", map[string]any{"spec": kubefake.Parse(declared)})
				return kubefake.Target{
					Config: s.Config(), Arms: arms,
					Object: kube.Object{Resource: resource, Namespace: "prod", Name: "web"},
					Router: func(c dynamic.Interface) (traffic.Router, error) {
						return traefik.New(c, "prod", "web", traefik.Options{Group: group})
					},
					Write: turn, Forget: forget,
				}.Subject(t)
			})
		})
	}
}

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	routertest.Caps(t, routertest.Row{Router: "traffic/kube/traefik", Note: "TraefikService", Caps: routerOf(t, cluster(declared), traefik.Options{}).Caps()})
}

func TestTheCandidateIsMadeLikeStableAndTheRestOfTheListStays(t *testing.T) {
	t.Parallel()
	s := cluster(`
weighted:
  sticky: {cookie: {name: side, secure: true}}
  services:
  - {name: audit, kind: TraefikService, weight: 0}
  - {name: web-a, port: 80, passHostHeader: true}
  - {name: old, port: 80, weight: 2}
`)
	kubefake.Apply(t, routerOf(t, s, traefik.Options{}), 1, at(2.5))
	wants(t, s, `
weighted:
  sticky: {cookie: {name: side, secure: true}}
  services:
  - {name: audit, kind: TraefikService, weight: 0}
  - {name: web-a, port: 80, passHostHeader: true, weight: 975}
  - {name: old, port: 80, weight: 0}
  - {name: web-b, port: 80, passHostHeader: true, weight: 25}
`)
}

func TestWhatTheObjectSaidIsThereAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	r := routerOf(t, s, traefik.Options{})
	kubefake.Apply(t, r, 1, at(50))
	kubefake.Apply(t, r, 2, at(0))
	wants(t, s, declared)
}

func TestAMissingServiceTakesNothingDown(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	r := routerOf(t, s, traefik.Options{})
	gone := traffic.Route{Arms: traffic.Arms{Stable: "web-a", Candidate: "web-c"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	if err := r.Apply(t.Context(), 1, gone); err == nil || !strings.Contains(err.Error(), "get services prod/web-c") {
		t.Errorf("10%% to a Service that is not there: %v, want an error that names it", err)
	}
	wants(t, s, declared)
	s = cluster("weighted: {services: [{name: web-a, port: 80, weight: 9}, {name: web-c, port: 80, weight: 1}]}")
	gone.Split.Candidate = 0
	kubefake.Apply(t, routerOf(t, s, traefik.Options{}), 2, gone)
	wants(t, s, "weighted: {services: [{name: web-a, port: 80, weight: 1000}]}")
}

func TestTheWayHomeDoesNotWaitForTheCandidatesService(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	r := routerOf(t, s, traefik.Options{})
	kubefake.Apply(t, r, 1, at(50))
	s.Before = func(req *http.Request) int {
		if strings.HasSuffix(req.URL.Path, "/services/web-b") {
			return http.StatusForbidden
		}
		return 0
	}
	kubefake.Apply(t, r, 2, at(0))
}

func TestWhatNoRouteCanSayIsAnErrorThatTellsWhere(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"mirroring: {name: web-a}":                             "spec.weighted.services: there are none",
		"weighted: {services: [{name: web-a, weight: 0}]}":     "nobody gets anything",
		"weighted: {services: [{name: web-a, weight: -1}]}":    "spec.weighted.services[0]: weight: -1",
		"weighted: {services: [{name: web-a}, {name: web-a}]}": "spec.weighted.services[1]: \"web-a\" is there twice",
		"weighted: {services: [{port: 80}]}":                   "spec.weighted.services[0]: it has no name",
	} {
		if _, err := routerOf(t, cluster(spec), traefik.Options{}).Observe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestAnEntryWithoutAWeightHasOne(t *testing.T) {
	t.Parallel()
	s := cluster("weighted: {services: [{name: web-a, port: 80, weight: 3}, {name: web-b, port: 80}]}")
	if seen, err := routerOf(t, s, traefik.Options{}).Observe(t.Context()); err != nil || !seen.Route.Equal(at(25)) {
		t.Errorf("got %v (%v), want %v", seen.Route, err, at(25))
	}
}

func TestStickinessIsRefused(t *testing.T) {
	t.Parallel()
	route := at(10)
	route.Split.Sticky.Cookie = "side"
	if err := routerOf(t, cluster(declared), traefik.Options{}).Apply(t.Context(), 1, route); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want errors.ErrUnsupported", err)
	}
}

func TestATotalThatDoesNotDivideIsRefused(t *testing.T) {
	t.Parallel()
	client := kubefake.Client(t, cluster(declared).Config())
	for _, total := range []int{-1, 1, 3} {
		if _, err := traefik.New(client, "prod", "web", traefik.Options{Total: total}); err == nil {
			t.Errorf("total %d: no error, want one", total)
		}
	}
}
