// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

func newStore(t *testing.T, client dynamic.Interface, o kube.Options) *kube.Store {
	t.Helper()
	s, err := kube.NewStore(client, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subject is a store as the suite wants it.
func subject(t *testing.T, client dynamic.Interface, o kube.Options) strategytest.Subject {
	t.Helper()
	s := newStore(t, client, o)
	return strategytest.Subject{
		Store: s, Journal: s.Journal,
		Reopen: func(context.Context) (strategytest.Subject, error) { return subject(t, client, o), nil },
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]kube.Options{
		"rollouts":   {Namespace: "prod", Journal: 200},
		"configmaps": {Namespace: "prod", Journal: 200, ConfigMaps: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			strategytest.TestStore(t, func(t *testing.T) strategytest.Subject { return subject(t, newFakeAPI().client(t), o) })
		})
	}
}

func TestConformanceWhileRepliesAreLost(t *testing.T) {
	t.Parallel()
	strategytest.TestStore(t, func(t *testing.T) strategytest.Subject {
		api := newFakeAPI()
		var n atomic.Int64
		api.fault = func(_ *http.Request, write bool) apiFault {
			switch {
			case !write:
				return apiFault{}
			case n.Add(1)%3 == 0:
				return apiFault{lost: true}
			case n.Load()%5 == 0:
				return apiFault{code: 503}
			}
			return apiFault{}
		}
		return subject(t, api.client(t), kube.Options{Namespace: "prod", Journal: 200})
	})
}

func TestAStoreOfAllNamespacesNamesServicesByTheirs(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	all := newStore(t, client, kube.Options{})
	for _, service := range []string{"prod/web", "test/web", "test/Not A Name"} {
		if err := all.Save(t.Context(), service, 0, strategytest.FullState(service, 1)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for name, err := range all.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[name] = true
	}
	if len(got) != 3 || !got["prod/web"] || !got["test/web"] || !got["test/Not A Name"] {
		t.Errorf("services %v", got)
	}
	if _, err := all.Load(t.Context(), "web"); err == nil {
		t.Error("a service without a namespace was loaded")
	}
}

func TestAResourceThatIsNotInstalledIsNoServiceWithoutAState(t *testing.T) {
	t.Parallel()
	api := newFakeAPI()
	s := newStore(t, api.client(t), kube.Options{Namespace: "prod"})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	api.missing["rollouts"] = true
	if state, err := s.Load(t.Context(), "web"); err == nil {
		t.Errorf("loaded rev %d of a resource that is gone, and no error", state.Rev)
	}
}

func TestSomebodyElsesEditOfTheObjectIsNoConflict(t *testing.T) {
	t.Parallel()
	api := newFakeAPI()
	client := api.client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod"})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	var edits atomic.Int64
	api.fault = func(req *http.Request, write bool) apiFault {
		// Between our read and our write somebody sets a label, twice.
		if write && strings.HasSuffix(req.URL.Path, "/status") && edits.Add(1) <= 2 {
			api.mu.Lock()
			defer api.mu.Unlock()
			next := clone(api.objects["apis/rheostat.dev/v1alpha1/namespaces/prod/rollouts/web"])
			metaOf(next)["labels"] = map[string]any{"team": "shop"}
			api.store("MODIFIED", "apis/rheostat.dev/v1alpha1/namespaces/prod/rollouts/web", next)
		}
		return apiFault{}
	}
	if err := s.Save(t.Context(), "web", 1, strategytest.FullState("web", 2)); err != nil {
		t.Fatal(err)
	}
	object, err := client.Resource(kube.Rollouts).Namespace("prod").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || object.GetLabels()["team"] != "shop" {
		t.Errorf("the edit is gone: %v, %v", object.GetLabels(), err)
	}
	if state, err := s.Load(t.Context(), "web"); err != nil || state.Rev != 2 {
		t.Errorf("rev %d, %v", state.Rev, err)
	}
}

func TestACopyOfAnObjectIsNotTakenForAnotherService(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod", ConfigMaps: true})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	maps := client.Resource(kubeConfigMaps).Namespace("prod")
	object, err := maps.Get(t.Context(), "rheostat-web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	copied := object.DeepCopy()
	copied.SetName("rheostat-api")
	copied.SetResourceVersion("")
	if _, err := maps.Create(t.Context(), copied, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), "api"); err == nil || !strings.Contains(err.Error(), `"web"`) {
		t.Errorf("loading a copy: %v", err)
	}
}

func TestTheStateIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod"})
	want := strategytest.FullState("web", 1)
	if err := s.Save(t.Context(), "web", 0, want); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	object, err := client.Resource(kube.Rollouts).Namespace("prod").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(object.Object, "status", "state"); got != string(text) {
		t.Errorf("stored\n%s\nwant\n%s", got, text)
	}
	for field, want := range map[string]string{"phase": "rollingBack", "step": "100%", "weight": "5.0001%", "candidate": "v2.1.0", "stable": "v1.0.0"} {
		if got, _, _ := unstructured.NestedString(object.Object, "status", field); got != want {
			t.Errorf("status.%s is %q, want %q", field, got, want)
		}
	}
}

func TestAStateThatIsTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	api := newFakeAPI()
	s := newStore(t, api.client(t), kube.Options{Namespace: "prod"})
	large := strategytest.FullState("web", 1)
	large.Reason = strings.Repeat("x", 2<<20)
	if err := s.Save(t.Context(), "web", 0, large); err == nil || !strings.Contains(err.Error(), "split the plan") {
		t.Errorf("got %v", err)
	}
	if n := api.count("post rollouts") + api.count("patch rollouts"); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestTheJournalIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore(t, newFakeAPI().client(t), kube.Options{Namespace: "prod", Journal: 3})
	for rev := uint64(1); rev <= 5; rev++ {
		if err := s.Save(t.Context(), "web", rev-1, strategytest.FullState("web", rev), strategy.Transition{Rev: rev, Kind: strategy.DialsTurned}); err != nil {
			t.Fatal(err)
		}
	}
	journal, err := s.Journal(t.Context(), "web")
	if err != nil || len(journal) != 3 || journal[0].Rev != 3 || journal[2].Rev != 5 {
		t.Errorf("%v, %v", journal, err)
	}
}

func TestAStateDeletedUnderUsIsAConflict(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod"})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	if err := client.Resource(kube.Rollouts).Namespace("prod").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), "web", 1, strategytest.FullState("web", 2)); !errors.Is(err, strategy.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestOptionsThatContradictEachOtherAreNamed(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	for _, o := range []kube.Options{
		{Journal: -1},
		{ConfigMaps: true, Resource: kube.Rollouts, Kind: "Rollout"},
		{Resource: kube.Rollouts},
		{Kind: "Rollout"},
	} {
		if _, err := kube.NewStore(client, o); err == nil || !strings.Contains(err.Error(), "Options.") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := kube.NewStore(nil, kube.Options{}); err == nil {
		t.Error("a store without a client")
	}
}

var (
	kubeConfigMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	leaseResource  = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// edit merges a patch into a Rollout, as kubectl patch does.
func edit(t *testing.T, client dynamic.Interface, name, patch string) {
	t.Helper()
	patchObject(t, client, kube.Rollouts, name, patch)
}

func patchObject(t *testing.T, client dynamic.Interface, gvr schema.GroupVersionResource, name, patch string) {
	t.Helper()
	_, err := client.Resource(gvr).Namespace("prod").Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-patch"})
	if err != nil {
		t.Fatal(err)
	}
}
