// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
)

const before = `
hosts: [shop.example.com]
gateways: [edge]
`

const after = `
tls:
- match:
  - {port: 443, sniHosts: [other.example.com]}
  route:
  - destination: {host: other}
`

func TestEachRouteOfTheArmsIsTurnedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	kubefake.Apply(t, r, 1, at(5))
	wants(t, s, "at 5%", before+`
http:
- name: static
  match:
  - {uri: {prefix: /static}}
  route:
  - destination: {host: static}
- name: api
  match:
  - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}}}
  - {uri: {exact: /graphql}, method: {exact: POST}}
  rewrite: {uri: /}
  timeout: 10s
  retries: {attempts: 2, perTryTimeout: 2s}
  mirrors:
  - destination: {host: audit}
  route:
  - destination: {host: web-a, port: {number: 8080}}
    headers: {response: {add: {x-served-by: web}}}
    weight: 95
  - destination: {host: web-b, port: {number: 8080}}
    headers: {response: {add: {x-served-by: web}}}
    weight: 5
- match:
  - {uri: {prefix: /old}}
  redirect: {uri: /}
- route:
  - {destination: {host: web-a.prod.svc.cluster.local}, weight: 95}
  - {destination: {host: web-b}, weight: 5}
tcp:
- match:
  - {port: 9000}
  route:
  - {destination: {host: web-a, port: {number: 9000}}, weight: 95}
  - {destination: {host: web-b, port: {number: 9000}}, weight: 5}
`+after)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(5)) || seen.Evidence != traffic.Written {
		t.Errorf("seen is %+v, want 5%% as written", seen)
	}
}

func TestAMatchIsARouteAboveEachThatIsTurned(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	declared := spec(s, "web")
	route := at(0)
	route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Query: "beta"}, {Cookie: "ring"}}
	route.Split.Mirror = traffic.Percent(12.5)
	kubefake.Apply(t, r, 1, route)
	const ring = `^(.*;)?[ \t]*ring=("[^";]+"|[^" \t;][^;]*)[ \t]*(;.*)?$`
	wants(t, s, "with matches", before+`
http:
- name: static
  match:
  - {uri: {prefix: /static}}
  route:
  - destination: {host: static}
- name: rheostat-match-0,X-Preview
  match:
  - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}, x-preview: {exact: "yes"}}}
  - {uri: {exact: /graphql}, method: {exact: POST}, headers: {x-preview: {exact: "yes"}}}
  - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}}, queryParams: {beta: {regex: ^.+$}}}
  - {uri: {exact: /graphql}, method: {exact: POST}, queryParams: {beta: {regex: ^.+$}}}
  - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}, cookie: {regex: '`+ring+`'}}}
  - {uri: {exact: /graphql}, method: {exact: POST}, headers: {cookie: {regex: '`+ring+`'}}}
  rewrite: {uri: /}
  timeout: 10s
  retries: {attempts: 2, perTryTimeout: 2s}
  mirrors:
  - destination: {host: audit}
  route:
  - destination: {host: web-b, port: {number: 8080}}
    headers: {response: {add: {x-served-by: web}}}
- name: api
  match:
  - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}}}
  - {uri: {exact: /graphql}, method: {exact: POST}}
  rewrite: {uri: /}
  timeout: 10s
  retries: {attempts: 2, perTryTimeout: 2s}
  mirrors:
  - destination: {host: audit}
  - destination: {host: web-b, port: {number: 8080}}
    percentage: {value: 12.5}
  route:
  - destination: {host: web-a, port: {number: 8080}}
    headers: {response: {add: {x-served-by: web}}}
    weight: 100
  - destination: {host: web-b, port: {number: 8080}}
    headers: {response: {add: {x-served-by: web}}}
    weight: 0
- match:
  - {uri: {prefix: /old}}
  redirect: {uri: /}
- name: rheostat-match-1,X-Preview
  match:
  - {headers: {x-preview: {exact: "yes"}}}
  - {queryParams: {beta: {regex: ^.+$}}}
  - {headers: {cookie: {regex: '`+ring+`'}}}
  route:
  - destination: {host: web-b}
- mirror: {host: web-b}
  mirrorPercentage: {value: 12.5}
  route:
  - {destination: {host: web-a.prod.svc.cluster.local}, weight: 100}
  - {destination: {host: web-b}, weight: 0}
tcp:
- match:
  - {port: 9000}
  route:
  - {destination: {host: web-a, port: {number: 9000}}, weight: 100}
  - {destination: {host: web-b, port: {number: 9000}}, weight: 0}
`+after)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) {
		t.Errorf("seen is %+v, want %+v", seen.Route, route)
	}
	kubefake.Apply(t, r, 2, at(50))
	kubefake.Apply(t, r, 3, at(0))
	if d := cmp.Diff(declared, spec(s, "web")); d != "" {
		t.Errorf("at the end (-declared +is):\n%s", d)
	}
}

