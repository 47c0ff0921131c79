// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
)

// wants holds the rules to a YAML list.
func wants(t *testing.T, s *kubefake.Server, what, want string) {
	t.Helper()
	w := kubefake.Parse("rules:" + want)
	got := kubefake.Parse("{}")
	list := []any{}
	for _, r := range rules(s) {
		list = append(list, normal(r))
	}
	got["rules"] = list
	if d := cmp.Diff(w, got); d != "" {
		t.Errorf("%s (-want +is):\n%s", what, d)
	}
}

// normal has numbers as YAML reads them.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case int64:
		return float64(v)
	}
	return v
}

const static = `
- name: static
  matches:
  - {path: {type: PathPrefix, value: /static}}
  filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier: {add: [{name: cache-control, value: public}]}
  backendRefs:
  - {name: static, port: 80}
`

func TestEachRuleOfTheArmsIsTurnedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	route := at(0.0001)
	kubefake.Apply(t, r, 1, route)
	wants(t, s, "at one in a million", static+`
- name: api
  matches:
  - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, value: gold}]}
  - {path: {type: Exact, value: /graphql}, method: POST}
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: x-api, value: "1"}]}
  - type: RequestMirror
    requestMirror: {backendRef: {name: audit, port: 80}}
  timeouts: {request: 10s}
  backendRefs:
  - {name: web-a, port: 8080, weight: 999999}
  - {name: web-b, port: 8080, weight: 1}
- backendRefs:
  - {name: web-a, port: 80, weight: 999999}
  - {name: web-b, port: 80, weight: 1}
`)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
		t.Errorf("seen is %v, want %v", seen.Route, route)
	}
}

func TestAMatchIsARuleBeforeAllOthersForEachThatIsTurned(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	before := spec(s)
	route := at(0)
	route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Query: "beta"}, {Cookie: "ring", Value: "a.b"}}
	route.Split.Mirror = traffic.Percent(10)
	kubefake.Apply(t, r, 1, route)
	const cookie = `^(.*;)?[ \t]*ring=("a\.b"|a\.b)[ \t]*(;.*)?$`
	wants(t, s, "with matches", `
- name: rheostat-match-0
  matches:
  - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, type: Exact, value: gold}, {name: X-Preview, type: Exact, value: "yes"}]}
  - {path: {type: Exact, value: /graphql}, method: POST, headers: [{name: X-Preview, type: Exact, value: "yes"}]}
  - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, type: Exact, value: gold}], queryParams: [{name: beta, type: RegularExpression, value: ^.+$}]}
  - {path: {type: Exact, value: /graphql}, method: POST, queryParams: [{name: beta, type: RegularExpression, value: ^.+$}]}
  - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, type: Exact, value: gold}, {name: cookie, type: RegularExpression, value: '`+cookie+`'}]}
  - {path: {type: Exact, value: /graphql}, method: POST, headers: [{name: cookie, type: RegularExpression, value: '`+cookie+`'}]}
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: x-api, value: "1"}]}
  - type: RequestMirror
    requestMirror: {backendRef: {name: audit, port: 80}}
  timeouts: {request: 10s}
  backendRefs:
  - {name: web-b, port: 8080, weight: 1}
- name: rheostat-match-1
  matches:
  - {path: {type: PathPrefix, value: /}, headers: [{name: X-Preview, type: Exact, value: "yes"}]}
  - {path: {type: PathPrefix, value: /}, queryParams: [{name: beta, type: RegularExpression, value: ^.+$}]}
  - {path: {type: PathPrefix, value: /}, headers: [{name: cookie, type: RegularExpression, value: '`+cookie+`'}]}
  backendRefs:
  - {name: web-b, port: 80, weight: 1}
`+static+`
- name: api
  matches:
  - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, value: gold}]}
  - {path: {type: Exact, value: /graphql}, method: POST}
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: x-api, value: "1"}]}
  - type: RequestMirror
    requestMirror: {backendRef: {name: audit, port: 80}}
  - type: RequestMirror
    requestMirror: {backendRef: {name: web-b, port: 8080}, percent: 10}
  timeouts: {request: 10s}
  backendRefs:
  - {name: web-a, port: 8080, weight: 1000000}
  - {name: web-b, port: 8080, weight: 0}
- filters:
  - type: RequestMirror
    requestMirror: {backendRef: {name: web-b, port: 80}, percent: 10}
  backendRefs:
  - {name: web-a, port: 80, weight: 1000000}
  - {name: web-b, port: 80, weight: 0}
`)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
		t.Errorf("seen is %+v, want %+v", seen.Route, route)
	}
	kubefake.Apply(t, r, 2, at(50))
	if n := len(rules(s)); n != 3 {
		t.Errorf("%d rules once the matches have gone, want 3", n)
	}
	kubefake.Apply(t, r, 3, at(0))
	if d := cmp.Diff(before, spec(s)); d != "" {
		t.Errorf("at the end (-declared +is):\n%s", d)
	}
}

