// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress_test

import (
	"errors"
	"strconv"
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
	"github.com/rheostat-go/rheostat/traffic/kube/ingress"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

var (
	ingresses = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}
	arms      = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
)

const prefix = "nginx.ingress.kubernetes.io/"

const spec = `
ingressClassName: nginx
rules:
- host: shop.example
  http:
    paths:
    - {path: /, pathType: Prefix, backend: {service: {name: web-a, port: {number: 80}}}}
    - {path: /admin, pathType: Prefix, backend: {service: {name: admin, port: {number: 80}}}}
`

const canarySpec = `
ingressClassName: nginx
rules:
- host: shop.example
  http:
    paths:
    - {path: /, pathType: Prefix, backend: {service: {name: web-b, port: {number: 80}}}}
`

// cluster has the Ingress prod/web with these annotations, and endpoints of each arm.
func cluster(notes map[string]any) *kubefake.Server {
	s := kubefake.New()
	s.Add(ingresses, "Ingress", "prod", "web", map[string]any{
		"metadata": map[string]any{"uid": "uid-web", "annotations": notes}, "spec": kubefake.Parse(spec),
	})
	for _, name := range []string{"web-a", "web-b"} {
		s.Endpoints("prod", name, 4, 4)
	}
	return s
}

func routerOf(t *testing.T, s *kubefake.Server, o ingress.Options) *kube.Router {
	t.Helper()
	client := kubefake.Client(t, s.Config())
	r, err := ingress.New(client, "prod", "web", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(percent float64, matches ...traffic.Match) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Percent(percent), Match: matches}}
}

// notes are what an Ingress says to the controller.
func notes(s *kubefake.Server, name string) map[string]string {
	found := map[string]string{}
	all, _, _ := unstructured.NestedStringMap(s.Object(ingresses, "prod", name), "metadata", "annotations")
	for name, value := range all {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			found[short] = value
		}
	}
	return found
}

// turn writes a route as another tool would.
func turn(o *unstructured.Unstructured, r traffic.Route) error {
	all := o.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[prefix+"canary"], all[prefix+"canary-weight"] = "true", strconv.Itoa(int(r.Split.Candidate/10_000))
	o.SetAnnotations(all)
	o.Object["spec"] = kubefake.Parse(strings.ReplaceAll(canarySpec, "web-b", r.Arms.Candidate))
	return nil
}

func forget(o *unstructured.Unstructured) {
	all := o.GetAnnotations()
	for name := range all {
		if strings.HasPrefix(name, prefix+"canary") {
			delete(all, name)
		}
	}
	o.SetAnnotations(all)
	if len(all) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	delete(o.Object, "spec")
}

func TestACanaryIngressConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		s := cluster(nil)
		s.Add(ingresses, "Ingress", "prod", "web-candidate", map[string]any{ // a chart has it already
			"metadata": map[string]any{"annotations": map[string]any{prefix + "canary": "true", prefix + "canary-weight": "0", "team": "shop"}},
			"spec":     kubefake.Parse(canarySpec),
		})
		return kubefake.Target{
			Config: s.Config(), Arms: arms,
			Object: kube.Object{Resource: ingresses, Namespace: "prod", Name: "web-candidate"},
			Router: func(c dynamic.Interface) (traffic.Router, error) {
				return ingress.New(c, "prod", "web", ingress.Options{})
			},
			Write: turn, Forget: forget,
			Others: []kube.Object{{Resource: ingresses, Namespace: "prod", Name: "web"}},
		}.Subject(t)
	})
}

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	routertest.Caps(t,
		routertest.Row{Router: "traffic/kube/ingress", Note: "annotations of NGINX", Caps: routerOf(t, cluster(nil), ingress.Options{}).Caps()},
	)
}