func TestAMatchThatSomebodyMovesOrRemovesIsDriftAndIsPutBack(t *testing.T) {
	t.Parallel()
	for what, move := range map[string]func(all []map[string]any) []map[string]any{
		"below the routes": func(all []map[string]any) []map[string]any {
			return []map[string]any{all[0], all[2], all[3], all[5], all[1], all[4]}
		},
		"away": func(all []map[string]any) []map[string]any {
			return []map[string]any{all[0], all[2], all[3], all[5]}
		},
	} {
		s := cluster()
		r := routerOf(t, s, "web", istio.Options{})
		route := at(10)
		route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
		kubefake.Apply(t, r, 1, route)
		written := spec(s, "web")
		edit(t, s, "sorter", func(o *unstructured.Unstructured) {
			setItems(o, move(items(o, "spec", "http")), "spec", "http")
		})
		if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(10)) || seen.Fence != 0 || seen.Writer != "sorter" {
			t.Errorf("%s: %+v, want no match by sorter", what, seen)
		}
		kubefake.Apply(t, r, 1, route)
		if d := cmp.Diff(written, spec(s, "web")); d != "" {
			t.Errorf("%s, and put back (-before +is):\n%s", what, d)
		}
	}
}

func TestAMatchForARouteThatHasGoneIsNoRoute(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	route := at(10)
	route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	kubefake.Apply(t, r, 1, route)
	edit(t, s, "somebody", func(o *unstructured.Unstructured) {
		all := items(o, "spec", "http")
		all[2]["match"] = kubefake.Parse("a: [{uri: {prefix: /v2}}]")["a"]
		setItems(o, all, "spec", "http")
	})
	if _, err := r.Observe(t.Context()); err == nil {
		t.Error("observe: no error, want one")
	}
	kubefake.Apply(t, r, 2, route)
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) || len(items(&unstructured.Unstructured{Object: s.Object(virtualservices, "prod", "web")}, "spec", "http")) != 6 {
		t.Errorf("after the next step: %+v", seen)
	}
}

func TestWhatTheKindCannotSayIsRefused(t *testing.T) {
	t.Parallel()
	with := func(percent float64, change func(s *traffic.Split)) traffic.Route {
		route := at(percent)
		change(&route.Split)
		return route
	}
	onlyTCP := kubefake.Parse("spec: {hosts: [db], tcp: [{route: [{destination: {host: web-a}}]}]}")
	mirrored := kubefake.Parse("spec: {hosts: [web], http: [{mirror: {host: audit}, route: [{destination: {host: web-a}}]}]}")
	twice := kubefake.Parse("spec: {hosts: [web], http: [{route: [{destination: {host: web-a, subset: x}, weight: 50}, {destination: {host: web-a, subset: y}, weight: 50}]}]}")
	for what, c := range map[string]struct {
		have  map[string]any
		route traffic.Route
		want  string
	}{
		"a mirror beside a weight": {nil, with(5, func(s *traffic.Split) { s.Mirror = traffic.Full }), "mirror: "},
		"a header of the route": {nil, with(0, func(s *traffic.Split) {
			s.Match = []traffic.Match{{Query: "x"}, {Header: "X-Tenant", Value: "a"}}
		}), "match[1]: spec.http[1]"},
		"a match on TCP":             {onlyTCP, with(0, func(s *traffic.Split) { s.Match = []traffic.Match{{Query: "x"}} }), "options.l4"},
		"a mirror beside another":    {mirrored, with(0, func(s *traffic.Split) { s.Mirror = traffic.Full }), "one of mirrors"},
		"two destinations of stable": {twice, at(5), "named twice"},
	} {
		s := cluster()
		if c.have != nil {
			s.Add(virtualservices, "VirtualService", "prod", "web", c.have)
		}
		declared := spec(s, "web")
		err := routerOf(t, s, "web", istio.Options{}).Apply(t.Context(), 1, c.route)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrUnsupported with %q", what, err, c.want)
		}
		if d := cmp.Diff(declared, spec(s, "web")); d != "" {
			t.Errorf("%s: something was written: %s", what, d)
		}
	}
}

