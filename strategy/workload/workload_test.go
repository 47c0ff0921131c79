// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
)

const web = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":10,
	"selector":{"matchLabels":{"app":"web"}},
	"template":{"metadata":{"labels":{"app":"web","team":"shop"}},"spec":{"restartPolicy":"Always","containers":[{"name":"app","image":"web:v1"}]}}}}`

func release(candidate string) strategy.Release {
	return strategy.Release{
		Stable:    strategy.Revision{Version: "v1", Backend: "web"},
		Candidate: strategy.Revision{Version: candidate, Backend: "web-candidate"},
	}
}

// bed is a cluster with a router and a rollout of it, under a fake clock.
type bed struct {
	*testing.T
	*cluster
	router *traffic.Memory
	w      *workload.Workload
	plan   strategy.Plan
	runner *strategy.Runner
	store  *strategy.MemoryStore
}

func newBed(t *testing.T, o workload.Options, s strategy.Strategy) *bed {
	t.Helper()
	b := &bed{T: t, cluster: newCluster(), router: traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: 1, Match: true, Fencing: true, Evidence: traffic.Programmed}}), store: &strategy.MemoryStore{}}
	b.put(t, deployments, web)
	o.Namespace, o.Router = "prod", b.router
	if o.Template == nil {
		o.Template = workload.Image("app", "web")
	}
	var err error
	if b.w, err = workload.New(b.client(), o); err != nil {
		t.Fatal(err)
	}
	if b.plan, err = b.w.Plan(s); err != nil {
		t.Fatal(err)
	}
	b.runner, err = strategy.NewRunner(strategy.Config{Store: b.store, Wire: strategy.Fixed(strategy.Wiring{
		Routers: map[string]traffic.Router{"web": b.w.Router()}, Tasks: b.w.Tasks(b.plan),
	})})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// controllers run until ctx ends.
func (c *cluster) controllers(ctx context.Context) {
	for ctx.Err() == nil {
		c.tick()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// rollout carries one out from start to end.
func (b *bed) rollout(r strategy.Release) (strategy.State, error) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go b.controllers(ctx)
	time.Sleep(time.Minute)
	if _, err := b.runner.Start(ctx, "shop", strategy.Request{Release: r, Plan: b.plan, Override: strategy.Override{By: "ann"}}); err != nil {
		b.Fatal(err)
	}
	s, err := b.runner.Run(ctx, "shop")
	time.Sleep(time.Minute)
	return s, err
}

func (b *bed) deployment(name string) string {
	b.Helper()
	o := b.object(deployments, name)
	if o == nil {
		return name + " is not there"
	}
	u := unstructured.Unstructured{Object: o}
	notes := []string{}
	for key := range u.GetAnnotations() {
		if key != "rheostat.dev/fence" {
			notes = append(notes, strings.TrimPrefix(key, "rheostat.dev/"))
		}
	}
	return fmt.Sprintf("%s %d×%s %v %v", name, replicasOf(o), imageOf(o), at0(&u, "spec", "template", "metadata", "labels"), notes)
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestACanaryIsMadeBesideStableAndPromoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
		for i, version := range []string{"v2", "v3"} {
			r := release(version)
			r.Stable.Version = fmt.Sprint("v", i+1)
			s, err := b.rollout(r)
			if err != nil || s.Phase != strategy.Promoted {
				t.Fatalf("%v: %v %+v", err, s.Phase, s.Recent)
			}
			want(t, b.deployment("web"), "web 10×web:"+version+" map[app:web team:shop] []")
			want(t, b.deployment("web-candidate"), "web-candidate 0×web:"+version+" map[app:web-candidate team:shop] [resting]")
			if seen, _ := b.router.Observe(t.Context()); seen.Route.Split.Candidate != 0 {
				t.Errorf("%v", seen.Route)
			}
		}
	})
}

func TestACandidateThatNeverGetsReadyGoesHomeAndSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.controllers(ctx)
		time.Sleep(time.Minute)
		if _, err := b.runner.Start(ctx, "shop", strategy.Request{Release: release("broken"), Plan: b.plan}); err != nil {
			t.Fatal(err)
		}
		go b.runner.Run(ctx, "shop") //nolint:errcheck // its end is looked at below
		time.Sleep(deadline - time.Second)
		e, err := b.runner.Explain(ctx, "shop")
		if err != nil || !strings.Contains(e.Summary, "1 pods: ImagePullBackOff web:broken") {
			t.Errorf("%v: %s", err, e.Summary)
		}
		time.Sleep(10 * time.Minute)
		s, err := b.store.Load(ctx, "shop")
		if err != nil || s.Phase != strategy.RolledBack || !strings.Contains(s.Reason, `task "capacity 1%" failed`) {
			t.Errorf("%v %v %s", err, s.Phase, s.Reason)
		}
		want(t, b.deployment("web"), "web 10×web:v1 map[app:web team:shop] []")
		want(t, b.deployment("web-candidate"), "web-candidate 0×web:broken map[app:web-candidate team:shop] [resting]")
	})
}

// The controller takes a Deployment for complete that is not: one that is scaled up from 0,
// and one of whose new template it could not write that it has begun.
func TestACandidateWhoseDeadlineNobodyWatchesGoesHomeToo(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(b *bed){
		"it was applied with no replicas": func(b *bed) {
			text := strings.NewReplacer(`"app":"web"`, `"app":"web-candidate"`, `"name":"web"`, `"name":"web-candidate"`, `"replicas":10`, `"replicas":0`, "web:v1", "web:broken")
			b.put(b.T, deployments, text.Replace(web))
		},
		"the controller missed its template": func(b *bed) {
			if s, err := b.rollout(release("v2")); err != nil {
				b.Fatal(s, err)
			}
			b.forgetful = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
				before(b)
				began := time.Now()
				s, err := b.rollout(release("broken"))
				if s.Phase != strategy.RolledBack || !strings.Contains(s.Reason, `task "capacity 1%" failed`) {
					t.Errorf("%v %v %s", err, s.Phase, s.Reason)
				}
				if took := time.Since(began); took < 10*time.Minute || took > 16*time.Minute { // the step may take 20
					t.Errorf("it took %v, and the deadline is 10 minutes", took)
				}
				want(t, b.deployment("web-candidate"), "web-candidate 0×web:broken map[app:web-candidate team:shop] [resting]")
			})
		})
	}
}

func TestASwapKeepsTheOldSideWarmAndThenLetsItRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{End: workload.Swap, Deployment: func(arm string) string { return strings.Replace(arm, "blue", "web", 1) }},
			strategy.BlueGreen{Target: "web", Bake: 10 * time.Minute, PreviewHold: time.Minute})
		blue, green := strategy.Revision{Version: "v1", Backend: "blue"}, strategy.Revision{Version: "v2", Backend: "green"}
		b.wrote = func(manager string, before, after *unstructured.Unstructured) {
			if after.GetName() == "web" && manager == "rheostat" && replicasOf(after.Object) < 10 {
				if seen, _ := b.router.Observe(t.Context()); seen.Route.Serves() != "green" {
					t.Errorf("web goes to %d with %v in force", replicasOf(after.Object), seen.Route)
				}
			}
		}
		s, err := b.rollout(strategy.Release{Stable: blue, Candidate: green})
		if err != nil || s.Phase != strategy.Promoted {
			t.Fatalf("%v: %v %+v", err, s.Phase, s.Recent)
		}
		want(t, b.deployment("web"), "web 0×web:v1 map[app:web team:shop] [resting]")
		want(t, b.deployment("green"), "green 10×web:v2 map[app:green team:shop] []")
		// The next one goes the other way round.
		b.wrote = func(string, *unstructured.Unstructured, *unstructured.Unstructured) {}
		s, err = b.rollout(strategy.Release{Stable: green, Candidate: strategy.Revision{Version: "v3", Backend: "blue"}})
		if err != nil || s.Phase != strategy.Promoted {
			t.Fatalf("%v: %v %+v", err, s.Phase, s.Recent)
		}
		want(t, b.deployment("web"), "web 10×web:v3 map[app:web team:shop] []")
		want(t, b.deployment("green"), "green 0×web:v2 map[app:green team:shop] [resting]")
	})
}

// TestAnEndThatWasNotCommittedToIsTakenBack is of plans by hand, or frozen before plans committed
// there: the tasks can be named by anybody. They are aborted as stable is being changed.
func TestAnEndThatWasNotCommittedToIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end     workload.End
		task    string
		changes func(web *unstructured.Unstructured) bool
	}{
		"a release":   {workload.Swap, workload.ReleaseTask, func(web *unstructured.Unstructured) bool { return replicasOf(web.Object) < 10 }},
		"a promotion": {workload.Promote, workload.PromoteTask, func(web *unstructured.Unstructured) bool { return imageOf(web.Object) == "web:v2" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, workload.Options{End: c.end}, strategy.BlueGreen{Target: "web", Bake: 10 * time.Minute, PreviewHold: time.Minute})
				steps := &b.plan.Lanes[0].Steps
				commit := slices.IndexFunc(*steps, func(s strategy.Step) bool { return s.Commit })
				*steps = slices.Insert(*steps, commit, strategy.Step{Name: "by hand", Before: []string{c.task}})
				var aborted sync.Once
				b.wrote = func(manager string, _, after *unstructured.Unstructured) {
					if after.GetName() == "web" && manager == "rheostat" && c.changes(after) {
						aborted.Do(func() {
							go b.runner.Abort(b.Context(), "shop", "ann", "not this one") //nolint:errcheck // what comes of it is looked at below
						})
					}
				}
				s, err := b.rollout(release("v2"))
				if !errors.Is(err, strategy.ErrRolledBack) || s.Cause != strategy.CauseAbort {
					t.Fatalf("%v: %v %+v", err, s.Phase, s.Recent)
				}
				want(t, b.deployment("web"), "web 10×web:v1 map[app:web team:shop] []")
				want(t, b.deployment("web-candidate"), "web-candidate 0×web:v2 map[app:web-candidate team:shop] [resting]")
			})
		})
	}
}

const config = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"},"data":{"colour":"%s"}}`

