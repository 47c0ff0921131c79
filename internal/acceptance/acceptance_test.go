// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

const (
	service = "web"
	hold    = 150 * time.Millisecond
)

// TestAServiceLivesThroughItsReleases is the life of one service: a canary, a
// second one that is superseded midway by a third, and blue-green there and
// back, with a restart of everything in between, under load all the time.
func TestAServiceLivesThroughItsReleases(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	load := l.load()

	l.run("v1@blue", "v2@green", canary(hold), strategy.Promoted)
	l.restart()

	// It must still stand at 50% when the third one comes, however slow the machine.
	l.start("v2@green", "v3@blue", canary(10*hold))
	over := l.carryOut()
	l.until("50%")
	l.start("v2@green", "v4@blue", canary(hold))
	if final := <-over; final.Phase != strategy.Promoted || final.Release.Candidate.Version != "v4" {
		t.Fatalf("the third run ended %v with %s: %v", final.Phase, final.Release.Candidate.Version, final.Err())
	}

	l.run("v4@blue", "v5@green", blueGreen(), strategy.Promoted)
	l.restart()
	l.run("v5@green", "v6@blue", blueGreen(), strategy.Promoted)
	final := l.state()
	load.stop(t)

	want := strings.Fields(`
		green:0% green:10% green:50% green:100%
		blue:0% blue:10% blue:50% blue:0%
		blue:0% blue:10% blue:50% blue:100%
		green:0% green:0%+match green:100%
		blue:0% blue:0%+match blue:100%`)
	if got := l.journal.accepted(); !slices.Equal(got, want) {
		t.Errorf("accepted %v\nwant     %v", got, want)
	}
	if l.journal.refused.Load() > 0 {
		t.Errorf("the rightful runner was refused %d times", l.journal.refused.Load())
	}
	if final.Run != 5 || final.LastGood.Version != "v6" || len(final.Quarantine) != 0 {
		t.Errorf("after %d runs the last good one is %s, in quarantine %v", final.Run, final.LastGood.Version, final.Quarantine)
	}
	l.staleWritesAreRefused()
}

// TestABadCandidateIsHomeWithinSeconds has the real judge watch the real proxy.
func TestABadCandidateIsHomeWithinSeconds(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	load := l.load()
	l.bad.Store("green")
	l.run("v1@blue", "v2@green", canary(hold), strategy.RolledBack)
	load.tolerant = true
	load.stop(t)
	final := l.state()
	if final.Cause != strategy.CauseCheck || !strings.Contains(final.Reason, "errors") {
		t.Errorf("it went home by %v: %s", final.Cause, final.Reason)
	}
	seen, err := l.proxy.Load().Observe(t.Context())
	if err != nil || seen.Route.Split.Touches() {
		t.Errorf("after the rollback the proxy shows %v, %v", seen.Route, err)
	}
	if got := l.journal.accepted(); got[len(got)-1] != "green:0%" {
		t.Errorf("accepted %v", got)
	}
}

func canary(hold time.Duration) strategy.Plan {
	return plan(strategy.Canary{
		Target: service, Weights: []traffic.Weight{traffic.Percent(10), traffic.Percent(50), traffic.Full}, Hold: hold, Checks: []string{"errors"},
	})
}

func blueGreen() strategy.Plan {
	return plan(strategy.BlueGreen{Target: service, PreviewHold: hold, Bake: hold, Checks: []string{"errors"}})
}

func plan(s strategy.Strategy) strategy.Plan {
	p, err := s.Plan()
	if err != nil {
		panic(err)
	}
	return p
}

// life is a service with two backends, its proxy and its runner.
type life struct {
	t        *testing.T
	dir      string
	backends map[string][]*url.URL
	bad      atomic.Value // the backend that answers errors
	front    *httptest.Server
	proxy    atomic.Pointer[proxy.Proxy]
	journal  journal
	store    *strategy.FileStore
	runner   *strategy.Runner
}

func newLife(t *testing.T) *life {
	t.Helper()
	l := &life{t: t, dir: t.TempDir(), backends: map[string][]*url.URL{}}
	l.bad.Store("")
	for _, name := range []string{"blue", "green"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if l.bad.Load() == name {
				http.Error(w, name, http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, name)
		}))
		t.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		l.backends[name] = []*url.URL{u}
	}
	l.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.proxy.Load().ServeHTTP(w, r) }))
	t.Cleanup(l.front.Close)
	l.open()
	first := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}}
	if err := l.proxy.Load().Apply(t.Context(), 1, first); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.store.Close() })
	return l
}

