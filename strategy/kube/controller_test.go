// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

// canary is a plan as people write it into a Rollout.
const canary = `{"lanes":[{"name":"web","steps":[
	{"set":[{"target":"web","split":{"candidate":"10%"}}],"hold":"2m","checks":["errors"]},
	{"set":[{"target":"web","split":{"candidate":"50%"}}],"hold":"2m","checks":["errors"]},
	{"set":[{"target":"web","split":{"candidate":"100%"}}],"hold":"2m","checks":["errors"]}]}],
	"back":{"drain":"1s"}}`

// rig is a cluster with a Rollout controller, and one router per service.
type rig struct {
	t       *testing.T
	api     *fakeAPI
	client  dynamic.Interface
	mu      sync.Mutex
	routers map[string]*traffic.Memory
	verdict map[string]analysis.Verdict
}

func newRig(t *testing.T) *rig {
	t.Helper()
	api := newFakeAPI()
	return &rig{t: t, api: api, client: api.client(t), routers: map[string]*traffic.Memory{}, verdict: map[string]analysis.Verdict{}}
}

func (r *rig) router(service string) *traffic.Memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routers[service] == nil {
		r.routers[service] = traffic.NewMemory(traffic.Options{})
	}
	return r.routers[service]
}

func (r *rig) says(service string, v analysis.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict[service] = v
}

func (r *rig) wire(_ context.Context, x kube.Rollout) (strategy.Wiring, error) {
	service := x.Service
	judge := analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		v, ok := r.verdict[service]
		if !ok {
			v = analysis.Pass
		}
		return c.Finding(v, "it is "+v.String()), nil
	})
	return strategy.Wiring{Routers: map[string]traffic.Router{"web": r.router(service)}, Judges: map[string]analysis.Judge{"errors": judge}}, nil
}

func (r *rig) options() kube.ControllerOptions {
	return kube.ControllerOptions{Options: kube.Options{Namespace: "prod"}, Wire: r.wire}
}

// start runs a controller until stop is called.
func (r *rig) start(o kube.ControllerOptions) (stop func()) {
	r.t.Helper()
	c, err := kube.NewController(r.client, o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			r.t.Errorf("Run returned %v", err)
		}
	}
}

// create makes a Rollout from stable to candidate.
func (r *rig) create(name, stable, candidate string) {
	r.t.Helper()
	r.createWith(name, stable, candidate, canary)
}

func (r *rig) createWith(name, stable, candidate, plan string) {
	r.t.Helper()
	object := &unstructured.Unstructured{}
	err := object.UnmarshalJSON([]byte(fmt.Sprintf(`{"apiVersion":"rheostat.dev/v1alpha1","kind":"Rollout","metadata":{"name":%q},
		"spec":{"stable":{"version":%q},"candidate":{"version":%q},"plan":%s}}`, name, stable, candidate, plan)))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.client.Resource(kube.Rollouts).Namespace("prod").Create(r.t.Context(), object, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) get(name string) *unstructured.Unstructured {
	r.t.Helper()
	object, err := r.client.Resource(kube.Rollouts).Namespace("prod").Get(r.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return object
}

// phase is the status of a Rollout in one word.
func (r *rig) phase(name string) string {
	phase, _, _ := unstructured.NestedString(r.get(name).Object, "status", "phase")
	return phase
}

func (r *rig) condition(name, kind string) (status, message string) {
	all, _, _ := unstructured.NestedSlice(r.get(name).Object, "status", "conditions")
	for _, c := range all {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return fmt.Sprint(c["status"]), fmt.Sprint(c["message"])
		}
	}
	return "", ""
}

// until waits, in fake time, until something is so.
func (r *rig) until(what string, so func() bool) {
	r.t.Helper()
	for range 7200 {
		if so() {
			return
		}
		time.Sleep(time.Second)
	}
	r.t.Fatalf("two hours have passed and it is not so: %s", what)
}

func (r *rig) weights(service string) string {
	var weights []string
	for _, a := range r.router(service).History() {
		if w := a.Route.Split.Candidate.String(); len(weights) == 0 || weights[len(weights)-1] != w {
			weights = append(weights, w)
		}
	}
	return strings.Join(weights, " ")
}

func TestAControllerCarriesARolloutOutAndThenRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.create("web", "v1", "v2")
		r.until("the candidate is promoted", func() bool { return r.phase("web") == "promoted" })
		if got := r.weights("web"); got != "0% 10% 50% 100%" {
			t.Errorf("weights %s", got)
		}
		for kind, want := range map[string]string{"Ready": "True", "Progressing": "False", "Degraded": "False", "Accepted": "True"} {
			if got, message := r.condition("web", kind); got != want {
				t.Errorf("condition %s is %q: %s", kind, got, message)
			}
		}
		object := r.get("web")
		if seen, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration"); seen != object.GetGeneration() {
			t.Errorf("generation %d observed, is %d", seen, object.GetGeneration())
		}
		if n := r.api.count("post events"); n < 5 {
			t.Errorf("%d events", n)
		}
		time.Sleep(time.Minute)
		before := r.total()
		time.Sleep(time.Hour)
		if n := r.total() - before; n > 30 { // the watch is opened anew every five minutes
			t.Errorf("%d requests in an hour in which nothing happened", n)
		}
	})
}

