// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour_test

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/contour"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

var (
	httpproxies = schema.GroupVersionResource{Group: "projectcontour.io", Version: "v1", Resource: "httpproxies"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	arms        = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
)

const declared = `
virtualhost: {fqdn: shop.example.com}
routes:
- conditions: [{prefix: /}]
  timeoutPolicy: {response: 5s}
  services:
  - {name: web-a, port: 80, protocol: h2c}
`

// cluster has the HTTPProxy prod/web with this spec, and a Service for each arm.
func cluster(spec string) *kubefake.Server {
	s := kubefake.New()
	s.Add(httpproxies, "HTTPProxy", "prod", "web", map[string]any{"spec": kubefake.Parse(spec)})
	for _, name := range []string{"web-a", "web-b"} {
		s.Add(services, "Service", "prod", name, map[string]any{})
		s.Endpoints("prod", name, 4, 4)
	}
	return s
}

func routerOf(t *testing.T, s *kubefake.Server, o contour.Options) *kube.Router {
	t.Helper()
	r, err := contour.New(kubefake.Client(t, s.Config()), "prod", "web", o)
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
	said, err := yaml.Marshal(s.Object(httpproxies, "prod", "web")["spec"])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(kubefake.Parse(text), kubefake.Parse(string(said))); d != "" {
		t.Errorf("spec (-want +is):\n%s", d)
	}
}

func subject(t *testing.T, c *rest.Config, namespace string) traffictest.Subject {
	t.Helper()
	kubefake.Control(t, kubefake.Client(t, c), httpproxies, namespace, kubefake.Valid)
	return kubefake.Target{
		Config: c, Arms: arms,
		Object: kube.Object{Resource: httpproxies, Namespace: namespace, Name: "web"},
		Router: func(c dynamic.Interface) (traffic.Router, error) {
			return contour.New(c, namespace, "web", contour.Options{})
		},
		Write: turn, Forget: forget,
	}.Subject(t)
}

// turn writes a route as another tool would.
func turn(o *unstructured.Unstructured, r traffic.Route) error {
	routes, _, err := unstructured.NestedSlice(o.Object, "spec", "routes")
	if err != nil {
		return err
	}
	candidate := int64(r.Split.Candidate) / 1000
	first, _ := routes[0].(map[string]any)
	first["services"] = []any{
		map[string]any{"name": r.Arms.Stable, "port": int64(80), "weight": 1000 - candidate},
		map[string]any{"name": r.Arms.Candidate, "port": int64(80), "weight": candidate},
	}
	return unstructured.SetNestedSlice(o.Object, routes, "spec", "routes")
}

func forget(o *unstructured.Unstructured) {
	unstructured.RemoveNestedField(o.Object, "status") // Contour's
	routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "routes")
	for _, route := range routes {
		says, _ := route.(map[string]any)
		delete(says, "services")
	}
	_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "routes")
}

func TestAnHTTPProxyConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject { return subject(t, cluster(declared).Config(), "prod") })
}

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	routertest.Caps(t, routertest.Row{Router: "traffic/kube/contour", Note: "HTTPProxy", Caps: routerOf(t, cluster(declared), contour.Options{}).Caps()})
}

func TestEveryRouteOfTheArmsIsTurnedAndTheRestStays(t *testing.T) {
	t.Parallel()
	s := cluster(`
routes:
- conditions: [{prefix: /}]
  services:
  - {name: web-a, port: 80, protocol: h2c}
  - {name: old, port: 80, weight: 3}
  - {name: audit, port: 80, mirror: true, weight: 5}
- conditions: [{prefix: /docs}]
  services: [{name: docs, port: 80}]
- conditions: [{prefix: /api}]
  services: [{name: web-a, port: 8080}]
`)
	// The old arm has a share: that is another route than this one, which is written all the same.
	kubefake.Apply(t, routerOf(t, s, contour.Options{}), 1, at(2.5))
	wants(t, s, `
routes:
- conditions: [{prefix: /}]
  services:
  - {name: web-a, port: 80, protocol: h2c, weight: 975}
  - {name: old, port: 80, weight: 0}
  - {name: audit, port: 80, mirror: true, weight: 5}
  - {name: web-b, port: 80, protocol: h2c, weight: 25}
- conditions: [{prefix: /docs}]
  services: [{name: docs, port: 80}]
- conditions: [{prefix: /api}]
  services: [{name: web-a, port: 8080, weight: 975}, {name: web-b, port: 8080, weight: 25}]
`)
}

func TestWhatTheObjectSaidIsThereAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	r := routerOf(t, s, contour.Options{})
	kubefake.Apply(t, r, 1, at(50))
	kubefake.Apply(t, r, 2, at(0))
	wants(t, s, declared)
}

func TestAMissingServiceTakesNothingDown(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	gone := traffic.Route{Arms: traffic.Arms{Stable: "web-a", Candidate: "web-c"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	if err := routerOf(t, s, contour.Options{}).Apply(t.Context(), 1, gone); err == nil || !strings.Contains(err.Error(), "get services prod/web-c") {
		t.Errorf("10%% to a Service that is not there: %v, want an error that names it", err)
	}
	wants(t, s, declared)
	s = cluster("routes: [{services: [{name: web-a, port: 80, weight: 9}, {name: web-c, port: 80, weight: 1}]}]")
	gone.Split.Candidate = 0
	kubefake.Apply(t, routerOf(t, s, contour.Options{}), 2, gone)
	wants(t, s, "routes: [{services: [{name: web-a, port: 80, weight: 1000}]}]")
}

func TestTheWayHomeDoesNotWaitForTheCandidatesService(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	r := routerOf(t, s, contour.Options{})
	kubefake.Apply(t, r, 1, at(50))
	s.Before = func(req *http.Request) int {
		if strings.HasSuffix(req.URL.Path, "/services/web-b") {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	kubefake.Apply(t, r, 2, at(0))
}

func TestWeightsAreReadAsContourReadsThem(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]traffic.Route{
		"routes: [{services: [{name: web-a, port: 80}]}]":                                                                            at(0),
		"routes: [{services: [{name: web-a, port: 80}, {name: web-b, port: 80}]}]":                                                   at(50),
		"routes: [{services: [{name: web-a, port: 80, weight: 3}, {name: web-b, port: 80, weight: 1}]}]":                             at(25),
		"routes: [{services: [{name: web-a, port: 80, weight: 3}, {name: web-b, port: 80}]}]":                                        at(0),
		"routes: [{services: [{name: web-a, port: 80}, {name: web-b, port: 80, weight: 1}]}]":                                        at(100),
		"routes: [{services: [{name: web-a, port: 80}, {name: web-b, port: 80, mirror: true, weight: 100}]}]":                        at(0),
		"routes: [{services: [{name: other, port: 80, weight: 1}, {name: web-a, port: 80}, {name: web-b, port: 80}]}]":               {Arms: traffic.Arms{Stable: "other", Candidate: "web-a"}},
		"routes: [{requestRedirectPolicy: {hostname: x}}, {services: [{name: web-a, port: 80}]}, {services: [{name: x, port: 80}]}]": at(0),
	} {
		seen, err := routerOf(t, cluster(spec), contour.Options{}).Observe(t.Context())
		if err != nil || seen.Route.Split.Candidate != want.Split.Candidate || seen.Route.Arms.Stable != want.Arms.Stable {
			t.Errorf("%s: %v (%v), want %v", spec, seen.Route, err, want)
		}
	}
}

func TestWhatNoRouteCanSayIsAnErrorThatTellsWhere(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"tcpproxy: {services: [{name: web-a, port: 80}]}":      "spec.routes: services: there are none",
		"routes: [{services: [{name: web-a, weight: -1}]}]":    "spec.routes[0].services[0]: weight: -1",
		"routes: [{services: [{name: web-a}, {name: web-a}]}]": "spec.routes[0].services[1]: \"web-a\" is there twice",
		"routes: [{services: [{port: 80}]}]":                   "spec.routes[0].services[0]: it has no name",
	} {
		r := routerOf(t, cluster(spec), contour.Options{})
		if _, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestRoutesThatDisagreeAreAnErrorAndAreTurnedAllTheSame(t *testing.T) {
	t.Parallel()
	s := cluster("routes: [{services: [{name: web-a, port: 80}]}, {services: [{name: web-a, port: 81}]}]")
	r := routerOf(t, s, contour.Options{})
	kubefake.Apply(t, r, 1, at(50))
	edit := func(o *unstructured.Unstructured) error {
		routes, _, err := unstructured.NestedSlice(o.Object, "spec", "routes")
		if err != nil {
			return err
		}
		second, _ := routes[1].(map[string]any)
		list, _ := second["services"].([]any)
		stable, _ := list[0].(map[string]any)
		stable["weight"] = int64(1500)
		return unstructured.SetNestedSlice(o.Object, routes, "spec", "routes")
	}
	web := kube.Object{Resource: httpproxies, Namespace: "prod", Name: "web"}
	if err := kubefake.Edit(t.Context(), kubefake.Client(t, s.Config()), web, "kubectl", edit); err != nil {
		t.Fatal(err)
	}
	const want = "spec.routes[1] gives the candidate 25%, and spec.routes[0] gives it 50%"
	if _, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	kubefake.Apply(t, r, 2, at(10))
	if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.Equal(at(10)) {
		t.Errorf("%v (%v), want %v", seen.Route, err, at(10))
	}
}

func TestARouteIsProgrammedWhenContourHasDeclaredThisGenerationValid(t *testing.T) {
	t.Parallel()
	s := cluster(declared)
	client := kubefake.Client(t, s.Config())
	r := routerOf(t, s, contour.Options{})
	kubefake.Apply(t, r, 1, at(10))
	api := client.Resource(httpproxies).Namespace("prod")
	for what, c := range map[string]struct {
		change func(valid map[string]any)
		want   traffic.Evidence
	}{
		"it is valid": {func(map[string]any) {}, traffic.Programmed},
		"it was": {func(valid map[string]any) {
			valid["observedGeneration"] = int64(1)
		}, traffic.Written},
		"a Service is missing": {func(valid map[string]any) {
			maps.Copy(valid, map[string]any{
				"status": "False", "reason": "ErrorPresent", "message": "At least one error present, see Errors for details",
				"errors": []any{map[string]any{
					"type": "ServiceError", "status": "True", "reason": "ServiceUnresolvedReference",
					"message": `Spec.Routes unresolved service reference: service "prod/web-b" not found`,
				}},
			})
		}, traffic.Written},
	} {
		o, err := api.Get(t.Context(), "web", metav1.GetOptions{})
		if err == nil {
			status := kubefake.Valid(o)
			c.change(status["conditions"].([]any)[0].(map[string]any)) //nolint:errcheck // it panics, which a test may
			o.Object["status"] = status
			_, err = api.UpdateStatus(t.Context(), o, metav1.UpdateOptions{FieldManager: "contour"})
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := r.Observe(t.Context()); err != nil || seen.Evidence != c.want {
			t.Errorf("%s: %v (%v), want %v", what, seen.Evidence, err, c.want)
		}
	}
}

func TestStickinessIsRefused(t *testing.T) {
	t.Parallel()
	route := at(10)
	route.Split.Sticky.Cookie = "side"
	if err := routerOf(t, cluster(declared), contour.Options{}).Apply(t.Context(), 1, route); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want errors.ErrUnsupported", err)
	}
}

func TestATotalThatDoesNotDivideIsRefused(t *testing.T) {
	t.Parallel()
	client := kubefake.Client(t, cluster(declared).Config())
	for _, total := range []int{-1, 1, 3} {
		if _, err := contour.New(client, "prod", "web", contour.Options{Total: total}); err == nil {
			t.Errorf("total %d: no error, want one", total)
		}
	}
}