// open makes everything anew from what is on disk.
func (l *life) open() {
	l.t.Helper()
	p, err := proxy.New(l.backends, proxy.Options{File: filepath.Join(l.dir, "route")})
	if err != nil {
		l.t.Fatal(err)
	}
	l.proxy.Store(p)
	l.journal.router.Store(p)
	if l.store, err = strategy.OpenFileStore(filepath.Join(l.dir, "state"), strategy.FileStoreOptions{}); err != nil {
		l.t.Fatal(err)
	}
	errorRate, err := analysis.NewThreshold(analysis.ErrorRate(analysis.FromTotals(p)), analysis.AtMost(0.2), analysis.ThresholdOptions{Interval: hold / 3})
	if err != nil {
		l.t.Fatal(err)
	}
	l.runner, err = strategy.NewRunner(strategy.Config{
		Store: l.store, Poll: 10 * time.Millisecond,
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{service: &l.journal}, Judges: map[string]analysis.Judge{"errors": errorRate},
		}),
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) restart() {
	l.t.Helper()
	if err := l.store.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open()
}

func revision(text string) strategy.Revision {
	version, backend, _ := strings.Cut(text, "@")
	return strategy.Revision{Version: version, Backend: backend}
}

func (l *life) start(stable, candidate string, p strategy.Plan) {
	l.t.Helper()
	release := strategy.Release{Stable: revision(stable), Candidate: revision(candidate)}
	if _, err := l.runner.Start(l.t.Context(), service, strategy.Request{Release: release, Plan: p}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) carryOut() <-chan strategy.State {
	over := make(chan strategy.State, 1)
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	go func() {
		defer cancel()
		final, err := l.runner.Run(ctx, service)
		if err != nil && final.Phase != strategy.RolledBack {
			l.t.Errorf("Run: %v", err)
		}
		over <- final
	}()
	return over
}

func (l *life) run(stable, candidate string, p strategy.Plan, want strategy.Phase) {
	l.t.Helper()
	l.start(stable, candidate, p)
	if final := <-l.carryOut(); final.Phase != want {
		l.t.Fatalf("%s to %s ended %v: %v", stable, candidate, final.Phase, final.Err())
	}
}

func (l *life) state() strategy.State {
	l.t.Helper()
	s, err := l.store.Load(l.t.Context(), service)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// until waits for the step to be in force.
func (l *life) until(step string) {
	l.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		s := l.state()
		if lane := s.Lanes[0]; lane.Stage == strategy.Holding && s.Plan.Plan().Lanes[0].Steps[lane.Step].Name == step {
			return
		}
		time.Sleep(time.Millisecond)
	}
	l.t.Fatalf("step %s was never in force: %+v", step, l.state().Journal())
}

// staleWritesAreRefused repeats every write of the past but the last.
func (l *life) staleWritesAreRefused() {
	l.t.Helper()
	before, err := l.proxy.Load().Observe(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	writes := l.journal.all()
	for _, w := range writes[:len(writes)-1] {
		if err := l.proxy.Load().Apply(l.t.Context(), w.Fence, w.Route); !errors.Is(err, traffic.ErrFenced) {
			l.t.Errorf("the old write %v under fence %d was answered %v", w.Route, w.Fence, err)
		}
	}
	after, err := l.proxy.Load().Observe(l.t.Context())
	if err != nil || !after.Route.Equal(before.Route) || after.Fence != before.Fence {
		l.t.Errorf("old writes changed %+v to %+v, %v", before, after, err)
	}
}

// journal is a router that writes down what passes through it.
type journal struct {
	router  atomic.Pointer[proxy.Proxy]
	refused atomic.Int64

	mu     sync.Mutex
	writes []traffic.Accepted
}

func (j *journal) Caps() traffic.Caps { return j.router.Load().Caps() }

func (j *journal) Observe(ctx context.Context) (traffic.Seen, error) {
	return j.router.Load().Observe(ctx)
}

func (j *journal) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	err := j.router.Load().Apply(ctx, fence, r)
	if err != nil {
		j.refused.Add(1)
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = append(j.writes, traffic.Accepted{Fence: fence, Route: r})
	return nil
}

func (j *journal) all() []traffic.Accepted {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.writes)
}

// accepted is every write in order, in short.
func (j *journal) accepted() []string {
	var list []string
	for _, w := range j.all() {
		text := w.Route.Arms.Candidate + ":" + w.Route.Split.Candidate.String()
		if len(w.Route.Split.Match) > 0 {
			text += "+match"
		}
		list = append(list, text)
	}
	return list
}

// load is clients that never stop asking, on connections that they keep.
type load struct {
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	served   atomic.Int64
	failed   atomic.Int64
	tolerant bool
}

func (l *life) load() *load {
	ctx, cancel := context.WithCancel(l.t.Context())
	g := &load{cancel: cancel}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 10 * time.Second}
	for range 4 {
		g.wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := client.Post(l.front.URL, "text/plain", nil) // POST: nothing tries it again behind our back
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					g.failed.Add(1)
				}
				g.served.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	l.t.Cleanup(func() { cancel(); g.wg.Wait(); client.CloseIdleConnections() })
	return g
}

// stop ends the load; unless the candidate was bad, nobody may have noticed anything.
func (g *load) stop(t *testing.T) {
	t.Helper()
	g.cancel()
	g.wg.Wait()
	if g.served.Load() == 0 || !g.tolerant && g.failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", g.failed.Load(), g.served.Load())
	}
	t.Logf("%d requests, %d failed", g.served.Load(), g.failed.Load())
}