func TestAMatchIsKnownWhereTheServerDropsNamesOfRules(t *testing.T) {
	t.Parallel()
	s := cluster()
	s.Admit = func(o map[string]any) {
		u := &unstructured.Unstructured{Object: o}
		all := items(u, "spec", "rules")
		for _, rule := range all {
			delete(rule, "name")
		}
		setItems(u, all, "spec", "rules")
	}
	r := routerOf(t, s, gateway.Options{})
	route := at(5)
	route.Split.Match = []traffic.Match{{Header: "X-Preview"}, {Cookie: "ring"}}
	kubefake.Apply(t, r, 1, route)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) || len(rules(s)) != 5 {
		t.Errorf("seen is %+v in %d rules, want %+v in 5", seen.Route, len(rules(s)), route)
	}
	// The arms change while a match is there.
	swapped := traffic.Route{Arms: traffic.Arms{Stable: "web-b", Candidate: "web-a"}}
	kubefake.Apply(t, r, 2, swapped)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(swapped) || len(rules(s)) != 3 {
		t.Errorf("after a swap: %+v in %d rules, want %+v in 3", seen.Route, len(rules(s)), swapped)
	}
}

func TestAMatchThatSomebodyTakesAwayOrAddsIsDrift(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	route := at(5)
	route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	kubefake.Apply(t, r, 1, route)
	edit(t, s, "tidy-bot", func(o *unstructured.Unstructured) {
		setItems(o, items(o, "spec", "rules")[2:], "spec", "rules")
	})
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(5)) || seen.Fence != 0 || seen.Writer != "tidy-bot" {
		t.Errorf("without the rules: %+v, want 5%% by tidy-bot", seen)
	}
	kubefake.Apply(t, r, 1, route)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) || seen.Fence != 1 {
		t.Errorf("after it was put back: %+v", seen)
	}
	edit(t, s, "tidy-bot", func(o *unstructured.Unstructured) {
		setItems(o, items(o, "spec", "rules")[1:], "spec", "rules")
	})
	if _, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "no route says both") {
		t.Errorf("with the match for one of two rules: %v, want that no route says so", err)
	}
	kubefake.Apply(t, r, 2, route)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
		t.Errorf("after it was put back: %+v", seen)
	}
}

func TestAHeaderThatTheRuleMatchesItselfCannotBeMatchedOnTop(t *testing.T) {
	t.Parallel()
	s := cluster()
	route := at(0)
	route.Split.Match = []traffic.Match{{Cookie: "x"}, {Header: "X-Tenant", Value: "silver"}}
	err := routerOf(t, s, gateway.Options{}).Apply(t.Context(), 1, route)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "match[1]: spec.rules[1]") {
		t.Errorf("apply: %v, want ErrUnsupported that names match[1] and the rule", err)
	}
}

func TestAMirrorIsRefusedWhileTheCandidateAnswers(t *testing.T) {
	t.Parallel()
	route := at(5)
	route.Split.Mirror = traffic.Full
	if err := routerOf(t, cluster(), gateway.Options{}).Apply(t.Context(), 1, route); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("apply: %v, want ErrUnsupported", err)
	}
}

