// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
)

// TestNoArmHasMoreTrafficThanItsPodsCanTake lets two processes carry rollouts out on one
// cluster, while both are killed, calls fail, stall and lose their replies, an operator holds,
// aborts and releases something else midway, an autoscaler scales as it likes, pods are
// slow, never get ready or die. The pods themselves, not what the API server says of them, are
// held against the route at every write of the route, and whenever one is taken away that
// serves. The flags -seed and -runs play others.
func TestNoArmHasMoreTrafficThanItsPodsCanTake(t *testing.T) {
	t.Parallel()
	first, last := *firstSeed, *firstSeed+120
	if testing.Short() {
		last = first + 40
	}
	if *runs > 0 {
		last = first + *runs
	}
	ends := map[string]int{}
	for seed := first; seed < last; seed++ {
		synctest.Test(t, func(t *testing.T) { ends[newWorld(t, seed).play()]++ })
		if t.Failed() {
			t.Fatalf("go test -run %s -args -seed %d -runs 1", t.Name(), seed)
		}
	}
	t.Logf("ends: %v", ends)
	if n := int(last - first); n > 1 && (ends["promoted"] < n/10 || ends["rolledBack"] < n/10) {
		t.Errorf("the worlds are not of all kinds: %v", ends)
	}
}

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of the simulations")
	runs      = flag.Uint64("runs", 0, "how many seeds are simulated; 0 is 120")
)

// life is one process. Once it is dead nothing it calls has any effect.
type life struct {
	dead atomic.Bool
	end  context.CancelFunc
}

type lifeKey struct{}

var (
	errDead = errors.New("the process is dead")
	errLost = fmt.Errorf("connection lost: %w", io.ErrUnexpectedEOF)
)

type world struct {
	*testing.T
	*cluster
	seed   uint64
	store  strategy.MemoryStore
	router *traffic.Memory
	plan   strategy.Plan
	o      workload.Options
	hpa    bool
	bad    atomic.Bool
	calm   atomic.Bool

	dice  sync.Mutex
	rand  *rand.Rand
	odds  float64
	calls int64 // until the process dies, where that is drawn
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{T: t, cluster: newCluster(), seed: seed, rand: rand.New(rand.NewPCG(seed, 5))}
	w.forgetful = seed%4 == 0
	w.router = traffic.NewMemory(traffic.Options{Settle: w.rand.IntN(3)})
	w.odds = []float64{0, 0.003, 0.01, 0.03}[w.rand.IntN(4)]
	if w.rand.IntN(3) == 0 {
		w.calls = 1 + w.rand.Int64N(600) // a crash at that point
	}
	w.fault = w.fate
	slow := time.Duration(1 + w.rand.IntN(40))
	w.pace = func(string) time.Duration { return w.upTo(slow * time.Second) }
	w.cluster.wrote, w.cluster.ended = w.written, w.taken
	w.put(t, deployments, web)
	if w.hpa = w.rand.IntN(2) == 0; w.hpa {
		w.put(t, autoscalers, fmt.Sprintf(hpa, ""))
	}
	if w.rand.IntN(3) == 0 {
		w.put(t, budgets, `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"shop"},"spec":{"minAvailable":3,"selector":{"matchLabels":{"team":"shop"}}}}`)
	}
	w.o = workload.Options{Namespace: "prod", Template: workload.Image("app", "web"), End: workload.End(w.rand.IntN(2)), Surge: w.rand.IntN(2)}
	if w.rand.IntN(2) == 0 {
		w.o.Configs = []string{"ConfigMap/web"}
		w.put(t, configMaps, fmt.Sprintf(config, "blue"))
		w.change(deployments, "web", "kubectl", func(o map[string]any) {
			_ = unstructured.SetNestedSlice(o, []any{map[string]any{"name": "c", "configMap": map[string]any{"name": "web"}}}, "spec", "template", "spec", "volumes")
		})
	}
	var s strategy.Strategy = strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(1), traffic.Percent(20), traffic.Percent(55), traffic.Full}, Hold: time.Minute, Checks: []string{"errors"}}
	if w.rand.IntN(3) == 0 {
		s = strategy.BlueGreen{Target: "web", Bake: 2 * time.Minute, Checks: []string{"errors"}}
	}
	var err error
	if w.plan, err = w.workload().Plan(s); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) workload() *workload.Workload {
	o := w.o
	o.Router = lossyRouter{w}
	x, err := workload.New(w.client(), o)
	if err != nil {
		w.Fatal(err)
	}
	return x
}