func TestWhatOthersWriteIsSeenForWhatItIs(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		want traffic.Route
		err  string
	}{
		"[{destination: {host: web-b}}]":                                                                         {want: at(100)},
		"[{destination: {host: web-b}, weight: 0}]":                                                              {want: at(100)},
		"[{destination: {host: web-a}, weight: 3}, {destination: {host: web-b}, weight: 1}]":                     {want: at(25)},
		"[{destination: {host: web-a}, weight: 1}, {destination: {host: web-b}}]":                                {want: at(0)},
		"[{destination: {host: web-a}}, {destination: {host: web-b.prod.svc.cluster.local}, weight: 7}]":         {want: at(100)},
		"[{destination: {host: web-a}}, {destination: {host: web-b}}]":                                           {err: "nobody gets anything"},
		"[{destination: {host: web-a}, weight: 9}, {destination: {host: old.example.com}, weight: 1}]":           {want: traffic.Route{Arms: traffic.Arms{Stable: "old.example.com"}}},
		"[{destination: {host: web-a}, weight: 9}, {destination: {host: old.example.com}, weight: 0}]":           {want: at(0)},
		"[{destination: {host: web-a}, weight: 9}, {destination: {host: web-b.x.svc.cluster.local}, weight: 1}]": {want: traffic.Route{Arms: traffic.Arms{Stable: "web-b.x.svc.cluster.local"}}},
	} {
		s := cluster()
		r := routerOf(t, s, "web", istio.Options{})
		kubefake.Apply(t, r, 1, at(10))
		edit(t, s, "somebody", func(o *unstructured.Unstructured) {
			for _, list := range []string{"http", "tcp"} {
				all := items(o, "spec", list)
				for _, route := range all {
					if to := items(&unstructured.Unstructured{Object: route}, "route"); len(to) > 1 {
						route["route"] = kubefake.Parse("a: " + text)["a"]
					}
				}
				setItems(o, all, "spec", list)
			}
		})
		seen, err := r.Observe(t.Context())
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", text, err, c.err)
			}
		} else if err != nil || !seen.Route.Equal(c.want) || seen.Writer != "somebody" || seen.Fence != 0 {
			t.Errorf("%s: %+v %v, want %v by somebody", text, seen, err, c.want)
		}
		kubefake.Apply(t, r, 2, at(20))
		if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(20)) {
			t.Errorf("%s: after the next step %+v", text, seen)
		}
	}
}

func TestRoutesThatDisagreeAreNoRoute(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	kubefake.Apply(t, r, 1, at(10))
	edit(t, s, "somebody", func(o *unstructured.Unstructured) {
		all := items(o, "spec", "tcp")
		all[0]["route"] = kubefake.Parse("a: [{destination: {host: web-b}}]")["a"]
		setItems(o, all, "spec", "tcp")
	})
	if _, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "spec.tcp[0] says") {
		t.Errorf("observe: %v, want that tcp says something else", err)
	}
	kubefake.Apply(t, r, 2, at(0))
	named := routerOf(t, s, "web", istio.Options{Routes: []string{"api"}})
	kubefake.Apply(t, named, 3, at(50))
	if _, err := r.Observe(t.Context()); err == nil {
		t.Error("observe: no error where only one of three routes was turned")
	}
	if seen := kubefake.Observe(t, named); !seen.Route.Equal(at(50)) {
		t.Errorf("by the name of a route: %+v", seen)
	}
}

func TestAServiceThatIsMissingGetsNothing(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	kubefake.Apply(t, r, 1, at(50))
	s.Delete(services, "prod", "web-b")
	if err := r.Apply(t.Context(), 2, at(60)); err == nil || !strings.Contains(err.Error(), "arms.candidate: its share would be answered with 503") {
		t.Errorf("apply: %v, want that the service is missing", err)
	}
	kubefake.Apply(t, r, 2, at(0)) // nothing stands in the way home
}