func TestAMirrorsShareIsSaidInTheWordsThatFit(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	for i, c := range []struct {
		share traffic.Weight
		want  map[string]any
	}{
		{traffic.Full, map[string]any{}},
		{traffic.Percent(99), map[string]any{"percent": int64(99)}},
		{traffic.Percent(0.5), map[string]any{"fraction": map[string]any{"numerator": int64(5000), "denominator": int64(1_000_000)}}},
	} {
		route := at(0)
		route.Split.Mirror = c.share
		kubefake.Apply(t, r, uint64(i+1), route)
		filters, _ := rules(s)[2]["filters"].([]any)
		filter, _ := filters[0].(map[string]any)
		got, _, _ := unstructured.NestedMap(filter, "requestMirror")
		delete(got, "backendRef")
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v (-want +is):\n%s", c.share, d)
		}
		if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
			t.Errorf("%v is seen as %v", c.share, seen.Route)
		}
	}
	s.Admit = func(o map[string]any) { // as a CRD of before 1.3 does
		u := &unstructured.Unstructured{Object: o}
		all := items(u, "spec", "rules")
		for _, rule := range all {
			for _, f := range items(&unstructured.Unstructured{Object: rule}, "filters") {
				unstructured.RemoveNestedField(f, "requestMirror", "percent")
				setItems(&unstructured.Unstructured{Object: rule}, []map[string]any{f}, "filters")
			}
		}
		setItems(u, all, "spec", "rules")
	}
	route := at(0)
	route.Split.Mirror = traffic.Percent(3)
	if err := r.Apply(t.Context(), 9, route); err == nil || !strings.Contains(err.Error(), "lacks a field") {
		t.Errorf("apply where the server drops the share: %v, want an error", err)
	}
}

func TestAServiceThatIsMissingGetsNothing(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	kubefake.Apply(t, r, 1, at(50))
	s.Delete(services, "prod", "web-b")
	match := at(0)
	match.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	mirror := at(0)
	mirror.Split.Mirror = traffic.Full
	for _, route := range []traffic.Route{at(60), at(100), match, mirror} {
		if err := r.Apply(t.Context(), 2, route); err == nil || !strings.Contains(err.Error(), "there is no service prod/web-b") {
			t.Errorf("apply of %v: %v, want that the service is missing", route, err)
		}
	}
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(50)) || seen.Fence != 1 {
		t.Errorf("refused routes have left %+v", seen)
	}
	kubefake.Apply(t, r, 2, at(0)) // nothing stands in the way home
	s.Add(services, "Service", "prod", "web-b", map[string]any{})
	s.Delete(services, "prod", "web-a")
	kubefake.Apply(t, r, 3, at(100))
	if err := r.Apply(t.Context(), 4, at(0)); err == nil || !strings.Contains(err.Error(), "there is no service prod/web-a") {
		t.Errorf("apply: %v, want that the service is missing", err)
	}
}

func TestNotBeingAllowedToLookForServicesStopsOnlyTheWayForward(t *testing.T) {
	t.Parallel()
	s := cluster()
	s.Before = func(req *http.Request) int {
		if strings.Contains(req.URL.Path, "/services/") {
			return http.StatusForbidden
		}
		return 0
	}
	r := routerOf(t, s, gateway.Options{})
	edit(t, s, "somebody", func(o *unstructured.Unstructured) { _ = turn(o, at(50)) })
	if err := r.Apply(t.Context(), 1, at(5)); err == nil {
		t.Error("forward: no error, want one")
	}
	kubefake.Apply(t, r, 1, at(0))
}