func TestConfigsGoForwardAndBackWithTheCode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{Configs: []string{"ConfigMap/web", "Secret/keys"}}, strategy.Canary{Target: "web"})
		b.change(deployments, "web", "kubectl", func(o map[string]any) {
			c := map[string]any{
				"name": "app", "image": "web:v1",
				"envFrom": []any{map[string]any{"configMapRef": map[string]any{"name": "web"}}},
				"env": []any{
					map[string]any{"name": "KEY", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "keys", "key": "k"}}},
					map[string]any{"name": "OTHER", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "other", "key": "k"}}},
				},
			}
			_ = unstructured.SetNestedSlice(o, []any{c}, "spec", "template", "spec", "containers")
			_ = unstructured.SetNestedSlice(o, []any{
				map[string]any{"name": "c", "configMap": map[string]any{"name": "web"}},
				map[string]any{"name": "s", "secret": map[string]any{"secretName": "keys"}},
				map[string]any{"name": "p", "projected": map[string]any{"sources": []any{
					map[string]any{"configMap": map[string]any{"name": "web"}}, map[string]any{"secret": map[string]any{"name": "keys"}},
				}}},
			}, "spec", "template", "spec", "volumes")
		})
		b.put(t, secretsOf, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"keys"},"type":"Opaque","data":{"k":"djE="}}`)
		colours := []string{"blue", "green", "green", "red", "pink", "grey"}
		for i, colour := range colours {
			b.put(t, configMaps, fmt.Sprintf(config, colour))
			r := release(fmt.Sprint("v", i+2))
			r.Stable.Version = fmt.Sprint("v", i+1)
			if s, err := b.rollout(r); err != nil {
				t.Fatalf("%v %+v", err, s.Recent)
			}
		}
		uses := func(name string) (names []string) {
			o := unstructured.Unstructured{Object: b.object(deployments, name)}
			text := fmt.Sprint(at0(&o, "spec", "template", "spec"))
			for _, n := range b.names(configMaps) {
				if n != "web" && strings.Count(text, n) == 3 {
					names = append(names, fmt.Sprint(b.object(configMaps, n)["data"]))
				}
			}
			return names
		}
		if got := uses("web"); len(got) != 1 || got[0] != "map[colour:grey]" {
			t.Errorf("web uses %v", got)
		}
		// Of five contents the last three revisions need three, beside the original.
		if names := b.names(configMaps); len(names) != 4 {
			t.Errorf("copies %v, want those of the three revisions that are kept", names)
		}
		if names := b.names(secretsOf); len(names) != 2 {
			t.Errorf("secrets %v", names)
		}
		for _, n := range b.names(configMaps)[1:] {
			o := unstructured.Unstructured{Object: b.object(configMaps, n)}
			if o.Object["immutable"] != true || len(o.GetOwnerReferences()) == 0 {
				t.Errorf("%s: %v", n, o.Object)
			}
		}
	})
}

const hpa = `{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"%s},
	"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"minReplicas":3,"maxReplicas":20}}`

func TestAnAutoscalerIsNotFought(t *testing.T) {
	t.Parallel()
	for name, keda := range map[string]bool{"HPA": false, "KEDA": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
				kind, least := autoscalers, "minReplicas"
				owner := ""
				if keda {
					kind, least = scaled, "minReplicaCount"
					owner = `,"ownerReferences":[{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","name":"web","uid":"1"}]`
					b.put(t, scaled, `{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","metadata":{"name":"web"},"spec":{"scaleTargetRef":{"name":"web"}}}`)
				}
				b.put(t, autoscalers, fmt.Sprintf(hpa, owner))
				before := digest(b.object(kind, "web")["spec"])
				var floors []int64
				b.wrote = func(_ string, _, after *unstructured.Unstructured) {
					if n, ok, _ := unstructured.NestedInt64(after.Object, "spec", least); ok && after.GetKind() != "Deployment" {
						floors = append(floors, n)
					}
				}
				if s, err := b.rollout(release("v2")); err != nil {
					t.Fatalf("%v %+v", err, s.Recent)
				}
				if len(floors) == 0 || floors[0] != 10 {
					t.Errorf("the least was %v, want it to be stable's size for the time", floors)
				}
				if after := b.object(kind, "web"); digest(after["spec"]) != before || strings.Contains(fmt.Sprint(after), "original") {
					t.Errorf("left %v", after)
				}
			})
		})
	}
}

func TestASharedDisruptionBudgetIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
		b.put(t, budgets, `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"shop"},"spec":{"minAvailable":6,"selector":{"matchLabels":{"team":"shop"}}}}`)
		b.put(t, budgets, `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"own"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web-candidate"}}}}`)
		var sizes []int64
		var lost []*pod
		b.wrote = func(manager string, before, after *unstructured.Unstructured) {
			if after.GetName() == "web-candidate" && before != nil && manager == "rheostat" && replicasOf(after.Object) < replicasOf(before.Object) {
				healthy, _ := b.serving("web", time.Now())
				mine, _ := b.serving("web-candidate", time.Now())
				if healthy+mine-(replicasOf(before.Object)-replicasOf(after.Object)) < 6 {
					t.Errorf("from %d to %d with %d and %d healthy", replicasOf(before.Object), replicasOf(after.Object), mine, healthy)
				}
				sizes = append(sizes, replicasOf(after.Object))
			}
			if after.GetName() == "web-candidate" && len(lost) == 0 && after.GetAnnotations()["rheostat.dev/resting"] != "" {
				// Nodes are lost when the candidate is about to rest: its own pods are needed.
				lost = b.reap("web", time.Now())[:8]
				for i, p := range lost {
					p.ready = time.Now().Add(5*time.Minute + time.Duration(i)*time.Minute)
				}
			}
		}
		if s, err := b.rollout(release("v2")); err != nil {
			t.Fatalf("%v %+v", err, s.Recent)
		}
		if len(sizes) < 3 || sizes[len(sizes)-1] != 0 {
			t.Errorf("went to %v, want it in strides to 0", sizes)
		}
	})
}

