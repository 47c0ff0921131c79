// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

var (
	web  = kube.Object{Resource: shares, Namespace: "prod", Name: "web"}
	arms = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
)

func at(percent float64) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Percent(percent)}}
}

func routerOf(t *testing.T, s *kubefake.Server, codec kube.Codec, o kube.Options) *kube.Router {
	t.Helper()
	r, err := kube.New(kubefake.Client(t, s.Config()), web, codec, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func edit(t *testing.T, s *kubefake.Server, manager string, change func(o *unstructured.Unstructured)) {
	t.Helper()
	err := kubefake.Edit(t.Context(), kubefake.Client(t, s.Config()), web, manager, func(o *unstructured.Unstructured) error {
		change(o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// count is how many requests have had the verb.
func count(s *kubefake.Server, verb string) (n int) {
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, verb+" ") {
			n++
		}
	}
	return n
}

// A label by somebody else once made a well-known controller write its whole object anew,
// and all traffic went back to the primary in the middle of a canary.
func TestAForeignLabelMovesNoTraffic(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(50))
	edit(t, s, "policy-bot", func(o *unstructured.Unstructured) {
		o.SetLabels(map[string]string{"cost-centre": "42"})
		notes := o.GetAnnotations()
		notes["seen-by"] = "policy-bot"
		o.SetAnnotations(notes)
		_ = unstructured.SetNestedField(o.Object, "30s", "spec", "timeout")
	})
	if seen := kubefake.Observe(t, r); !seen.Route.Equal(at(50)) || seen.Fence != 1 || seen.Writer != "" {
		t.Errorf("after a foreign label: %+v, want 50%% under fence 1", seen)
	}
	writes := count(s, http.MethodPatch)
	kubefake.Apply(t, r, 1, at(50))
	if n := count(s, http.MethodPatch); n != writes {
		t.Errorf("the same route was written again")
	}
	kubefake.Apply(t, r, 2, at(60))
	o := unstructured.Unstructured{Object: s.Object(shares, "prod", "web")}
	timeout, _, _ := unstructured.NestedString(o.Object, "spec", "timeout")
	if o.GetLabels()["cost-centre"] != "42" || o.GetAnnotations()["seen-by"] != "policy-bot" || timeout != "30s" {
		t.Errorf("what somebody else has written is gone: %v", o.Object)
	}
}

func TestOnlyWhatChangesIsSentUnderTheVersionThatWasRead(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(5))
	var sent []byte
	s.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch {
			sent, _ = io.ReadAll(req.Body)
			if ct, fm := req.Header.Get("Content-Type"), req.URL.Query().Get("fieldManager"); ct != "application/merge-patch+json" || fm != "rheostat" {
				t.Errorf("the patch is %s by %q", ct, fm)
			}
		}
		return 0
	}
	o := unstructured.Unstructured{Object: s.Object(shares, "prod", "web")}
	kubefake.Apply(t, r, 2, at(10))
	var got map[string]any
	if err := json.Unmarshal(sent, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"metadata": map[string]any{
			"resourceVersion": o.GetResourceVersion(),
			"annotations": map[string]any{
				"rheostat.dev/fence": `{"fence":2,"route":{"arms":{"stable":"web-a","candidate":"web-b"},"split":{"candidate":"10%"}},"need":4}`,
			},
		},
		"spec": map[string]any{"backends": []any{
			map[string]any{"service": "web-a", "weight": 900.0, "zone": "north"},
			map[string]any{"service": "web-b", "weight": 100.0},
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the patch (-want +got):\n%s", d)
	}
}

// storm changes the object before each of the first n patches arrives.
func storm(t *testing.T, s *kubefake.Server, n int32) {
	t.Helper()
	var left atomic.Int32
	left.Store(n)
	s.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch && left.Add(-1) >= 0 {
			edit(t, s, "busy-operator", func(o *unstructured.Unstructured) {
				o.SetLabels(map[string]string{"beat": string('a' + left.Load())})
			})
		}
		return 0
	}
}

func TestAStormOfForeignWritesIsPassedThrough(t *testing.T) {
	t.Parallel()
	s := cluster()
	storm(t, s, 5)
	r := routerOf(t, s, backends{}, kube.Options{})
	kubefake.Apply(t, r, 1, at(25))
	if n := count(s, http.MethodPatch); n != 6 || !kubefake.Observe(t, r).Route.Equal(at(25)) {
		t.Errorf("after %d patches: %v", n, kubefake.Observe(t, r))
	}
}

func TestAStormThatDoesNotEndIsAConflictThatNamesItsMaker(t *testing.T) {
	t.Parallel()
	s := cluster()
	storm(t, s, 1000)
	r := routerOf(t, s, backends{}, kube.Options{})
	err := r.Apply(t.Context(), 1, at(25))
	if !errors.Is(err, traffic.ErrConflict) || !strings.Contains(err.Error(), "busy-operator") {
		t.Errorf("apply: %v, want ErrConflict that names busy-operator", err)
	}
	if n := count(s, http.MethodPatch); n != 12 {
		t.Errorf("%d patches, want 12", n)
	}
	if seen := kubefake.Observe(t, r); seen.Fence != 0 || seen.Route.Split.Candidate != 0 {
		t.Errorf("something was written: %+v", seen)
	}
}

func TestAWriterThatIsOvertakenBetweenReadingAndWritingIsFenced(t *testing.T) {
	t.Parallel()
	s := cluster()
	slow, quick := routerOf(t, s, backends{}, kube.Options{}), routerOf(t, s, backends{}, kube.Options{})
	var once atomic.Bool
	s.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch && once.CompareAndSwap(false, true) {
			kubefake.Apply(t, quick, 2, at(0))
		}
		return 0
	}
	if err := slow.Apply(t.Context(), 1, at(50)); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("apply: %v, want ErrFenced", err)
	}
	if seen := kubefake.Observe(t, slow); !seen.Route.Equal(at(0)) || seen.Fence != 2 {
		t.Errorf("in force: %+v, want 0%% under fence 2", seen)
	}
}