func TestEvidenceIsWhatEveryParentSaysOfThisGeneration(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(n int, p map[string]any, conditions map[string]map[string]any)
		want   traffic.Evidence
	}{
		"all is well": {nil, traffic.Programmed},
		"one has not accepted": {func(n int, _ map[string]any, c map[string]map[string]any) {
			if n == 1 {
				c["Accepted"]["status"] = "False"
			}
		}, traffic.Written},
		"references are not resolved": {func(n int, _ map[string]any, c map[string]map[string]any) {
			if n == 0 {
				c["ResolvedRefs"]["status"] = "False"
			}
		}, traffic.Written},
		"it says so of an older generation": {func(_ int, _ map[string]any, c map[string]map[string]any) {
			c["ResolvedRefs"]["observedGeneration"] = int64(1)
		}, traffic.Written},
		"it was taken in part": {func(n int, _ map[string]any, c map[string]map[string]any) {
			if n == 1 {
				c["PartiallyInvalid"] = map[string]any{"type": "PartiallyInvalid", "status": "True"}
			}
		}, traffic.Written},
		"it was not taken in part": {func(_ int, _ map[string]any, c map[string]map[string]any) {
			c["PartiallyInvalid"] = map[string]any{"type": "PartiallyInvalid", "status": "False"}
		}, traffic.Programmed},
		"it knows only one of the conditions": {func(_ int, _ map[string]any, c map[string]map[string]any) {
			delete(c, "ResolvedRefs")
		}, traffic.Written},
		"one parent says nothing": {func(n int, p map[string]any, _ map[string]map[string]any) {
			if n == 1 {
				p["parentRef"] = map[string]any{"name": "inner", "namespace": "infra", "sectionName": "http"}
			}
		}, traffic.Written},
		"defaults are spelled out": {func(n int, p map[string]any, _ map[string]map[string]any) {
			if n == 0 {
				p["parentRef"] = map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "prod", "name": "edge"}
			}
		}, traffic.Programmed},
	} {
		s := cluster()
		r := routerOf(t, s, gateway.Options{})
		kubefake.Apply(t, r, 1, at(5))
		if got := kubefake.Observe(t, r).Evidence; got != traffic.Written {
			t.Errorf("%s, before anybody says anything: %v, want written", what, got)
		}
		o := &unstructured.Unstructured{Object: s.Object(httproutes, "prod", "web")}
		say(o, c.change)
		client := kubefake.Client(t, s.Config())
		if _, err := client.Resource(httproutes).Namespace("prod").UpdateStatus(t.Context(), o, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := kubefake.Observe(t, r).Evidence; got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
		kubefake.Apply(t, r, 2, at(6))
		if got := kubefake.Observe(t, r).Evidence; got != traffic.Written {
			t.Errorf("%s, and then another route: %v, want written", what, got)
		}
	}
}

func TestWhatOthersWriteIsSeenForWhatItIs(t *testing.T) {
	t.Parallel()
	refs := func(text string) func(o *unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			all := items(o, "spec", "rules")
			all[1]["backendRefs"] = kubefake.Parse("a: " + text)["a"]
			all[2]["backendRefs"] = kubefake.Parse("a: " + text)["a"]
			setItems(o, all, "spec", "rules")
		}
	}
	for text, c := range map[string]struct {
		want traffic.Route
		err  string
	}{
		"[{name: web-a, port: 80}, {name: web-b, port: 80}]":                                    {want: at(50)},
		"[{name: web-b, port: 80, weight: 1}, {name: web-a, port: 80, weight: 3}]":              {want: at(25)},
		"[{name: web-b, port: 80}]":                                                             {want: at(100)},
		"[{name: web-a, port: 80, weight: 5}]":                                                  {want: at(0)},
		"[{name: web-b, port: 80, weight: 1}, {name: web-a, port: 80, weight: 0}]":              {want: at(100)},
		"[{name: web-a, port: 80, weight: 1000000}, {name: web-b, port: 80, weight: 0}]":        {want: at(0)},
		"[{name: web-a, namespace: prod, port: 80}]":                                            {want: at(0)},
		"[{name: web-a, port: 80}, {name: old, port: 80, weight: 0}]":                           {want: at(0)},
		"[{name: web-a, port: 80}, {name: old, port: 80, weight: 1}]":                           {want: traffic.Route{Arms: traffic.Arms{Stable: "old"}}},
		"[{name: web-a, port: 80}, {name: web-b, namespace: other, port: 80, weight: 1}]":       {want: traffic.Route{Arms: traffic.Arms{Stable: "other/web-b"}}},
		"[{name: web-a, port: 80, weight: 0}, {name: web-b, port: 80, weight: 0}]":              {err: "spec.rules[1]: backendRefs: nobody gets anything"},
		"[{name: old, port: 80}]":                                                               {err: "none of 3 sends to"},
		"[{name: web-a, port: 80, weight: 999999}, {name: web-b, port: 80, weight: 999999}]":    {want: at(50)},
		"[{name: web-a, port: 80, weight: 2}, {name: web-b, port: 80, weight: 1}]":              {want: at(33.3333)},
		"[{name: web-a, port: 80, weight: 1}, {name: web-b, port: 80, weight: 1, filters: []}]": {want: at(50)},
	} {
		s := cluster()
		r := routerOf(t, s, gateway.Options{})
		kubefake.Apply(t, r, 1, at(10))
		edit(t, s, "somebody", refs(text))
		seen, err := r.Observe(t.Context())
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", text, err, c.err)
			}
		} else if err != nil || !seen.Route.Equal(c.want) || seen.Writer != "somebody" || seen.Fence != 0 {
			t.Errorf("%s: %+v %v, want %v by somebody", text, seen, err, c.want)
		}
		if text == "[{name: old, port: 80}]" {
			continue // which of three rules was it?
		}
		kubefake.Apply(t, r, 2, at(20))
		if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(20)) {
			t.Errorf("%s: after the next step %+v", text, seen)
		}
	}
}

