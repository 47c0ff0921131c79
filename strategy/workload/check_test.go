// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
)

func TestWhatWouldStopARolloutHalfWayIsSaidBefore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		o       workload.Options
		edit    func(t *testing.T, c *cluster)
		refused string // empty is not
		warned  string
	}{
		"nothing": {},
		"nobody to serve": {edit: func(_ *testing.T, c *cluster) {
			c.change(deployments, "web", "ann", func(o map[string]any) { _ = unstructured.SetNestedField(o, int64(0), "spec", "replicas") })
		}, refused: "no replicas in service"},
		"paused": {edit: func(_ *testing.T, c *cluster) {
			c.change(deployments, "web", "ann", func(o map[string]any) { _ = unstructured.SetNestedField(o, true, "spec", "paused") })
		}, refused: "paused"},
		"pods that cannot be told apart": {o: workload.Options{Labels: map[string]string{"tier": "candidate"}}, refused: "set Options.Labels"},
		"a container that is not there":  {o: workload.Options{Template: workload.Image("sidecar", "x")}, refused: `no container "sidecar"`},
		"a candidate of somebody else":   {o: workload.Options{Template: func(strategy.Release, map[string]any) (map[string]any, error) { return nil, errors.New("no such tag") }}, refused: "no such tag"},
		"an autoscaler for stable alone": {edit: func(t *testing.T, c *cluster) {
			t.Helper()
			c.put(t, autoscalers, fmt.Sprintf(hpa, ""))
		}, warned: "and none web-candidate"},
		"an autoscaler's limit": {edit: func(t *testing.T, c *cluster) {
			t.Helper()
			c.put(t, autoscalers, strings.Replace(strings.Replace(fmt.Sprintf(hpa, ""), `"name":"web"`, `"name":"x"`, 1), `"maxReplicas":20`, `"maxReplicas":5`, 1))
		}, refused: "at the most", warned: "and none web-candidate"},
		"Argo CD":                    {edit: argo, refused: "ignoreDifferences"},
		"Argo CD that was told":      {o: workload.Options{Unowned: true}, edit: argo, warned: "/spec/template"},
		"a config that is not there": {o: workload.Options{Configs: []string{"ConfigMap/web"}}, refused: "ConfigMap/web of Options.Configs is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, tt.o, strategy.Canary{Target: "web"})
				b.tick()
				b.tick()
				if tt.edit != nil {
					tt.edit(t, b.cluster)
				}
				cautions, err := b.w.Check(t.Context(), release("v2"))
				if (err != nil) != (tt.refused != "") || err != nil && (!strings.Contains(err.Error(), tt.refused) || strings.Count(err.Error(), "workload:") != 1) {
					t.Errorf("refused: %v, want %q", err, tt.refused)
				}
				if got := strings.Join(cautions, "\n"); (got != "") != (tt.warned != "") || !strings.Contains(got, tt.warned) {
					t.Errorf("warned: %q, want %q", got, tt.warned)
				}
			})
		})
	}
}

func argo(_ *testing.T, c *cluster) {
	c.change(deployments, "web", "argocd-controller", func(o map[string]any) {
		_ = unstructured.SetNestedField(o, "shop:apps/Deployment:prod/web", "metadata", "annotations", "argocd.argoproj.io/tracking-id")
	})
}

func TestHomeWaitsForStablesPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web", Hold: 10 * time.Minute, Weights: []traffic.Weight{traffic.Percent(60), traffic.Full}})
		b.pace = func(string) time.Duration { return time.Minute }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.controllers(ctx)
		time.Sleep(3 * time.Minute)
		if _, err := b.runner.Start(ctx, "shop", strategy.Request{Release: release("v2"), Plan: b.plan}); err != nil {
			t.Fatal(err)
		}
		go b.runner.Run(ctx, "shop") //nolint:errcheck // its end is looked at below
		time.Sleep(5 * time.Minute)
		scale := func(n int64) {
			b.change(deployments, "web", "kubectl-scale", func(o map[string]any) { _ = unstructured.SetNestedField(o, n, "spec", "replicas") })
		}
		scale(4) // it has 40 % of the traffic
		time.Sleep(time.Minute)
		if err := b.runner.Abort(ctx, "shop", "ann", "to see"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		seen, err := b.router.Observe(ctx)
		if n := replicasOf(b.object(deployments, "web")); err != nil || seen.Route.Split.Candidate != traffic.Percent(60) || n != 10 {
			t.Errorf("%v with %d replicas of stable asked for, want the route to stay until ten are there", seen.Route, n)
		}
		time.Sleep(5 * time.Minute)
		s, err := b.store.Load(ctx, "shop")
		if err != nil || s.Phase != strategy.RolledBack {
			t.Errorf("%v %v", s.Phase, err)
		}
		want(t, b.deployment("web"), "web 10×web:v1 map[app:web team:shop] []")
	})
}

func TestARouteIsNotWrittenWhereThePodsHaveGoneSinceTheLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, workload.Options{}, strategy.Canary{Target: "web"})
		b.tick()
		r := strategy.Ref{Service: "shop", Run: 1, Release: release("v2"), Fence: 1}
		if err := b.w.Task("capacity 50%").Do(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		b.tick()
		b.tick()
		router := b.w.Router()
		arms := r.Release.Arms()
		route := func(w traffic.Weight) traffic.Route {
			return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
		}
		for fence, w := range []traffic.Weight{0, traffic.Percent(50)} {
			if err := router.Apply(t.Context(), uint64(fence+1), route(w)); err != nil {
				t.Fatal(err)
			}
		}
		seen, err := router.Observe(t.Context())
		if err != nil || seen.Room != (traffic.Room{Known: true, Stable: traffic.Full, Candidate: traffic.Percent(50)}) {
			t.Errorf("%+v %v", seen.Room, err)
		}
		if err := router.Apply(t.Context(), 3, route(traffic.Percent(60))); !errors.Is(err, workload.ErrNoRoom) {
			t.Errorf("60%% on five pods of ten: %v", err)
		}
		b.change(deployments, "web", "kubectl-scale", func(o map[string]any) { _ = unstructured.SetNestedField(o, int64(5), "spec", "replicas") })
		b.tick()
		if err := router.Apply(t.Context(), 4, route(0)); !errors.Is(err, workload.ErrNoRoom) {
			t.Errorf("home to five pods of ten: %v", err)
		}
		if err := router.Apply(t.Context(), 5, route(traffic.Percent(50))); err != nil {
			t.Errorf("what is in force: %v", err)
		}
	})
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	good := func() workload.Options {
		return workload.Options{Namespace: "prod", Router: traffic.NewMemory(traffic.Options{}), Template: workload.Image("a", "b")}
	}
	for field, edit := range map[string]func(*workload.Options){
		"Namespace": func(o *workload.Options) { o.Namespace = "" },
		"Router":    func(o *workload.Options) { o.Router = nil },
		"End":       func(o *workload.Options) { o.End = 7 },
		"Surge":     func(o *workload.Options) { o.Surge = -1 },
		"Configs":   func(o *workload.Options) { o.Configs = []string{"web"} },
		"Return":    func(o *workload.Options) { o.Return = []traffic.Weight{1, 2} },
		"Template":  func(o *workload.Options) { o.Configs, o.Template = []string{"ConfigMap/web"}, nil },
	} {
		o := good()
		edit(&o)
		if _, err := workload.New(newCluster().client(), o); err == nil || !strings.Contains(err.Error(), "Options."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	w, err := workload.New(newCluster().client(), good())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Plan(strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(50)}}); err == nil || !strings.Contains(err.Error(), "everything") {
		t.Errorf("a plan that stops half way: %v", err)
	}
	if w.Task("capacity x") != nil || w.Task("deploy") != nil {
		t.Error("it knows tasks that are not its own")
	}
}