func (w *world) draw(n int) int {
	w.dice.Lock()
	defer w.dice.Unlock()
	return w.rand.IntN(n)
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.draw(int(d))) }

// fate is what happens before or after a call of a process: mostly nothing.
func (w *world) fate(ctx context.Context) error {
	p, ok := ctx.Value(lifeKey{}).(*life)
	switch {
	case !ok:
		return nil
	case p.dead.Load():
		return errDead
	case w.calm.Load():
		return nil
	}
	w.dice.Lock()
	w.calls--
	now, hit, which := w.calls == 0, w.rand.Float64() < w.odds, w.rand.IntN(3)
	w.dice.Unlock()
	switch {
	case now || hit && which == 0:
		p.dead.Store(true)
		p.end()
		return errDead
	case hit && which == 1:
		return errLost
	case hit:
		time.Sleep(w.upTo(40 * time.Second)) // longer than a caller's patience: a write that arrives late
	}
	return nil
}

// share is how much of everything a Deployment gets by the route in force.
func (w *world) share(name string) traffic.Weight {
	seen, err := w.router.Observe(context.Background())
	switch {
	case err != nil:
		w.Error(err)
	case seen.Route.IsZero() && name == "web", !seen.Route.IsZero() && seen.Route.Arms.Stable == name:
		return traffic.Full - seen.Route.Split.Candidate
	case seen.Route.Arms.Candidate == name && seen.Route.Split.Touches():
		return max(seen.Route.Split.Candidate, 1)
	}
	return 0
}

// needs is how many pods a Deployment needs for a share; 0 outside of a rollout.
func (w *world) needs(share traffic.Weight) int64 {
	for _, o := range w.objects[deployments] {
		if n := recorded(o); n > 0 {
			return (int64(share)*n + int64(traffic.Full) - 1) / int64(traffic.Full)
		}
	}
	return 0
}

// written holds what we write of a Deployment against its traffic.
func (w *world) written(manager string, before, after *unstructured.Unstructured) {
	if before == nil || after == nil || after.GetKind() != "Deployment" || manager != "rheostat" {
		return
	}
	share := w.share(after.GetName())
	if n := replicasOf(after.Object); n < replicasOf(before.Object) && n < w.needs(share) {
		w.Errorf("seed %d: %s is scaled to %d with %v of the traffic", w.seed, after.GetName(), n, share)
	}
	if share > 0 && digest(at0(before, "spec", "template")) != digest(at0(after, "spec", "template")) {
		w.Errorf("seed %d: %s gets another template with %v of the traffic", w.seed, after.GetName(), share)
	}
}

// taken holds what is left against the traffic, when a pod was taken away that served. What
// an autoscaler does that is not told to keep some is its own.
func (w *world) taken(name string) {
	left, _ := w.serving(name, time.Now())
	if o := w.objects[autoscalers][name]; o != nil && o.GetAnnotations()["rheostat.dev/original"] == "" {
		return
	}
	if share := w.share(name); share > 0 && left < w.needs(share)-w.died(name) {
		w.Errorf("seed %d: %s has %d pods left for %v of the traffic, which needs %d", w.seed, name, left, share, w.needs(share))
	}
}

// died is how many pods have died by themselves and may not be known to be dead.
func (w *world) died(name string) (n int64) {
	for _, p := range w.pods[name] {
		if p.restarted && p.ready.After(time.Now().Add(-time.Minute)) {
			n++
		}
	}
	return n
}

