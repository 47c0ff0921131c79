// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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

const (
	id   = "users-new-email"
	bake = 10 * time.Minute
	soak = 20 * time.Minute
)

func change() migrate.Change {
	return migrate.Change{
		ID: id, App: "shop", New: []string{"v2", "v3"}, Soak: soak,
		Ops: []migrate.Op{migrate.ReplaceColumn{Table: "users", Old: "email", New: "new_email", Type: "text", NotNull: true}},
	}
}

// rig is a service with a database in a bubble.
type rig struct {
	t       *testing.T
	ctx     context.Context
	db      *migrate.Memory
	m       *migrate.Migrator
	x       *migration.Migration
	router  *watched
	runner  *strategy.Runner
	failing atomic.Bool
	plan    strategy.Plan
}

// watched holds every route with any traffic for the candidate against the database.
type watched struct {
	*traffic.Memory

	r *rig
}

func (w *watched) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	err := w.Memory.Apply(ctx, fence, route)
	record, loadErr := w.r.db.Load(ctx, id)
	exposed := route.Split.Candidate > 0 || len(route.Split.Match) > 0 || route.Split.Mirror > 0
	if err == nil && exposed && (loadErr != nil || !record.State.Phase.Serves()) {
		w.r.t.Errorf("%v while the change is %v (%v)", route, record.State.Phase, loadErr)
	}
	return err
}

func newRig(t *testing.T, o migration.Options, faults ...func(*migrate.Memory)) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); synctest.Wait() })
	r := &rig{t: t, ctx: ctx, db: migrate.NewMemory()}
	r.router = &watched{Memory: traffic.NewMemory(traffic.Options{}), r: r}
	for _, fault := range faults {
		fault(r.db)
	}
	var err error
	r.m, err = migrate.New(r.db, migrate.Options{Observe: r.event, Poll: 15 * time.Second})
	r.must(err)
	r.x, err = migration.New(r.m, change(), o)
	r.must(err)
	r.plan, err = r.x.Plan(strategy.BlueGreen{Target: "web", Bake: bake, Checks: []string{"errors"}, Watch: []string{"errors"}})
	r.must(err)
	judges := r.x.Judges()
	judges["errors"] = analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		if r.failing.Load() {
			return c.Finding(analysis.Fail, "errors"), nil
		}
		return c.Finding(analysis.Pass, "well"), nil
	})
	r.runner, err = strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{},
		Wire:  strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": r.router}, Judges: judges, Tasks: r.x.Tasks()}),
	})
	r.must(err)
	go func() { _ = r.m.Work(ctx) }()
	return r
}

// event holds each statement that takes something from the candidate against the traffic.
func (r *rig) event(ctx context.Context, e migrate.Event) {
	if e.Kind != migrate.StatementRun || !strings.HasPrefix(e.Statement, "undo ") || strings.HasPrefix(e.Statement, "undo soaking") {
		return
	}
	if seen, err := r.router.Observe(ctx); err != nil || seen.Route.Split.Candidate > 0 {
		r.t.Errorf("%s with %v in force (%v)", e.Statement, seen.Route, err)
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) attend(version string) (stop func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	ready := make(chan struct{})
	go func() {
		err := migrate.Attend(ctx, r.db, migrate.Instance{App: "shop", Version: version, ID: "1"}, 0, func() { close(ready) })
		if !errors.Is(err, context.Canceled) {
			r.t.Errorf("%s: %v", version, err)
		}
	}()
	<-ready
	return cancel
}

func (r *rig) start(from, to string) {
	r.t.Helper()
	_, err := r.runner.Start(r.ctx, "shop", strategy.Request{Release: strategy.NewRelease(from, to), Plan: r.plan})
	r.must(err)
}

// run carries the rollout out, and says how it ended.
func (r *rig) run() (phase string, took time.Duration) {
	r.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, 48*time.Hour) // of the bubble
	defer cancel()
	state, err := r.runner.Run(ctx, "shop")
	r.t.Log(state.Phase, err)
	return state.Phase.String(), time.Since(began)
}