func TestASubsetIsThereBeforeItHasAWeight(t *testing.T) {
	t.Parallel()
	next := traffic.Route{Arms: traffic.Arms{Stable: "green", Candidate: "red"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	s := cluster()
	kubefake.Apply(t, routerOf(t, s, "subsets", istio.Options{Host: "web"}), 1, traffic.Route{Arms: blueGreen, Split: traffic.Split{Candidate: traffic.Full}})
	err := routerOf(t, s, "subsets", istio.Options{Host: "web"}).Apply(t.Context(), 2, next)
	if err == nil || !strings.Contains(err.Error(), `destinationrules.networking.istio.io prod/web has no subset "red"`) {
		t.Errorf("apply: %v, want that the subset is missing", err)
	}
	rule := s.Object(destinationrules, "prod", "web")
	var order []string
	s.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch {
			order = append(order, req.URL.Path[strings.LastIndex(req.URL.Path, "v1/"):])
			if len(order) == 1 { // somebody is faster
				s.Before = nil
				o := &unstructured.Unstructured{Object: rule}
				o.SetLabels(map[string]string{"seen": "yes"})
				if _, err := kubefake.Client(t, s.Config()).Resource(destinationrules).Namespace("prod").Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
					t.Error(err)
				}
				s.Before = func(req *http.Request) int {
					if req.Method == http.MethodPatch {
						order = append(order, req.URL.Path[strings.LastIndex(req.URL.Path, "v1/"):])
					}
					return 0
				}
			}
		}
		return 0
	}
	r := routerOf(t, s, "subsets", istio.Options{Host: "web", Label: "version"})
	kubefake.Apply(t, r, 2, next)
	if d := cmp.Diff([]string{
		"v1/namespaces/prod/destinationrules/web", "v1/namespaces/prod/destinationrules/web", "v1/namespaces/prod/virtualservices/subsets",
	}, order); d != "" {
		t.Errorf("writes (-want +were):\n%s", d)
	}
	want := kubefake.Parse(subsetsOfWeb + "  - {name: red, labels: {version: red}}\n")["spec"]
	now := s.Object(destinationrules, "prod", "web")
	if d := cmp.Diff(want, now["spec"]); d != "" {
		t.Errorf("the rule (-want +is):\n%s", d)
	}
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(next) {
		t.Errorf("seen is %+v", seen)
	}
	kubefake.Apply(t, r, 3, next)
	if n := len(order); n != 4 {
		t.Errorf("%d writes, want 4: subsets that are there are not written again", n)
	}
}

func TestRoomOfASubsetIsThatOfItsPods(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "subsets", istio.Options{Host: "web"})
	kubefake.Apply(t, r, 1, traffic.Route{Arms: blueGreen})
	if got, want := kubefake.Observe(t, r).Room, (traffic.Room{Known: true, Stable: traffic.Full, Candidate: traffic.Percent(50)}); got != want {
		t.Errorf("room is %+v, want %+v", got, want)
	}
}

// A label by somebody else once made a well-known controller write its whole object anew,
// and all traffic went back to the primary in the middle of a canary.
func TestAForeignLabelOrRouteMovesNoTraffic(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, "web", istio.Options{})
	kubefake.Apply(t, r, 1, at(50))
	edit(t, s, "policy-bot", func(o *unstructured.Unstructured) {
		o.SetLabels(map[string]string{"team": "shop", "cost-centre": "42"})
		all := append([]map[string]any{kubefake.Parse("{name: docs, route: [{destination: {host: docs}}], match: [{uri: {prefix: /docs}}]}")}, items(o, "spec", "http")...)
		all[2]["timeout"] = "30s"
		setItems(o, all, "spec", "http")
	})
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(50)) || seen.Fence != 1 || seen.Writer != "" {
		t.Errorf("after a foreign label: %+v, want 50%% under fence 1", seen)
	}
	kubefake.Apply(t, r, 2, at(60))
	o := &unstructured.Unstructured{Object: s.Object(virtualservices, "prod", "web")}
	all := items(o, "spec", "http")
	if o.GetLabels()["cost-centre"] != "42" || len(all) != 5 || all[0]["name"] != "docs" || all[1]["name"] != "static" || all[2]["timeout"] != "30s" {
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
	r, err := istio.New(t.Context(), kubefake.Client(t, &rest.Config{Host: "http://fake.invalid", Transport: l, QPS: -1}), "prod", "web", istio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kubefake.Apply(t, r, 1, at(25))
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(25)) || left.Load() >= 0 || !l.lost.Load() {
		t.Errorf("seen is %+v with %d writes to come", seen, left.Load())
	}
}

