// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/migration"
	"github.com/rheostat-go/rheostat/traffic"
)

// TestNoWorldHasTrafficOnASchemaThatIsNotThere lets two processes carry rollouts out and two
// more do what they order, while all four are killed, calls fail, stall and lose their
// replies on both sides, an operator holds, aborts, releases something else midway and
// takes the change back by hand, candidates turn out bad and old instances linger. Two
// promises are looked at after every call: the candidate has traffic only while the change
// serves, and what is dropped is dropped while nobody needs it.
func TestNoWorldHasTrafficOnASchemaThatIsNotThere(t *testing.T) {
	t.Parallel()
	seeds := uint64(120)
	if testing.Short() {
		seeds = 40
	}
	ends := map[string]int{}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { ends[newWorld(t, seed).play()]++ })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("ends: %v", ends)
	if ends["promoted done"] < int(seeds)/10 || ends["rolledBack rolledBack"] < int(seeds)/10 {
		t.Errorf("the worlds are not of all kinds: %v", ends)
	}
}

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
	t      *testing.T
	seed   uint64
	db     *migrate.Memory
	store  strategy.MemoryStore
	router *traffic.Memory
	plan   strategy.Plan
	bad    atomic.Bool
	old    atomic.Int32 // instances of v1 alive
	calm   atomic.Bool

	mu     sync.Mutex
	rand   *rand.Rand
	odds   float64
	looked int // statements of the database that were looked at
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, db: migrate.NewMemory(), router: traffic.NewMemory(traffic.Options{}), rand: rand.New(rand.NewPCG(seed, 1))}
	w.odds = []float64{0, 0.005, 0.02, 0.06}[w.rand.IntN(4)]
	w.db.Rows = 1 + w.rand.Int64N(2000)
	w.db.Before = func(ctx context.Context, _ string) error { return w.fate(ctx) }
	w.db.After = func(ctx context.Context, _ string) error {
		w.look()
		return w.fate(ctx)
	}
	x := w.migration()
	var err error
	w.plan, err = x.Plan(strategy.BlueGreen{Target: "web", Bake: bake, Checks: []string{"errors"}, Watch: []string{"errors"}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) migration() *migration.Migration {
	x, err := migration.New(w.migrator(), change(), migration.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w *world) migrator() *migrate.Migrator {
	m, err := migrate.New(w.db, migrate.Options{Poll: 5 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// strikes draws whether a call goes wrong.
func (w *world) strikes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64() < w.odds
}

func (w *world) halveOdds() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.odds /= 2
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
	case w.calm.Load() || !w.strikes():
		return nil
	}
	switch w.draw(3) {
	case 0:
		p.dead.Store(true)
		p.end()
		return errDead
	case 1:
		return errLost
	default:
		time.Sleep(w.upTo(40 * time.Second)) // longer than some leases, and a caller's patience
		return nil
	}
}

// look holds every new statement against the traffic and the instances.
func (w *world) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.db.Statements()
	for _, text := range all[w.looked:] {
		seen, err := w.router.Observe(w.t.Context())
		switch {
		case strings.HasPrefix(text, "undo soaking"): // takes nothing from anybody
		case strings.HasPrefix(text, "undo ") && (err != nil || seen.Route.Split.Touches()):
			w.t.Errorf("seed %d: %s, with %v in force", w.seed, text, seen.Route)
		case strings.HasPrefix(text, "soaking ") && w.old.Load() > 0:
			w.t.Errorf("seed %d: %s, with v1 alive", w.seed, text)
		}
	}
	w.looked = len(all)
}

// The store and the router of a process, by the process in the context.

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

type lossyRouter struct{ w *world }

func (r lossyRouter) Caps() traffic.Caps { return r.w.router.Caps() }

func (r lossyRouter) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.w.fate(ctx); err != nil {
		return err
	}
	if err := r.w.router.Apply(ctx, fence, route); err != nil {
		return err
	}
	record, err := r.w.db.Load(r.w.t.Context(), id)
	if route.Split.Touches() && (err != nil || !record.State.Phase.Serves()) {
		r.w.t.Errorf("seed %d: %v while the change is %v (%v)", r.w.seed, route, record.State.Phase, err)
	}
	return r.w.fate(ctx)
}

func (r lossyRouter) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := r.w.fate(ctx); err != nil {
		return traffic.Seen{}, err
	}
	return r.w.router.Observe(ctx)
}

// live runs processes one after another until ctx ends.
func (w *world) live(ctx context.Context, run func(context.Context)) {
	for ctx.Err() == nil {
		p := &life{}
		one, end := context.WithCancel(context.WithValue(ctx, lifeKey{}, p))
		p.end = end
		run(one)
		end()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + w.upTo(time.Minute)):
		}
	}
}

