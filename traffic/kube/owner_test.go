// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

func spec(s *kubefake.Server) any {
	return s.Object(shares, "prod", "web")["spec"]
}

func original(s *kubefake.Server) string {
	o := unstructured.Unstructured{Object: s.Object(shares, "prod", "web")}
	return o.GetAnnotations()["rheostat.dev/original"]
}

func TestWhatWasDeclaredComesBackWordForWord(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	declared := spec(s)
	kubefake.Apply(t, r, 1, at(0))
	if cmp.Diff(declared, spec(s)) != "" || original(s) != "" {
		t.Errorf("a route that the object said already was written: %v", spec(s))
	}
	for fence, percent := range []float64{5, 50, 100, 20} {
		kubefake.Apply(t, r, uint64(fence+2), at(percent))
		if original(s) == "" {
			t.Errorf("at %v%% nobody knows what was declared", percent)
		}
	}
	kubefake.Apply(t, r, 9, at(0))
	if d := cmp.Diff(declared, spec(s)); d != "" || original(s) != "" {
		t.Errorf("at the end (-declared +is), with the annotation %q:\n%s", original(s), d)
	}
}

func TestAnEntryThatSomebodyAddsMeanwhileStays(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(50))
	edit(t, s, "other", func(o *unstructured.Unstructured) {
		all, _, _ := unstructured.NestedSlice(o.Object, "spec", "backends")
		all = append([]any{map[string]any{"service": "maintenance", "weight": int64(0)}}, all...)
		_ = unstructured.SetNestedSlice(o.Object, all, "spec", "backends")
	})
	kubefake.Apply(t, r, 2, at(0))
	want := map[string]any{"backends": []any{
		map[string]any{"service": "maintenance", "weight": int64(0)},
		map[string]any{"service": "web-a", "weight": int64(1000), "zone": "north"},
		map[string]any{"service": "web-b", "weight": int64(0)},
	}}
	if d := cmp.Diff(any(want), spec(s)); d != "" || original(s) != "" {
		t.Errorf("at the end (-want +is), with the annotation %q:\n%s", original(s), d)
	}
}

func TestDriftOfTheWeightsDoesNotKeepTheDeclaredFromComingBack(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	declared := spec(s)
	kubefake.Apply(t, r, 1, at(50))
	edit(t, s, "kubectl-edit", func(o *unstructured.Unstructured) { _ = backends{}.Write(t.Context(), nil, o, at(90)) })
	if seen := kubefake.Observe(t, r); seen.Fence != 0 || seen.Writer != "kubectl-edit" || !seen.Route.Equal(at(90)) {
		t.Errorf("drift is seen as %+v", seen)
	}
	kubefake.Apply(t, r, 2, at(0))
	if d := cmp.Diff(declared, spec(s)); d != "" {
		t.Errorf("at the end (-declared +is):\n%s", d)
	}
}

func TestASwapIsTheNextRolloutsOriginal(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(100))
	swapped := spec(s)
	next := traffic.Route{Arms: traffic.Arms{Stable: "web-b", Candidate: "web-a"}}
	kubefake.Apply(t, r, 2, next)
	if original(s) != "" {
		t.Errorf("the original of the last rollout is still there: %s", original(s))
	}
	next.Split.Candidate = traffic.Full / 2
	kubefake.Apply(t, r, 3, next)
	next.Split.Candidate = 0
	kubefake.Apply(t, r, 4, next)
	if d := cmp.Diff(swapped, spec(s)); d != "" || original(s) != "" {
		t.Errorf("at the end (-before +is), with the annotation %q:\n%s", original(s), d)
	}
}

func TestAnObjectThatGitOpsKeepsIsNotBegunWith(t *testing.T) {
	t.Parallel()
	s := cluster()
	argo := func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "shop:platform.example.com/Shares:prod/web"})
	}
	edit(t, s, "argocd-controller", argo)
	r := routerOf(t, s, backends{}, kube.Options{})
	const want = `Argo CD shop keeps the object as its sources say, and would undo each step; put this in the Application shop:
spec:
  ignoreDifferences:
  - kind: Shares
    group: platform.example.com
    namespace: prod
    name: web
    jsonPointers:
    - /spec/backends
    - /metadata/annotations/rheostat.dev~1fence
    - /metadata/annotations/rheostat.dev~1original
  syncPolicy:
    syncOptions:
    - RespectIgnoreDifferences=true

and then set options.accept_git_ops`
	for what, err := range map[string]error{
		"kube: check shares.platform.example.com prod/web: ":    r.Check(t.Context()),
		"kube: apply to shares.platform.example.com prod/web: ": r.Apply(t.Context(), 1, at(5)),
	} {
		if err == nil {
			t.Fatalf("%s no error", what)
		}
		if d := cmp.Diff(what+want, err.Error()); d != "" {
			t.Errorf("the error (-want +got):\n%s", d)
		}
	}
	if n := count(s, http.MethodPatch); n != 0 {
		t.Errorf("%d patches, want none", n)
	}
	told := routerOf(t, s, backends{}, kube.Options{AcceptGitOps: true})
	if err := told.Check(t.Context()); err != nil {
		t.Error(err)
	}
	kubefake.Apply(t, told, 1, at(5))
	kubefake.Apply(t, r, 2, at(0)) // nothing stands in the way home
	if err := r.Apply(t.Context(), 3, at(5)); err == nil {
		t.Error("the next rollout begins without the word of its owner")
	}
}