// lossy loses the reply to the first patch that was carried out, and serves some versions only.
type lossy struct {
	*kubefake.Server
	lost atomic.Bool
	no   string
}

func (l *lossy) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.no != "" && strings.Contains(req.URL.Path, l.no) {
		return &http.Response{
			StatusCode: http.StatusNotFound, Status: "404 Not Found", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader("404 page not found")),
		}, nil
	}
	res, err := l.Server.RoundTrip(req)
	if err == nil && req.Method == http.MethodPatch && res.StatusCode == http.StatusOK && l.lost.CompareAndSwap(false, true) {
		_ = res.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return res, err
}

func TestTheVersionIsTheOneThatTheServerServes(t *testing.T) {
	t.Parallel()
	old := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}
	s := cluster()
	s.Add(old, "VirtualService", "prod", "web", kubefake.Parse(declared))
	for no, want := range map[string]string{
		"nothing":                      "v1",
		"/networking.istio.io/v1/":     "v1beta1",
		"/apis/networking.istio.io/v1": "",
	} {
		client := kubefake.Client(t, &rest.Config{Host: "http://fake.invalid", Transport: &lossy{Server: s, no: no}, QPS: -1})
		r, err := istio.New(t.Context(), client, "prod", "web", istio.Options{})
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "the server has no virtualservices") {
				t.Errorf("without %s: %v, want that the server has none", no, err)
			}
			continue
		}
		if err != nil || r.Object().Resource.Version != want {
			t.Fatalf("without %s: %v %v, want %s", no, r, err, want)
		}
		kubefake.Apply(t, r, 1, at(5))
	}
	r, err := istio.New(t.Context(), kubefake.Client(t, s.Config()), "prod", "not-there-yet", istio.Options{})
	if err != nil || r.Object().Resource.Version != "v1" {
		t.Errorf("before the object is there: %v %v, want v1", r, err)
	}
}

func TestAVirtualServiceThatGitOpsKeepsIsNotBegunWith(t *testing.T) {
	t.Parallel()
	s := cluster()
	edit(t, s, "argocd-controller", func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:prod/web"})
	})
	const want = `
  - kind: VirtualService
    group: networking.istio.io
    namespace: prod
    name: web
    jsonPointers:
    - /spec/http
    - /spec/tcp
    - /spec/tls
    - /metadata/annotations/rheostat.dev~1fence
`
	if err := routerOf(t, s, "web", istio.Options{}).Apply(t.Context(), 1, at(5)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("apply: %v, want%s", err, want)
	}
	o := istio.Options{}
	o.AcceptGitOps = true
	kubefake.Apply(t, routerOf(t, s, "web", o), 1, at(5))
}

func TestArgumentsThatCannotBeRightAreNamed(t *testing.T) {
	t.Parallel()
	client := kubefake.Client(t, cluster().Config())
	for want, o := range map[string]istio.Options{
		"options.version: ":          {Version: "v2"},
		"options.total: 99":          {Total: 99},
		"options.label: ":            {Label: "version"},
		"options.destination_rule: ": {DestinationRule: "web"},
	} {
		if _, err := istio.New(t.Context(), client, "prod", "web", o); err == nil || !strings.HasPrefix(err.Error(), "istio: "+want) {
			t.Errorf("%v, want istio: %s", err, want)
		}
	}
	if _, err := istio.New(t.Context(), nil, "prod", "web", istio.Options{}); err == nil {
		t.Error("without a client: no error")
	}
	if _, err := istio.New(t.Context(), client, "", "web", istio.Options{}); err == nil {
		t.Error("without a namespace: no error")
	}
	if _, err := istio.New(t.Context(), client, "prod", "", istio.Options{Version: "v1"}); err == nil {
		t.Error("without a name: no error")
	}
}