func (w *world) rollouts(poll time.Duration) *strategy.Runner {
	x := w.migration()
	judges := x.Judges()
	judges["errors"] = analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		if w.bad.Load() {
			return c.Finding(analysis.Fail, "errors"), nil
		}
		return c.Finding(analysis.Pass, ""), nil
	})
	r, err := strategy.NewRunner(strategy.Config{
		Store: lossyStore{w}, Poll: poll,
		Wire: strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": lossyRouter{w}}, Judges: judges, Tasks: x.Tasks()}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// instance is one of a version until it is stopped.
func (w *world) instance(version string) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ready, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		err := migrate.Attend(ctx, w.db, migrate.Instance{App: "shop", Version: version, ID: "1"}, 0, func() { close(ready) })
		if !errors.Is(err, context.Canceled) {
			w.t.Errorf("seed %d: %s: %v", w.seed, version, err)
		}
	}()
	<-ready
	return func() { cancel(); <-gone }
}

// play is one story to its end, which it names.
func (w *world) play() string {
	ctx, cancel := context.WithCancel(w.t.Context())
	var processes sync.WaitGroup
	defer processes.Wait()
	defer cancel()
	defer w.instance("v2")() // deployed all the time, so that nobody rolls back under them by hand
	defer w.instance("v3")()
	stopOld := w.instance("v1")
	w.old.Store(1)
	operator := w.rollouts(time.Second)
	start := func(to string) {
		request := strategy.Request{Release: strategy.NewRelease("v1", to), Plan: w.plan, Override: strategy.Override{By: "ann"}}
		if _, err := operator.Start(ctx, "shop", request); err != nil && !errors.Is(err, strategy.ErrInvalidRelease) {
			w.t.Logf("seed %d: start %s: %v", w.seed, to, err)
		}
	}
	start("v2")
	for range 2 {
		processes.Go(func() { w.live(ctx, func(ctx context.Context) { _, _ = w.rollouts(5*time.Second).Run(ctx, "shop") }) })
		processes.Go(func() { w.live(ctx, func(ctx context.Context) { _ = w.migrator().Work(ctx) }) })
	}
	for range w.draw(4) {
		time.Sleep(w.upTo(20 * time.Minute))
		switch w.draw(6) {
		case 0:
			w.bad.Store(true)
		case 1:
			_ = operator.Abort(ctx, "shop", "ann", "to see")
		case 2:
			_ = operator.Hold(ctx, "shop", "ann", "to see")
		case 3:
			start("v3")
			w.bad.Store(false)
		case 4:
			if r, err := w.db.Load(ctx, id); err == nil {
				o := r.Order
				o.Want, o.Force, o.By, o.N = migrate.RolledBack, false, "ben", o.N+1
				_ = w.db.Order(ctx, id, o) // straight into the table, past every check
			}
		default:
			w.halveOdds()
		}
	}
	time.Sleep(w.upTo(time.Hour))
	_ = operator.Resume(ctx, "shop", "ann", "enough")
	s := w.state()
	if !s.Active() || s.Phase == strategy.Progressing { // v1 goes where v2 or v3 stays
		w.old.Store(0)
		stopOld()
	} else {
		defer stopOld()
	}
	w.calm.Store(true)
	var end string
	for deadline := time.Now().Add(30 * time.Hour); time.Now().Before(deadline); time.Sleep(5 * time.Minute) {
		s, r := w.state(), w.record()
		switch end = s.Phase.String() + " " + r.State.Phase.String(); {
		case end == "promoted done", end == "rolledBack rolledBack",
			end == "rollbackFailed done" && s.Cause == strategy.CauseAbort: // a person's word, against a contract that was faster
			return end
		}
		if s.Hold.ID != 0 && s.Active() { // past the one-way step a person has to say
			order := operator.Abort
			if !r.State.Phase.Returns() {
				order = operator.Resume
			}
			if err := order(ctx, "shop", "ann", "decided"); err != nil {
				w.t.Errorf("seed %d: %v", w.seed, err)
			}
			w.bad.Store(false)
		}
	}
	e, err := operator.Explain(ctx, "shop")
	r := w.record()
	w.t.Errorf("seed %d: %s\n%s (%v)\n%s", w.seed, end, e.Summary, err, r.Explain())
	return end
}

func (w *world) record() migrate.Record {
	r, err := w.db.Load(w.t.Context(), id)
	if err != nil {
		w.t.Errorf("seed %d: %v", w.seed, err)
	}
	return r
}

func (w *world) state() strategy.State {
	s, err := w.store.Load(w.t.Context(), "shop")
	if err != nil {
		w.t.Error(err)
	}
	return s
}