func TestRoomIsCountedAgainstWhatCarriedEverything(t *testing.T) {
	t.Parallel()
	s := cluster() // four of web-a, one of web-b
	r := routerOf(t, s, backends{}, kube.Options{})
	room := func() traffic.Room { return kubefake.Observe(t, r).Room }
	known := func(stable, candidate float64) traffic.Room {
		return traffic.Room{Known: true, Stable: traffic.Percent(stable), Candidate: traffic.Percent(candidate)}
	}
	steps := []struct {
		what                 string
		a, aReady, b, bReady int
		percent              float64
		want                 traffic.Room
	}{
		{what: "at rest", a: 4, aReady: 4, b: 1, bReady: 1, percent: 0, want: known(100, 25)},
		{what: "at a quarter", a: 4, aReady: 4, b: 1, bReady: 1, percent: 25, want: known(100, 25)},
		{what: "when stable was scaled down", a: 3, aReady: 3, b: 1, bReady: 1, percent: 25, want: known(75, 25)},
		{what: "when some of the candidate's are not ready", a: 4, aReady: 4, b: 4, bReady: 2, percent: 50, want: known(100, 50)},
		{what: "after a swap to too few", a: 4, aReady: 4, b: 2, bReady: 2, percent: 100, want: known(100, 50)},
		{what: "after a swap to more", a: 2, aReady: 2, b: 8, bReady: 8, percent: 100, want: known(25, 100)},
		{what: "at rest with crashed pods", a: 4, aReady: 2, b: 4, bReady: 4, percent: 0, want: known(50, 100)},
		{what: "at rest with nobody", a: 0, b: 4, bReady: 4, percent: 0, want: traffic.Room{}},
	}
	for i, c := range steps {
		kubefake.Apply(t, r, uint64(i+1), at(c.percent))
		s.Endpoints("prod", "web-a", c.a, c.aReady)
		s.Endpoints("prod", "web-b", c.b, c.bReady)
		if got := room(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	declared := routerOf(t, s, backends{}, kube.Options{Replicas: 8})
	if got := kubefake.Observe(t, declared).Room; got != known(0, 50) {
		t.Errorf("with 8 replicas declared: %+v", got)
	}
}

func TestRoomIsNotKnownWhereNothingWasSeenToCarryEverything(t *testing.T) {
	t.Parallel()
	s := cluster()
	edit(t, s, "somebody", func(o *unstructured.Unstructured) { _ = backends{}.Write(t.Context(), nil, o, at(50)) })
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(50))
	if got := kubefake.Observe(t, r).Room; got.Known {
		t.Errorf("half and half from the beginning: %+v, want not known", got)
	}
	s.Before = func(req *http.Request) int {
		if strings.HasSuffix(req.URL.Path, "/endpointslices") {
			return http.StatusForbidden
		}
		return 0
	}
	kubefake.Apply(t, r, 2, at(0))
	if seen := kubefake.Observe(t, r); seen.Room.Known || !seen.Route.Equal(at(0)) {
		t.Errorf("without permission to count: %+v, want the route and no room", seen)
	}
}

// asleep is a cache that goes on showing what it has.
type asleep struct {
	kube.Reader
	has *unstructured.Unstructured
}

func (a asleep) Get(context.Context, kube.Object) (*unstructured.Unstructured, error) {
	return a.has, nil
}

func (a asleep) List(context.Context, schema.GroupVersionResource, string, map[string]string) ([]*unstructured.Unstructured, error) {
	return nil, nil
}

func TestACacheAnswersUntilItIsBehindTheRouterItself(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{Cache: asleep{has: &unstructured.Unstructured{Object: s.Object(shares, "prod", "web")}}})
	if seen := kubefake.Observe(t, r); len(s.Requests()) != 0 || seen.Route.Split.Candidate != 0 {
		t.Errorf("a look took %v", s.Requests())
	}
	edit(t, s, "somebody", func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"a": "b"}) })
	kubefake.Apply(t, r, 1, at(25)) // the cache is behind, and a write heeds the object itself
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(25)) || seen.Fence != 1 {
		t.Errorf("after a write the cache hides it: %+v", seen)
	}
}