func TestTheCanaryIsMadeBesideTheIngressAndRemoved(t *testing.T) {
	t.Parallel()
	s := cluster(nil)
	before := s.Object(ingresses, "prod", "web")
	r := routerOf(t, s, ingress.Options{})
	if seen, err := r.Observe(t.Context()); err != nil || seen.Route.Split.Touches() {
		t.Fatalf("before the first Apply: %v, %v", seen.Route, err)
	}
	kubefake.Apply(t, r, 1, at(5))
	made := s.Object(ingresses, "prod", "web-candidate")
	if d := cmp.Diff(kubefake.Parse(canarySpec), kubefake.Parse(text(t, made["spec"]))); d != "" {
		t.Errorf("spec (-want +is):\n%s", d)
	}
	if owner := text(t, metadata(made)["ownerReferences"]); !strings.Contains(owner, "uid-web") {
		t.Errorf("its owner is %s", owner)
	}
	if d := cmp.Diff(map[string]string{"canary": "true", "canary-weight": "5"}, notes(s, "web-candidate")); d != "" {
		t.Errorf("annotations (-want +is):\n%s", d)
	}
	if err := r.Remove(t.Context(), 2); err == nil {
		t.Error("it was removed with 5% of the traffic")
	}
	kubefake.Apply(t, r, 3, at(0))
	if err := r.Remove(t.Context(), 2); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("removed by one who was overtaken: %v", err)
	}
	if err := r.Remove(t.Context(), 3); err != nil || s.Object(ingresses, "prod", "web-candidate") != nil {
		t.Errorf("removed: %v", err)
	}
	if d := cmp.Diff(before, s.Object(ingresses, "prod", "web")); d != "" {
		t.Errorf("the Ingress itself was changed:\n%s", d)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	said, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// TestALabelOfSomebodyElseMovesNothing: Flagger resets 50/50 to 100/0 for it.
func TestALabelOfSomebodyElseMovesNothing(t *testing.T) {
	t.Parallel()
	s := cluster(nil)
	r := routerOf(t, s, ingress.Options{})
	kubefake.Apply(t, r, 1, at(50))
	client := kubefake.Client(t, s.Config())
	for _, name := range []string{"web", "web-candidate"} {
		if err := kubefake.Edit(t.Context(), client, kube.Object{Resource: ingresses, Namespace: "prod", Name: name}, "labeller", func(o *unstructured.Unstructured) error {
			o.SetLabels(map[string]string{"cost": "7"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	kubefake.Apply(t, r, 1, at(50))
	kubefake.Apply(t, r, 2, at(60))
	if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.Equal(at(60)) {
		t.Errorf("%v, %v", seen.Route, err)
	}
	if labels := text(t, metadata(s.Object(ingresses, "prod", "web-candidate"))["labels"]); !strings.Contains(labels, "cost") {
		t.Errorf("labels: %s", labels)
	}
}

// TestAnArmMayBeTheOneThatTheIngressHas is a swap: what is stable now has the canary's place.
func TestAnArmMayBeTheOneThatTheIngressHas(t *testing.T) {
	t.Parallel()
	s := cluster(nil)
	r := routerOf(t, s, ingress.Options{})
	kubefake.Apply(t, r, 1, at(100))
	next := traffic.Route{Arms: traffic.Arms{Stable: "web-b", Candidate: "web-a"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	kubefake.Apply(t, r, 2, next)
	if got := notes(s, "web-candidate")["canary-weight"]; got != "90" {
		t.Errorf("web-b has a weight of %s, want 90", got)
	}
	if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.Equal(next) {
		t.Errorf("%v, %v", seen.Route, err)
	}
	next.Split.Match = []traffic.Match{{Header: "X-A", Value: "1"}}
	if err := routerOf(t, s, ingress.Options{Matches: true}).Apply(t.Context(), 3, next); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a match that leads away from the canary: %v", err)
	}
}

// TestWeightsAreWhatTheControllerMakesOfThem: it ignores a total of 100 or less.
func TestWeightsAreWhatTheControllerMakesOfThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		weight, total string
		want          float64
	}{{"5", "", 5}, {"5", "10", 5}, {"5", "100", 5}, {"5", "1000", 0.5}, {"200", "", 100}, {"-3", "", 0}, {"many", "", 0}, {"1", "2000000000", 0.0001}} {
		s := cluster(nil)
		said := map[string]any{prefix + "canary": "true", prefix + "canary-weight": tt.weight}
		if tt.total != "" {
			said[prefix+"canary-weight-total"] = tt.total
		}
		s.Add(ingresses, "Ingress", "prod", "web-candidate", map[string]any{"metadata": map[string]any{"annotations": said}, "spec": kubefake.Parse(canarySpec)})
		if seen, err := routerOf(t, s, ingress.Options{}).Observe(t.Context()); err != nil || seen.Route.Split.Candidate != traffic.Percent(tt.want) {
			t.Errorf("weight %q of %q: %v, %v, want %v%%", tt.weight, tt.total, seen.Route, err, tt.want)
		}
	}
}

func TestSessionsThatStayWhereTheyAreAreRefused(t *testing.T) {
	t.Parallel()
	s := cluster(map[string]any{prefix + "affinity": "cookie"})
	r := routerOf(t, s, ingress.Options{})
	if err := r.Apply(t.Context(), 1, at(5)); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "options.affinity") {
		t.Errorf("with affinity: %v", err)
	}
	kubefake.Apply(t, r, 1, at(0)) // home is never refused
	kubefake.Apply(t, routerOf(t, s, ingress.Options{Affinity: ingress.Sticky}), 2, at(5))
	if got := notes(s, "web-candidate")["affinity-canary-behavior"]; got != "sticky" {
		t.Errorf("affinity-canary-behavior is %q", got)
	}
}

func TestMatchesAreThoseThatTheAnnotationsCanSay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		matches []traffic.Match
		want    map[string]string // nil is refused
	}{
		"a header with a value": {[]traffic.Match{{Header: "X-A", Value: "1"}}, map[string]string{"canary-by-header": "X-A", "canary-by-header-value": "1"}},
		"a header with any":     {[]traffic.Match{{Header: "X-A"}}, map[string]string{"canary-by-header": "X-A", "canary-by-header-pattern": "^.+$"}},
		"always":                {[]traffic.Match{{Header: "X-A", Value: "always"}}, map[string]string{"canary-by-header": "X-A"}},
		"two values": {
			[]traffic.Match{{Header: "X-A", Value: "1.5"}, {Header: "X-A", Value: "2"}},
			map[string]string{"canary-by-header": "X-A", "canary-by-header-pattern": `^(1\.5|2)$`},
		},
		"a header and the cookie": {
			[]traffic.Match{{Header: "X-A", Value: "1"}, {Cookie: "me", Value: "always"}},
			map[string]string{"canary-by-header": "X-A", "canary-by-header-value": "1", "canary-by-cookie": "me"},
		},
		"two headers":              {[]traffic.Match{{Header: "X-A", Value: "1"}, {Header: "X-B", Value: "1"}}, nil},
		"a cookie with a value":    {[]traffic.Match{{Cookie: "me", Value: "yes"}}, nil},
		"the cookie first":         {[]traffic.Match{{Cookie: "me", Value: "always"}, {Header: "X-A", Value: "1"}}, nil},
		"what the controller bans": {[]traffic.Match{{Header: "X-A", Value: "a b"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cluster(nil)
			r := routerOf(t, s, ingress.Options{Matches: true})
			err := r.Apply(t.Context(), 1, at(5, tt.matches...))
			if tt.want == nil {
				if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "match[") || s.Object(ingresses, "prod", "web-candidate") != nil {
					t.Errorf("got error %v", err)
				}
				return
			}
			tt.want["canary"], tt.want["canary-weight"] = "true", "5"
			if d := cmp.Diff(tt.want, notes(s, "web-candidate")); err != nil || d != "" {
				t.Errorf("%v, annotations (-want +is):\n%s", err, d)
			}
			if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.Equal(at(5, tt.matches...)) {
				t.Errorf("%v, %v", seen.Route, err)
			}
			kubefake.Apply(t, r, 2, at(5))
			if d := cmp.Diff(map[string]string{"canary": "true", "canary-weight": "5"}, notes(s, "web-candidate")); d != "" {
				t.Errorf("annotations that stay (-want +is):\n%s", d)
			}
		})
	}
}

func TestWhatCannotBeMeantIsNamed(t *testing.T) {
	t.Parallel()
	client := kubefake.Client(t, cluster(nil).Config())
	for want, o := range map[string]ingress.Options{
		"options.canary": {Canary: "web"}, "options.weight_total": {WeightTotal: 10}, "options.affinity": {Affinity: "glued"},
		"options.prefix": {Prefix: "no/prefix"}, "options.replicas": {Options: kube.Options{Replicas: -1}},
	} {
		if _, err := ingress.New(client, "prod", "web", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
	if _, err := ingress.New(client, "prod", "", ingress.Options{}); err == nil {
		t.Error("no name")
	}
}

func metadata(o map[string]any) map[string]any {
	all, _, _ := unstructured.NestedMap(o, "metadata")
	return all
}