func (r *rig) phase() migrate.Phase {
	r.t.Helper()
	record, err := r.x.Record(r.ctx)
	r.must(err)
	return record.State.Phase
}

func TestTheWholeStoryIsOnePlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		r.attend("v2")
		old := r.attend("v1")
		go func() { // the old version is scaled down after the bake, some time later
			time.Sleep(bake + 30*time.Minute)
			if p := r.phase(); p != migrate.Switched {
				r.t.Errorf("%v while v1 is alive", p)
			}
			old()
		}()
		r.start("v1", "v2")
		phase, took := r.run()
		if phase != "promoted" || r.phase() != migrate.Done || took < bake+soak {
			t.Errorf("%s, the change is %v, after %v", phase, r.phase(), took)
		}
	})
}

func TestAFailingCandidateTakesTheSchemaHomeAfterTheTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		r.attend("v1")
		r.attend("v2") // deployed, without traffic after the return
		time.AfterFunc(5*time.Minute, func() { r.failing.Store(true) })
		r.start("v1", "v2")
		if phase, _ := r.run(); phase != "rolledBack" || r.phase() != migrate.RolledBack {
			t.Errorf("%s, the change is %v", phase, r.phase())
		}
		time.Sleep(20 * time.Minute) // one automatic return in a while is enough
		// The next candidate begins anew.
		r.failing.Store(false)
		time.AfterFunc(5*time.Minute, func() { r.failing.Store(true) })
		r.start("v1", "v3")
		if phase, _ := r.run(); phase != "rolledBack" || r.phase() != migrate.RolledBack {
			t.Errorf("again: %s, the change is %v", phase, r.phase())
		}
	})
}

func TestTheSchemaIsKeptForTheNextCandidate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{Keep: true, NoContract: true})
		time.AfterFunc(5*time.Minute, func() { r.failing.Store(true) })
		r.start("v1", "v2")
		if phase, _ := r.run(); phase != "rolledBack" || r.phase() != migrate.Ready {
			t.Errorf("%s, the change is %v", phase, r.phase())
		}
		time.Sleep(20 * time.Minute)
		r.failing.Store(false)
		r.start("v1", "v3")
		if phase, _ := r.run(); phase != "promoted" || r.phase() != migrate.Ready {
			t.Errorf("again: %s, the change is %v", phase, r.phase())
		}
	})
}

func TestWhoeverTakesTheChangeBackUnderARolloutSendsItHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		time.AfterFunc(5*time.Minute, func() {
			// Paused, so that only the order is there: the traffic has to go first.
			if err := r.m.Pause(r.ctx, id, "ann", "to see"); err != nil {
				t.Error(err)
			}
			record, err := r.db.Load(r.ctx, id)
			if err != nil {
				t.Error(err)
			}
			record.Order.Want, record.Order.By, record.Order.N = migrate.RolledBack, "ann", record.Order.N+1
			if err := r.db.Order(r.ctx, id, record.Order); err != nil {
				t.Error(err)
			}
		})
		r.start("v1", "v2")
		if phase, took := r.run(); phase != "rolledBack" || took > bake {
			t.Errorf("%s after %v", phase, took)
		}
	})
}

func TestAChangeThatFailsSendsTheRolloutHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{}, func(db *migrate.Memory) {
			db.Before = func(_ context.Context, call string) error {
				if call == "Batch" {
					return errors.New("division by zero")
				}
				return nil
			}
		})
		r.start("v1", "v2")
		if phase, _ := r.run(); phase != "rolledBack" || r.phase() != migrate.RolledBack {
			t.Errorf("%s, the change is %v", phase, r.phase())
		}
		for _, accepted := range r.router.History() {
			if accepted.Route.Split.Candidate > 0 {
				t.Errorf("%v was in force", accepted.Route)
			}
		}
	})
}

func TestARolloutThatIsOverTakesNothingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{Keep: false})
		ref := strategy.Ref{Service: "shop", Run: 2, Fence: 20, Release: strategy.NewRelease("v1", "v3")}
		task := r.x.Expand()
		r.must(task.Do(r.ctx, ref))
		late := strategy.Ref{Service: "shop", Run: 1, Fence: 19, Release: strategy.NewRelease("v1", "v2")}
		if err := task.Undo(r.ctx, late); !errors.Is(err, migrate.ErrFenced) {
			t.Errorf("a late Undo: %v", err)
		}
		if err := r.x.Contract().Do(r.ctx, late); !errors.Is(err, migrate.ErrFenced) {
			t.Errorf("a late contract: %v", err)
		}
		time.Sleep(time.Minute)
		if r.phase() != migrate.Ready {
			t.Errorf("the change is %v", r.phase())
		}
		r.must(task.Undo(r.ctx, ref))
		time.Sleep(time.Minute)
		if err := task.Do(r.ctx, late); !errors.Is(err, migrate.ErrFenced) || r.phase() != migrate.RolledBack {
			t.Errorf("a late Do: %v, the change is %v", err, r.phase())
		}
	})
}

func TestAProcessThatDiesAnywhereIsFollowed(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		synctest.Test(t, func(t *testing.T) {
			// The n-th call of the database fails, before it was carried out or after.
			var calls atomic.Int64
			fail := func(_ context.Context, call string) error {
				if call != "Register" && calls.Add(1) == int64(n) {
					return fmt.Errorf("%s: connection lost: %w", call, io.ErrUnexpectedEOF)
				}
				return nil
			}
			r := newRig(t, migration.Options{}, func(db *migrate.Memory) {
				if n%2 == 0 {
					db.Before = fail
				} else {
					db.After = fail
				}
			})
			r.attend("v2")
			r.start("v1", "v2")
			if phase, _ := r.run(); phase != "promoted" || r.phase() != migrate.Done {
				t.Errorf("call %d: %s, the change is %v", n, phase, r.phase())
			}
		})
	}
}