func (r *rig) total() int {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()
	n := 0
	for _, each := range r.api.requests {
		n += each
	}
	return n
}

func TestAFailingCandidateGoesHomeAndIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.create("web", "v1", "v2")
		r.until("it is at 50%", func() bool { return strings.HasSuffix(r.weights("web"), "50%") })
		r.says("web", analysis.Fail)
		r.until("it is home", func() bool { return r.phase("web") == "rolledBack" })
		time.Sleep(time.Hour)
		if got := r.weights("web"); got != "0% 10% 50% 0%" {
			t.Errorf("weights %s", got)
		}
		if status, _ := r.condition("web", "Degraded"); status != "True" {
			t.Errorf("Degraded is %q", status)
		}

		r.says("web", analysis.Pass)
		edit(t, r.client, "web", `{"spec":{"retry":{"run":1,"by":"ada","why":"it was the judge"}}}`)
		r.until("it is promoted after all", func() bool { return r.phase("web") == "promoted" })
	})
}

func TestAnotherCandidateTakesThePlaceOfOneUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.create("web", "v1", "v2")
		r.until("it is at 50%", func() bool { return strings.HasSuffix(r.weights("web"), "50%") })
		edit(t, r.client, "web", `{"spec":{"candidate":{"version":"v3"}}}`)
		r.until("v3 is promoted", func() bool {
			candidate, _, _ := unstructured.NestedString(r.get("web").Object, "status", "candidate")
			return candidate == "v3" && r.phase("web") == "promoted"
		})
		if got := r.weights("web"); got != "0% 10% 50% 0% 10% 50% 100%" {
			t.Errorf("weights %s", got)
		}
		edit(t, r.client, "web", `{"spec":{"candidate":{"version":"v4"}}}`)
		r.until("v4 follows from v3, whatever spec.stable says", func() bool {
			stable, _, _ := unstructured.NestedString(r.get("web").Object, "status", "stable")
			return stable == "v3" && r.phase("web") == "promoted"
		})
	})
}

// TestAReleaseAfterOneThatWasPromotedInPlace has plans that give stable's backend the
// candidate's code at the end, so that every candidate has the same backend.
func TestAReleaseAfterOneThatWasPromotedInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		const plan = `{"lanes":[{"name":"web","steps":[
			{"set":[{"target":"web","split":{"candidate":"100%"}}],"hold":"1m"},
			{"name":"promote","commit":true},
			{"set":[{"target":"web","split":{}}],"hold":"1m"}]}]}`
		r.createWith("web", "v1", "v2", plan)
		for _, version := range []string{"v2", "v3", "v4"} {
			edit(t, r.client, "web", fmt.Sprintf(`{"spec":{"stable":{"version":"v1","backend":"prod"},"candidate":{"version":%q,"backend":"preview"}}}`, version))
			r.until(version+" is promoted", func() bool {
				candidate, _, _ := unstructured.NestedString(r.get("web").Object, "status", "candidate")
				return candidate == version && r.phase("web") == "promoted"
			})
		}
	})
}