func TestBackendsOfAnEarlierRolloutAreLeftOut(t *testing.T) {
	t.Parallel()
	s := cluster()
	s.Add(services, "Service", "prod", "web-c", map[string]any{})
	r := routerOf(t, s, gateway.Options{})
	kubefake.Apply(t, r, 1, at(100))
	next := traffic.Route{Arms: traffic.Arms{Stable: "web-b", Candidate: "web-c"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	kubefake.Apply(t, r, 2, next)
	refs, _ := rules(s)[2]["backendRefs"].([]any)
	want := kubefake.Parse("a: [{name: web-b, port: 80, weight: 950000}, {name: web-c, port: 80, weight: 50000}]")["a"]
	if d := cmp.Diff(want, normal(refs)); d != "" {
		t.Errorf("backends (-want +are):\n%s", d)
	}
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(next) {
		t.Errorf("seen is %+v", seen)
	}
}

func TestRulesThatDisagreeAreNoRoute(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	kubefake.Apply(t, r, 1, at(10))
	edit(t, s, "somebody", func(o *unstructured.Unstructured) {
		all := items(o, "spec", "rules")
		all[2]["backendRefs"] = kubefake.Parse("a: [{name: web-b, port: 80}]")["a"]
		setItems(o, all, "spec", "rules")
	})
	_, err := r.Observe(t.Context())
	if err == nil || !strings.Contains(err.Error(), `spec.rules[2] says "100% to web-b, rest to web-a", and spec.rules[1] says "10% to web-b, rest to web-a"`) {
		t.Errorf("observe: %v, want both rules", err)
	}
	kubefake.Apply(t, r, 2, at(0))
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(0)) {
		t.Errorf("on the way home: %+v", seen)
	}
}

func TestOnlyRulesThatAreNamedAreTurned(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{Rules: []string{"api"}})
	before := rules(s)
	route := at(50)
	route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	kubefake.Apply(t, r, 1, route)
	after := rules(s)
	if len(after) != 4 || cmp.Diff(before[2], after[3]) != "" || cmp.Diff(before[0], after[1]) != "" {
		t.Errorf("other rules were turned: %v", after)
	}
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
		t.Errorf("seen is %+v", seen)
	}
}

func TestADeclaredTotalIsWhatWeightsAddUpTo(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{Total: 100, NoRegex: true})
	if c := r.Caps(); c.Granularity != traffic.Percent(1) || c.Match || c.Query {
		t.Errorf("caps are %+v, want 1%% and no matches", c)
	}
	kubefake.Apply(t, r, 1, at(0.3))
	refs, _ := rules(s)[2]["backendRefs"].([]any)
	want := kubefake.Parse("a: [{name: web-a, port: 80, weight: 99}, {name: web-b, port: 80, weight: 1}]")["a"]
	if d := cmp.Diff(want, normal(refs)); d != "" {
		t.Errorf("weights (-want +are):\n%s", d)
	}
}

func TestAnArmMayBeInAnotherNamespace(t *testing.T) {
	t.Parallel()
	s := cluster()
	s.Add(services, "Service", "other", "web", map[string]any{})
	s.Endpoints("other", "web", 4, 1)
	r := routerOf(t, s, gateway.Options{})
	route := traffic.Route{Arms: traffic.Arms{Stable: "web-a", Candidate: "other/web"}, Split: traffic.Split{Candidate: traffic.Percent(25)}}
	kubefake.Apply(t, r, 1, traffic.Route{Arms: route.Arms})
	kubefake.Apply(t, r, 2, route)
	seen := kubefake.Observe(t, r)
	if want := (traffic.Room{Known: true, Stable: traffic.Full, Candidate: traffic.Percent(25)}); !seen.Route.Equal(route) || seen.Room != want {
		t.Errorf("seen is %+v, want room %+v", seen, want)
	}
	refs, _ := rules(s)[2]["backendRefs"].([]any)
	if d := cmp.Diff(map[string]any{"name": "web", "namespace": "other", "port": int64(80), "weight": int64(250_000)}, refs[1]); d != "" {
		t.Errorf("the reference (-want +is):\n%s", d)
	}
}