// lossy fails the first n patches, before or after they are carried out.
type lossy struct {
	*kubefake.Server
	left  atomic.Int32
	after bool
}

func (l *lossy) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPatch || l.left.Add(-1) < 0 {
		return l.Server.RoundTrip(req)
	}
	if l.after {
		if res, err := l.Server.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	}
	return nil, errors.New("connection reset by peer")
}

func TestALostReplyIsLookedAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		lost    int32
		after   bool
		patches int
		ok      bool
	}{
		{"the write was made", 1, true, 1, true},
		{"the write never arrived", 1, false, 1, true},
		{"nothing ever arrives", 1000, false, 0, false},
	} {
		l := &lossy{Server: cluster(), after: c.after}
		l.left.Store(c.lost)
		r, err := kube.New(kubefake.Client(t, &rest.Config{Host: "http://fake.invalid", Transport: l, QPS: -1}), web, backends{}, kube.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = r.Apply(t.Context(), 1, at(25))
		if (err == nil) != c.ok || count(l.Server, http.MethodPatch) != c.patches {
			t.Errorf("%s: %v after %d patches", c.what, err, count(l.Server, http.MethodPatch))
		}
		if c.ok != (kubefake.Observe(t, r).Fence == 1) {
			t.Errorf("%s: in force is %+v", c.what, kubefake.Observe(t, r))
		}
	}
}

func TestAnAnswerOfTheServerIsHeeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, patches int
	}{
		{http.StatusInternalServerError, 3},
		{http.StatusServiceUnavailable, 3},
		{http.StatusTooManyRequests, 3},
		{http.StatusForbidden, 1},
		{http.StatusUnprocessableEntity, 1},
	} {
		s := cluster()
		var patches atomic.Int32
		s.Before = func(req *http.Request) int {
			if req.Method == http.MethodPatch {
				patches.Add(1)
				return c.code
			}
			return 0
		}
		err := routerOf(t, s, backends{}, kube.Options{}).Apply(t.Context(), 1, at(25))
		if err == nil || errors.Is(err, traffic.ErrConflict) || int(patches.Load()) != c.patches {
			t.Errorf("%d: %v after %d patches, want an error after %d", c.code, err, patches.Load(), c.patches)
		}
	}
}

func TestWhatTheServerMakesOfARouteIsLookedAt(t *testing.T) {
	t.Parallel()
	s := cluster()
	s.Admit = func(o map[string]any) {
		_ = unstructured.SetNestedSlice(o, []any{map[string]any{"service": "web-a", "weight": int64(1)}}, "spec", "backends")
	}
	err := routerOf(t, s, backends{}, kube.Options{}).Apply(t.Context(), 1, at(25))
	if err == nil || !strings.Contains(err.Error(), "admission webhook") {
		t.Errorf("apply: %v, want that the server changed it", err)
	}
	if n := count(s, http.MethodPatch); n != 1 {
		t.Errorf("%d patches, want 1", n)
	}
}

// greedy is a codec that writes more than it says.
type greedy struct{ backends }

func (g greedy) Write(ctx context.Context, c kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	o.SetLabels(map[string]string{"mine": "now"})
	return g.backends.Write(ctx, c, o, route)
}

// forgetful is a codec that writes another route.
type forgetful struct{ backends }

func (f forgetful) Write(ctx context.Context, c kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	route.Split.Candidate /= 2
	return f.backends.Write(ctx, c, o, route)
}

func TestACodecThatDoesNotKeepItsWordWritesNothing(t *testing.T) {
	t.Parallel()
	for want, codec := range map[string]kube.Codec{"/metadata/labels": greedy{}, `would say "12.5%`: forgetful{}} {
		s := cluster()
		err := routerOf(t, s, codec, kube.Options{}).Apply(t.Context(), 1, at(25))
		if err == nil || !strings.Contains(err.Error(), want) || count(s, http.MethodPatch) != 0 {
			t.Errorf("%T: %v after %d patches, want %q after none", codec, err, count(s, http.MethodPatch), want)
		}
	}
}

func TestAFenceThatCannotBeReadStopsWriters(t *testing.T) {
	t.Parallel()
	s := cluster()
	r := routerOf(t, s, backends{}, kube.Options{})
	edit(t, s, "somebody", func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"rheostat.dev/fence": "seven"})
	})
	if err := r.Apply(t.Context(), 1, at(25)); err == nil || !strings.Contains(err.Error(), "rheostat.dev/fence") {
		t.Errorf("apply: %v, want an error that names the annotation", err)
	}
	if _, err := r.Observe(t.Context()); err == nil {
		t.Error("observe: no error, want one")
	}
}