func TestSomebodyElsesTemplateStopsTheRollout(t *testing.T) {
	t.Parallel()
	for side, says := range map[string]string{"web": "stable's Deployment web was changed by kubectl-edit", "web-candidate": "candidate's Deployment web-candidate was changed by kubectl-edit"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, workload.Options{}, strategy.Canary{Target: "web", Hold: 10 * time.Minute})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go b.controllers(ctx)
				time.Sleep(time.Minute)
				if _, err := b.runner.Start(ctx, "shop", strategy.Request{Release: release("v2"), Plan: b.plan}); err != nil {
					t.Fatal(err)
				}
				go b.runner.Run(ctx, "shop") //nolint:errcheck // its end is looked at below
				time.Sleep(15 * time.Minute)
				b.change(deployments, side, "kubectl-edit", func(o map[string]any) {
					_ = unstructured.SetNestedField(o, "gold", "spec", "template", "metadata", "annotations", "tier")
				})
				task := b.w.Task("capacity 10%")
				explainer, ok := task.(strategy.Explainer)
				if !ok {
					t.Fatal("it does not explain itself")
				}
				why, err := explainer.Explain(ctx, strategy.Ref{Service: "shop", Run: 1, Release: release("v2"), Fence: 1000})
				if err != nil || !strings.Contains(why, says) {
					t.Errorf("%s %v", why, err)
				}
				time.Sleep(15 * time.Minute)
				if s, err := b.store.Load(ctx, "shop"); err != nil || s.Phase != strategy.RolledBack {
					t.Errorf("%v %v %s", err, s.Phase, s.Reason)
				}
			})
		})
	}
}

func TestAnOvertakenProcessIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
		b.tick()
		r := strategy.Ref{Service: "shop", Run: 1, Release: release("v2"), Fence: 7}
		task := b.w.Task("capacity 50%")
		if err := task.Do(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		r.Fence = 6
		if err := task.Do(t.Context(), r); !errors.Is(err, traffic.ErrFenced) {
			t.Errorf("%v, want it to be fenced", err)
		}
		if _, err := task.Status(t.Context(), r); !errors.Is(err, traffic.ErrFenced) {
			t.Errorf("%v, want it to be fenced", err)
		}
		if n := replicasOf(b.object(deployments, "web-candidate")); n != 5 {
			t.Errorf("%d replicas for half of ten", n)
		}
	})
}