func TestAHoldAndAnAbortInTheSpecAreObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.create("web", "v1", "v2")
		r.until("it is at 10%", func() bool { return strings.HasSuffix(r.weights("web"), "10%") })
		edit(t, r.client, "web", `{"spec":{"intent":{"hold":true,"by":"ada","why":"lunch"}}}`)
		time.Sleep(2 * time.Hour)
		if got := r.weights("web"); got != "0% 10%" {
			t.Errorf("weights %s", got)
		}
		if _, message := r.condition("web", "Progressing"); !strings.Contains(message, "lunch") {
			t.Errorf("it waits for %q", message)
		}
		edit(t, r.client, "web", `{"spec":{"intent":{"run":1,"hold":false,"abort":true,"by":"ada","why":"enough"}}}`)
		r.until("it is home", func() bool { return r.phase("web") == "rolledBack" })
		if status, _ := r.condition("web", "Degraded"); status != "False" {
			t.Errorf("what was asked for is Degraded %q", status)
		}
	})
}

func TestWhatTheSpecAsksForAndCannotHaveIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.createWith("web", "v1", "v2", `{"lanes":[{"name":"web","steps":[{"checks":["nobody"],"set":[{"target":"web","split":{"candidate":"10%"}}]}]}]}`)
		r.until("it is refused", func() bool {
			status, message := r.condition("web", "Accepted")
			return status == "False" && strings.Contains(message, `"nobody"`)
		})
		time.Sleep(time.Minute)
		before := r.total()
		time.Sleep(time.Hour)
		if n := r.total() - before; n > 30 {
			t.Errorf("%d requests in an hour about a plan that nobody mends", n)
		}
		edit(t, r.client, "web", `{"spec":{"plan":`+canary+`}}`)
		r.until("it begins when it is mended", func() bool { return r.phase("web") == "promoted" })
		if status, _ := r.condition("web", "Accepted"); status != "True" {
			t.Errorf("Accepted is %q", status)
		}
	})
}

func TestADeletedRolloutIsHomeBeforeItsObjectGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.start(r.options())
		defer stop()
		r.create("web", "v1", "v2")
		r.until("it is at 50%", func() bool { return strings.HasSuffix(r.weights("web"), "50%") })
		rollouts := r.client.Resource(kube.Rollouts).Namespace("prod")
		if err := rollouts.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.until("the object is gone", func() bool {
			list, err := rollouts.List(t.Context(), metav1.ListOptions{})
			return err == nil && len(list.Items) == 0
		})
		if got := r.weights("web"); got != "0% 10% 50% 0%" {
			t.Errorf("weights %s", got)
		}
	})
}