// A label by somebody else once made a well-known controller write its whole object anew,
// and all traffic went back to the primary in the middle of a canary.
func TestAForeignLabelOrRuleMovesNoTraffic(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, gateway.Options{})
	kubefake.Apply(t, r, 1, at(50))
	edit(t, s, "policy-bot", func(o *unstructured.Unstructured) {
		o.SetLabels(map[string]string{"team": "shop", "cost-centre": "42"})
		added := kubefake.Parse("{name: docs, matches: [{path: {type: PathPrefix, value: /docs}}], backendRefs: [{name: docs, port: 80}]}")
		all := append([]map[string]any{added}, items(o, "spec", "rules")...)
		all[2]["timeouts"] = map[string]any{"request": "30s"}
		setItems(o, all, "spec", "rules")
	})
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(50)) || seen.Fence != 1 || seen.Writer != "" {
		t.Errorf("after a foreign label: %+v, want 50%% under fence 1", seen)
	}
	kubefake.Apply(t, r, 2, at(60))
	o := unstructured.Unstructured{Object: s.Object(httproutes, "prod", "web")}
	all := rules(s)
	timeout, _, _ := unstructured.NestedString(all[2], "timeouts", "request")
	if o.GetLabels()["cost-centre"] != "42" || len(all) != 4 || all[0]["name"] != "docs" || all[1]["name"] != "static" || timeout != "30s" {
		t.Errorf("what somebody else has written is gone: %v", o.Object)
	}
}

func TestAStormOfForeignWritesAndALostReplyArePassedThrough(t *testing.T) {
	t.Parallel()
	s := cluster()
	var left atomic.Int32
	left.Store(5)
	s.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch && left.Add(-1) >= 0 {
			edit(t, s, "busy-operator", func(o *unstructured.Unstructured) {
				o.SetLabels(map[string]string{"beat": string('a' + left.Load())})
			})
		}
		return 0
	}
	l := &lossy{Server: s}
	r, err := gateway.NewHTTPRoute(kubefake.Client(t, &rest.Config{Host: "http://fake.invalid", Transport: l, QPS: -1}), "prod", "web", gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kubefake.Apply(t, r, 1, at(25))
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(25)) || left.Load() >= 0 || !l.lost.Load() {
		t.Errorf("seen is %+v with %d writes to come", seen, left.Load())
	}
}

// lossy loses the reply to the first patch that was carried out.
type lossy struct {
	*kubefake.Server
	lost atomic.Bool
}

func (l *lossy) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := l.Server.RoundTrip(req)
	if err == nil && req.Method == http.MethodPatch && res.StatusCode == http.StatusOK && l.lost.CompareAndSwap(false, true) {
		_ = res.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return res, err
}

func TestARouteThatGitOpsKeepsIsNotBegunWith(t *testing.T) {
	t.Parallel()
	s := cluster()
	edit(t, s, "argocd-controller", func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "shop:gateway.networking.k8s.io/HTTPRoute:prod/web"})
	})
	const want = `
  - kind: HTTPRoute
    group: gateway.networking.k8s.io
    namespace: prod
    name: web
    jsonPointers:
    - /spec/rules
    - /metadata/annotations/rheostat.dev~1fence
`
	if err := routerOf(t, s, gateway.Options{}).Apply(t.Context(), 1, at(5)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("apply: %v, want%s", err, want)
	}
	o := gateway.Options{}
	o.AcceptGitOps = true
	kubefake.Apply(t, routerOf(t, s, o), 1, at(5))
}

func TestArgumentsThatCannotBeRightAreNamed(t *testing.T) {
	t.Parallel()
	client := kubefake.Client(t, cluster().Config())
	for want, call := range map[string]func() error{
		"gateway: namespace: ":     func() error { _, err := gateway.NewHTTPRoute(client, "", "web", gateway.Options{}); return err },
		"gateway: kube: object.na": func() error { _, err := gateway.NewHTTPRoute(client, "prod", "", gateway.Options{}); return err },
		"gateway: kube: client: ":  func() error { _, err := gateway.NewGRPCRoute(nil, "prod", "web", gateway.Options{}); return err },
		"gateway: options.total: 99": func() error {
			_, err := gateway.NewHTTPRoute(client, "prod", "web", gateway.Options{Total: 99})
			return err
		},
	} {
		if err := call(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