func TestAPlanOfSeveralLanesIsRefused(t *testing.T) {
	t.Parallel()
	m, err := migrate.New(migrate.NewMemory(), migrate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := migration.New(m, change(), migration.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rings := strategy.Rings{Rings: []strategy.Group{{Name: "inner", Targets: []string{"a"}}, {Name: "outer", Targets: []string{"b"}}}}
	if _, err := x.Plan(rings); err == nil || !strings.Contains(err.Error(), "lanes") {
		t.Error(err)
	}
	for name, bad := range map[string]func() error{
		"Migrator": func() error { _, err := migration.New(nil, change(), migration.Options{}); return err },
		"ID":       func() error { _, err := migration.New(m, migrate.Change{}, migration.Options{}); return err },
		"Patience": func() error { _, err := migration.New(m, change(), migration.Options{Patience: -1}); return err },
	} {
		if err := bad(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheProgramsOwnMetricsThrottleABackfill(t *testing.T) {
	t.Parallel()
	var verdict analysis.Verdict
	var broken error
	var seen analysis.State
	health := migration.Health(analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		seen = c.State
		f := c.Finding(verdict, "")
		f.State = "kept"
		return f, broken
	}), analysis.Check{Name: "errors"})
	for _, c := range []struct {
		verdict analysis.Verdict
		want    float64
		state   analysis.State
	}{
		{analysis.Pending, 1, ""},
		{analysis.Pass, 1, "kept"},
		{analysis.Inconclusive, 0.5, "kept"},
		{analysis.Fail, 0, "kept"},
		{analysis.Safe, 1, ""},
	} {
		verdict = c.verdict
		if got, err := health(t.Context()); err != nil || got != c.want || seen != c.state {
			t.Errorf("%v: %v, %v, state %q", c.verdict, got, err, seen)
		}
	}
	broken = errors.New("prometheus is away")
	if got, err := health(t.Context()); got != 0 || !errors.Is(err, broken) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAnAbortAtAnyMomentTakesEverythingBack(t *testing.T) {
	t.Parallel()
	at := []time.Duration{0}
	for d := time.Second / 2; d < bake+soak; d = max(d+time.Second/2, d*10/9) { // no phase before the switch is longer than a few calls
		at = append(at, d)
	}
	phases := []migrate.Phase{migrate.Expanding, migrate.Backfilling, migrate.Verifying, migrate.Ready, migrate.Switched, migrate.Soaking}
	seen := map[migrate.Phase]bool{}
	missed := func(p migrate.Phase) bool { return !seen[p] }
	for n := 0; n < len(at) || n < 10*len(at) && slices.ContainsFunc(phases, missed); n++ { // when a phase begins is partly by chance
		after := at[n%len(at)]
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, migration.Options{}, func(db *migrate.Memory) {
				db.Before = func(_ context.Context, call string) error {
					if call == "Do" || call == "Batch" {
						time.Sleep(time.Second)
					}
					return nil
				}
			})
			r.attend("v2")
			r.start("v1", "v2")
			time.AfterFunc(after, func() {
				if record, err := r.x.Record(r.ctx); err == nil {
					seen[record.State.Phase] = true
				}
				if err := r.runner.Abort(r.ctx, "shop", "ann", "to see"); err != nil {
					t.Error(err)
				}
			})
			phase, _ := r.run()
			record, err := r.x.Record(r.ctx)
			if none := errors.Is(err, migrate.ErrNotFound); phase != "rolledBack" || !none && record.State.Phase != migrate.RolledBack {
				t.Errorf("aborted after %v: %s, the change is %v (%v)", after, phase, record.State.Phase, err)
			}
		})
	}
	for _, p := range phases {
		if missed(p) {
			t.Errorf("none was aborted while %v", p)
		}
	}
}

func TestTheSchemaStaysForAStableThatNeedsIt(t *testing.T) {
	t.Parallel()
	for _, o := range []migration.Options{{}, {NoContract: true}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, o)
			r.attend("v2")
			r.start("v1", "v2")
			phase, _ := r.run()
			before := r.phase()
			if phase != "promoted" {
				t.Fatal(phase)
			}
			time.AfterFunc(5*time.Minute, func() { r.failing.Store(true) })
			r.start("v2", "v3")
			if phase, _ := r.run(); phase != "rolledBack" || r.phase() != before {
				t.Errorf("%+v: v3 is %s, the change is %v and was %v", o, phase, r.phase(), before)
			}
		})
	}
}

func TestAHoldAndASuccessorMidway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		r.attend("v2")
		r.attend("v3")
		r.start("v1", "v2")
		time.AfterFunc(time.Minute, func() { r.must(r.runner.Hold(r.ctx, "shop", "ann", "lunch")) })
		time.AfterFunc(time.Hour, func() {
			if p := r.phase(); p != migrate.Switched {
				t.Errorf("%v after an hour's hold in the bake", p)
			}
			r.must(r.runner.Resume(r.ctx, "shop", "ann", "back"))
			r.start("v1", "v3") // v2 goes home, and the schema with it; then v3 begins anew
		})
		phase, _ := r.run()
		state, err := r.runner.Explain(r.ctx, "shop")
		if phase != "promoted" || r.phase() != migrate.Done {
			t.Errorf("%s, the change is %v: %v (%v)", phase, r.phase(), state.Summary, err)
		}
		undone := 0
		for _, text := range r.db.Statements() {
			if strings.HasPrefix(text, "undo syncing") {
				undone++
			}
		}
		if undone != 1 {
			t.Errorf("the sync was taken back %d times, want once", undone)
		}
	})
}

func TestExplainNamesWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		if _, err := r.x.Explain(r.ctx); !errors.Is(err, migrate.ErrNotFound) {
			t.Error(err)
		}
		r.attend("v2")
		old := r.attend("v1")
		says := func(after time.Duration, want string) {
			time.AfterFunc(after, func() {
				text, err := r.x.Explain(r.ctx)
				if err != nil || !strings.Contains(text, want) {
					t.Errorf("after %v: %s (%v); want %q", after, text, err, want)
				}
			})
		}
		time.AfterFunc(bake+5*time.Minute, func() {
			e, err := r.runner.Explain(r.ctx, "shop")
			if err != nil || !strings.Contains(e.Summary, `waits for task "contract": `) || !strings.Contains(e.Summary, "shop@v1 (1)") {
				t.Errorf("the rollout says %s (%v)", e.Summary, err)
			}
		})
		says(5*time.Minute, "nothing is left to do")
		says(bake+5*time.Minute, "shop@v1 (1)")
		says(bake+20*time.Minute, "soaking until")
		time.AfterFunc(bake+10*time.Minute, old)
		r.start("v1", "v2")
		if phase, _ := r.run(); phase != "promoted" {
			t.Error(phase)
		}
	})
}

func TestAPersonsRollbackIsNotTakenForTheRollouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		r.attend("v2") // keeps a person's rollback waiting
		ref := strategy.Ref{Service: "shop", Run: 1, Fence: 3, Release: strategy.NewRelease("v1", "v2")}
		r.must(r.x.Expand().Do(r.ctx, ref))
		time.Sleep(time.Minute)
		r.must(r.m.Order(r.ctx, id, migrate.Order{Want: migrate.RolledBack, By: "ben"}))
		time.Sleep(time.Minute)
		if status, err := r.x.Switched().Status(r.ctx, ref); err != nil || status != strategy.TaskFailed {
			t.Errorf("switched: %v (%v)", status, err)
		}
		ref.Back = true
		if status, err := r.x.Expand().Status(r.ctx, ref); err != nil || status != strategy.TaskTodo || r.phase() != migrate.Ready {
			t.Errorf("%v (%v), the change is %v", status, err, r.phase())
		}
		r.must(r.x.Expand().Undo(r.ctx, ref))
		time.Sleep(time.Minute)
		if status, err := r.x.Expand().Status(r.ctx, ref); err != nil || status != strategy.TaskDone || r.phase() != migrate.RolledBack {
			t.Errorf("%v (%v), the change is %v", status, err, r.phase())
		}
	})
}

func TestWhatSoaksComesBackBeforeTheTrafficDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, migration.Options{})
		r.attend("v2")
		r.start("v1", "v2")
		time.AfterFunc(bake+5*time.Minute, func() { // somebody finds that the old side is needed after all
			v1 := migrate.Instance{App: "shop", Version: "v1", ID: "1"}
			if err := r.db.Register(r.ctx, v1); !errors.Is(err, migrate.ErrRetired) || r.phase() != migrate.Soaking {
				t.Errorf("v1 registers: %v, while %v", err, r.phase())
			}
			if err := r.m.Rollback(r.ctx, id, "a report needs it"); !errors.Is(err, migrate.ErrOldVersionLive) {
				t.Errorf("with v2 alive: %v", err)
			}
			if err := r.db.Register(r.ctx, v1); err != nil || r.phase() != migrate.Switched {
				t.Errorf("v1 registers: %v, while %v", err, r.phase())
			}
			time.Sleep(time.Minute)
			if e, err := r.runner.Explain(r.ctx, "shop"); err != nil || !strings.Contains(e.Summary, "stopped for a person") {
				t.Errorf("the rollout: %s (%v)", e.Summary, err)
			}
			r.must(r.runner.Abort(r.ctx, "shop", "ann", "v1 is up again"))
		})
		if phase, _ := r.run(); phase != "rolledBack" || r.phase() != migrate.RolledBack {
			t.Errorf("%s, the change is %v", phase, r.phase())
		}
	})
}