// routed holds the pods against a route that has just been written.
func (w *world) routed(from, to traffic.Route) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := func(name string) traffic.Weight {
		switch {
		case from.Arms.Stable == name, from.IsZero() && name == "web":
			return traffic.Full - from.Split.Candidate
		case from.Arms.Candidate == name:
			return from.Split.Candidate
		}
		return 0
	}
	for _, name := range []string{to.Arms.Stable, to.Arms.Candidate} {
		share := w.share(name)
		if share <= was(name) {
			continue
		}
		n, images := w.serving(name, time.Now())
		if need := w.needs(share); n < need-w.died(name) {
			w.Errorf("seed %d: %v to %v, and %s has %d pods of %d", w.seed, from, to, name, n, need)
		}
		if len(images) > 1 {
			w.Errorf("seed %d: %v to %v, and %s runs %v", w.seed, from, to, name, images)
		}
	}
}

type lossyRouter struct{ w *world }

func (r lossyRouter) Caps() traffic.Caps {
	caps := r.w.router.Caps()
	caps.Room = false
	return caps
}

func (r lossyRouter) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.w.fate(ctx); err != nil {
		return err
	}
	before, err := r.w.router.Observe(ctx)
	if err == nil {
		err = r.w.router.Apply(context.WithoutCancel(ctx), fence, route)
	}
	if err != nil {
		return err
	}
	r.w.routed(before.Route, route)
	return r.w.fate(ctx)
}

func (r lossyRouter) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := r.w.fate(ctx); err != nil {
		return traffic.Seen{}, err
	}
	seen, err := r.w.router.Observe(ctx)
	seen.Room = traffic.Room{}
	return seen, err
}

type lossyStore struct{ w *world }

func (s lossyStore) Load(ctx context.Context, service string) (strategy.State, error) {
	if err := s.w.fate(ctx); err != nil {
		return strategy.State{}, err
	}
	return s.w.store.Load(ctx, service)
}

func (s lossyStore) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	if err := s.w.fate(ctx); err != nil {
		return err
	}
	if err := s.w.store.Save(ctx, service, prev, next, log...); err != nil {
		return err
	}
	return s.w.fate(ctx)
}

func (s lossyStore) List(ctx context.Context) iter.Seq2[string, error] { return s.w.store.List(ctx) }

// live runs processes one after another until ctx ends.
func (w *world) live(ctx context.Context) {
	for ctx.Err() == nil {
		p := &life{}
		one, end := context.WithCancel(context.WithValue(ctx, lifeKey{}, p))
		p.end = end
		_, _ = w.runner(5*time.Second).Run(one, "shop")
		end()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + w.upTo(time.Minute)):
		}
	}
}

func (w *world) runner(poll time.Duration) *strategy.Runner {
	x := w.workload()
	errs := analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		if w.bad.Load() {
			return c.Finding(analysis.Fail, "errors"), nil
		}
		return c.Finding(analysis.Pass, ""), nil
	})
	r, err := strategy.NewRunner(strategy.Config{
		Store: lossyStore{w}, Poll: poll,
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{"web": x.Router()}, Tasks: x.Tasks(w.plan), Judges: map[string]analysis.Judge{"errors": errs},
		}),
	})
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// trouble is what happens in a cluster: the autoscaler thinks again, pods die.
func (w *world) trouble(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second + w.upTo(2*time.Minute)):
		}
		w.mu.Lock()
		if o := w.objects[autoscalers]["web"]; o != nil {
			least, most := int64(1), int64(20)
			if n, ok, _ := unstructured.NestedInt64(o.Object, "spec", "minReplicas"); ok {
				least = n
			}
			desired := min(most, max(least, int64(1+w.draw(14))))
			if n := replicasOf(w.objects[deployments]["web"].Object); n > 0 && n != desired {
				w.edit(deployments, "web", "horizontal-pod-autoscaler", func(o map[string]any) { _ = unstructured.SetNestedField(o, desired, "spec", "replicas") })
			}
		}
		for _, name := range []string{"web", "web-candidate"} {
			if all := w.pods[name]; len(all) > 0 && !w.calm.Load() && w.draw(4) == 0 {
				if p := all[w.draw(len(all))]; p.serves(time.Now()) {
					p.restarted, p.ready = true, time.Now().Add(w.upTo(30*time.Second))
				}
			}
		}
		w.mu.Unlock()
	}
}