func TestReplicasShareTheRolloutsAndTakeOverFromOneThatDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var mu sync.Mutex
		turns := map[string]map[string]bool{} // by service, who gave it one
		replica := func(id string) kube.ControllerOptions {
			o := r.options()
			o.Sharding = kube.Sharding{Shards: 6, Namespace: "prod", Name: "rheostat", Identity: id}
			o.Wire = func(ctx context.Context, x kube.Rollout) (strategy.Wiring, error) {
				mu.Lock()
				if turns[x.Service] == nil {
					turns[x.Service] = map[string]bool{}
				}
				turns[x.Service][id] = true
				mu.Unlock()
				return r.wire(ctx, x)
			}
			return o
		}
		workers := func(since map[string]map[string]bool) (workers map[string]int, shared int) {
			workers = map[string]int{}
			for _, who := range since {
				if len(who) > 1 {
					shared++
				}
				for id := range who {
					workers[id]++
				}
			}
			return workers, shared
		}
		reset := func() {
			mu.Lock()
			defer mu.Unlock()
			clear(turns)
		}
		stopA, stopB, stopC := r.start(replica("a")), r.start(replica("b")), r.start(replica("c"))
		time.Sleep(time.Minute)
		for i := range 60 {
			r.create(fmt.Sprint("web-", i), "v1", "v2")
		}
		time.Sleep(time.Minute)
		mu.Lock()
		who, shared := workers(turns)
		mu.Unlock()
		if len(who) != 3 || shared > 0 || who["a"] < 10 || who["b"] < 10 || who["c"] < 10 {
			t.Errorf("of 60 rollouts the replicas have %v, and %d have more than one", who, shared)
		}
		stopC() // it says that it leaves
		time.Sleep(12 * time.Second)
		reset()
		time.Sleep(30 * time.Second)
		mu.Lock()
		who, shared = workers(turns)
		mu.Unlock()
		if len(turns) != 60 || who["c"] != 0 || shared > 0 {
			t.Errorf("after one has left: %v of %d, %d shared", who, len(turns), shared)
		}
		// etcd loses all Leases.
		leases := r.client.Resource(leaseResource).Namespace("prod")
		list, err := leases.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.Items {
			if err := leases.Delete(t.Context(), l.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		r.until("all are promoted", func() bool {
			for i := range 60 {
				if r.phase(fmt.Sprint("web-", i)) != "promoted" {
					return false
				}
			}
			return true
		})
		stopA()
		stopB()
		for i := range 60 {
			if got := r.weights(fmt.Sprint("web-", i)); got != "0% 10% 50% 100%" {
				t.Errorf("weights of web-%d: %s", i, got)
			}
		}
		if list, err = leases.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 6 {
			t.Errorf("%d Leases stay behind, want those of the shards, %v", len(list.Items), err)
		}
	})
}

func TestAReplicaThatCannotRenewStopsWorking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		o := r.options()
		o.Sharding = kube.Sharding{Shards: 2, Namespace: "prod", Name: "rheostat", Identity: "a"}
		stop := r.start(o)
		defer stop()
		time.Sleep(10 * time.Second)
		r.create("web", "v1", "v2")
		r.until("it is at 10%", func() bool { return strings.HasSuffix(r.weights("web"), "10%") })
		r.api.setFault(func(req *http.Request, _ bool) apiFault {
			if strings.Contains(req.URL.Path, "/leases") {
				return apiFault{code: 500}
			}
			return apiFault{}
		})
		time.Sleep(20 * time.Second)
		before := r.api.count("get rollouts")
		time.Sleep(time.Minute)
		if n := r.api.count("get rollouts") - before; n > 0 {
			t.Errorf("%d turns without a lease", n)
		}
		r.api.setFault(nil)
		r.until("it goes on", func() bool { return r.phase("web") == "promoted" })
	})
}

func TestAConfigMapIsEnoughForAController(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		o := r.options()
		o.ConfigMaps = true
		c, err := kube.NewController(r.client, o)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := strategy.ParsePlan([]byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Runner().Start(t.Context(), "web", strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan}); err != nil {
			t.Fatal(err)
		}
		stop := r.start(o)
		defer stop()
		r.until("it is promoted", func() bool {
			s, err := c.Store().Load(t.Context(), "web")
			return err == nil && s.Phase == strategy.Promoted
		})
	})
}

func TestControllerOptionsThatCannotWorkAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for want, change := range map[string]func(*kube.ControllerOptions){
		"Options.Wire":  func(o *kube.ControllerOptions) { o.Wire = nil },
		"Config.Wire":   func(o *kube.ControllerOptions) { o.Config.Wire = strategy.Fixed(strategy.Wiring{}) },
		"Config.Store":  func(o *kube.ControllerOptions) { o.Config.Store = &strategy.MemoryStore{} },
		"Workers":       func(o *kube.ControllerOptions) { o.Workers = -1 },
		"Sharding.Name": func(o *kube.ControllerOptions) { o.Sharding.Shards = 2 },
		"Shards":        func(o *kube.ControllerOptions) { o.Sharding.Shards = -2 },
		"Journal":       func(o *kube.ControllerOptions) { o.Journal = -2 },
		"Lease":         func(o *kube.ControllerOptions) { o.Sharding.Lease = time.Millisecond },
	} {
		o := r.options()
		change(&o)
		if _, err := kube.NewController(r.client, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