// play is one story to its end, which it names.
func (w *world) play() string {
	ctx, cancel := context.WithCancel(w.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { w.controllers(ctx) })
	all.Go(func() { w.trouble(ctx) })
	time.Sleep(3 * time.Minute)
	operator := w.runner(time.Second)
	version := 2
	start := func() {
		r := release(fmt.Sprint("v", version))
		if w.draw(8) == 0 {
			r.Candidate.Version = fmt.Sprint("v", version, "-broken")
		}
		version++
		if _, err := operator.Start(ctx, "shop", strategy.Request{Release: r, Plan: w.plan, Override: strategy.Override{By: "ann"}}); err != nil {
			if !errors.Is(err, strategy.ErrNotHome) {
				w.Errorf("seed %d: start %s: %v", w.seed, r.Candidate.Version, err)
			}
		}
	}
	start()
	for range 2 {
		all.Go(func() { w.live(ctx) })
	}
	for range w.draw(4) {
		time.Sleep(w.upTo(15 * time.Minute))
		switch w.draw(5) {
		case 0:
			w.bad.Store(true)
		case 1:
			_ = operator.Abort(ctx, "shop", "ann", "to see")
		case 2:
			_ = operator.Hold(ctx, "shop", "ann", "to see")
		case 3:
			w.bad.Store(false)
			start()
		default:
			w.dice.Lock()
			w.odds /= 2
			w.dice.Unlock()
		}
	}
	time.Sleep(w.upTo(30 * time.Minute))
	w.calm.Store(true)
	for until := time.Now().Add(12 * time.Hour); time.Now().Before(until); time.Sleep(time.Minute) {
		s, err := w.store.Load(ctx, "shop")
		if err != nil {
			w.Error(err)
		}
		if (s.Phase == strategy.Promoted || s.Phase == strategy.RolledBack) && s.Next.Plan.IsZero() {
			time.Sleep(2 * time.Minute)
			w.rest(s)
			return s.Phase.String()
		}
		if s.Intent.Hold || s.Hold.ID != 0 {
			w.bad.Store(false)
			_ = operator.Resume(ctx, "shop", "ann", "enough")
		}
	}
	e, err := operator.Explain(ctx, "shop")
	w.Errorf("seed %d: it does not end: %s (%v)", w.seed, e.Summary, err)
	s, _ := w.store.Load(ctx, "shop")
	for name, task := range w.workload().Tasks(w.plan) {
		if x, ok := task.(strategy.Explainer); ok {
			why, err := x.Explain(ctx, strategy.Ref{Service: "shop", Run: s.Run, Release: s.Release, Fence: s.Seq, Back: s.Phase != strategy.Progressing})
			w.Logf("%s: %s %v", name, why, err)
		}
	}
	return "stuck"
}

// rest looks at what is left when nothing moves any more.
func (w *world) rest(s strategy.State) {
	serves, idle := s.Release.Stable, s.Release.Candidate
	if s.Phase == strategy.Promoted && w.o.End == workload.Swap {
		serves, idle = idle, serves
	}
	version := s.Release.Stable.Version
	if s.Phase == strategy.Promoted {
		version = s.Release.Candidate.Version
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.objects[deployments][serves.Arm()]; o == nil || replicasOf(o.Object) == 0 || version != "v1" && imageOf(o.Object) != "web:"+version ||
		o.GetAnnotations()["rheostat.dev/resting"] != "" {
		w.Errorf("seed %d: %s, and %s is %v", w.seed, s.Phase, serves.Arm(), o)
	}
	if o := w.objects[deployments][idle.Arm()]; o != nil && (replicasOf(o.Object) > 0 || len(w.pods[idle.Arm()]) > 0) {
		w.Errorf("seed %d: %s, and %s is %v with %d pods", w.seed, s.Phase, idle.Arm(), o, len(w.pods[idle.Arm()]))
	}
	for kind, objects := range w.objects {
		for name, o := range objects {
			if o.GetAnnotations()["rheostat.dev/original"] != "" {
				w.Errorf("seed %d: %s, and %s %s is still noted: %v", w.seed, s.Phase, kind.Resource, name, o.GetAnnotations())
			}
			if n, _, _ := unstructured.NestedInt64(o.Object, "spec", "minReplicas"); kind == autoscalers && n != 3 {
				w.Errorf("seed %d: %s, and the autoscaler is left at %d", w.seed, s.Phase, n)
			}
		}
	}
}
