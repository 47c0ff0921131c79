// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

func TestNewRunnerNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	sound := strategy.Config{Store: &strategy.MemoryStore{}, Wire: strategy.Fixed(strategy.Wiring{})}
	for field, spoil := range map[string]func(*strategy.Config){
		"Config.Store is nil": func(c *strategy.Config) { c.Store = nil },
		"Config.Wire is nil":  func(c *strategy.Config) { c.Wire = nil },
		"Config.Poll":         func(c *strategy.Config) { c.Poll = -1 },
		"CallTimeout":         func(c *strategy.Config) { c.CallTimeout = -1 },
		"Attempts":            func(c *strategy.Config) { c.Attempts = -1 },
	} {
		c := sound
		spoil(&c)
		if r, err := strategy.NewRunner(c); err == nil || r != nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, %v", field, r, err)
		}
	}
	if _, err := strategy.NewRunner(sound); err != nil {
		t.Error(err)
	}
}

func TestAPlanThatIsNotWiredIsNotBegun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := canary
	c.Checks, c.Watch, c.Before, c.Back.Before = []string{"errors", "latency"}, []string{"saturation"}, []string{"scale"}, []string{"room"}
	plan, err := c.Plan()
	r.must(err)
	_, err = r.runner.Start(t.Context(), "shop", strategy.Request{Release: release, Plan: plan})
	problems, ok := errors.AsType[*strategy.PlanError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`watch: there is no judge "saturation"; wire one, or mend the name`,
		`back.before: there is no task "room"; wire one, or mend the name`,
		`lane "web": step "10%": checks: there is no judge "latency"; wire one, or mend the name`,
		`lane "web": step "10%": before: there is no task "scale"; wire one, or mend the name`,
		`lane "web": step "50%": checks: there is no judge "latency"; wire one, or mend the name`,
		`lane "web": step "100%": checks: there is no judge "latency"; wire one, or mend the name`,
	}
	for _, w := range want {
		if !slices.ContainsFunc(problems.Problems, func(p strategy.Problem) bool { return p.String() == w }) {
			t.Errorf("%v\ndoes not say %s", err, w)
		}
	}
	if len(problems.Problems) != len(want) {
		t.Errorf("%v\nhas %d problems, want %d", err, len(problems.Problems), len(want))
	}
	if s := r.state(); s.Phase != strategy.Idle {
		t.Errorf("it was begun: %v", s.Phase)
	}
	r.wiring.Routers = map[string]traffic.Router{"api": r.router}
	if _, err := r.runner.Start(t.Context(), "shop", strategy.Request{Release: release, Plan: plan}); !errors.Is(err, strategy.ErrInvalidPlan) || !strings.Contains(err.Error(), `there is no router "web"`) {
		t.Errorf("without the router: %v", err)
	}
}

func TestStartIsSafeToRepeatAndRefusesWhatWasSentHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(canary)
		rev := r.state().Rev
		r.start(canary)
		if got := r.state(); got.Rev != rev || got.Run != 1 {
			t.Errorf("asked again it is run %d at rev %d", got.Run, got.Rev)
		}
		r.says(analysis.Fail)
		if _, err := r.runner.Run(t.Context(), "shop"); !errors.Is(err, strategy.ErrRolledBack) {
			t.Fatal(err)
		}
		plan, err := canary.Plan()
		r.must(err)
		begin := func(version, by string) error {
			_, err := r.runner.Start(t.Context(), "shop", strategy.Request{
				Release: strategy.Release{Stable: release.Stable, Candidate: strategy.Revision{Version: version}}, Plan: plan, Override: strategy.Override{By: by},
			})
			return err
		}
		if err := begin("v2", ""); !errors.Is(err, strategy.ErrQuarantined) {
			t.Errorf("the same revision: %v", err)
		}
		if flap, ok := errors.AsType[*strategy.FlapError](begin("v3", "")); !ok || !flap.Until.Equal(flap.Returned.Add(strategy.DefaultFlapWindow)) {
			t.Errorf("another one at once: %v", flap)
		}
		time.Sleep(strategy.DefaultFlapWindow)
		r.must(begin("v3", ""))
		if err := r.runner.Abort(t.Context(), "shop", "ann", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := r.runner.Run(t.Context(), "shop"); !errors.Is(err, strategy.ErrRolledBack) {
			t.Fatal(err)
		}
		r.must(begin("v2", "ann"))
	})
}

func TestRunEndsWithWhatItCannotCarryOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if _, err := r.runner.Run(t.Context(), "shop"); !errors.Is(err, strategy.ErrNoRun) || !strings.Contains(err.Error(), `"shop"`) {
			t.Errorf("without a run: %v", err)
		}
		r.start(canary)
		why := errors.New("the machine is drained")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(90*time.Second, func() { cancel(why) })
		if _, err := r.runner.Run(ctx, "shop"); !errors.Is(err, why) {
			t.Errorf("stopped: %v", err)
		}
		// The wiring fails for a while, and then not any more.
		wire := r.cfg.Wire
		down := time.Now().Add(time.Hour)
		r.cfg.Wire = func(ctx context.Context, service string) (strategy.Wiring, error) {
			if time.Now().Before(down) {
				return strategy.Wiring{}, errors.New("no connection")
			}
			return wire(ctx, service)
		}
		r.restart()
		if _, err := r.runner.Reconcile(t.Context(), "shop"); err == nil || err.Error() != "strategy: shop: wiring: no connection" {
			t.Errorf("Reconcile without wiring: %v", err)
		}
		if s, err := r.runner.Run(t.Context(), "shop"); err != nil || s.Phase != strategy.Promoted || s.Ended.Before(down) {
			t.Errorf("it ended %v, %v", s.Phase, err)
		}
	})
}

// TestTheOperatorsWillMayLiveElsewhere: where it cannot be found out, nothing
// moves forward; another candidate wanted there sends this one home.
func TestTheOperatorsWillMayLiveElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		will, down := strategy.Intent{Run: 1}, true
		r := newRig(t, func(r *rig) {
			r.cfg.Intent = func(context.Context, string) (strategy.Intent, error) {
				mu.Lock()
				defer mu.Unlock()
				if down {
					return strategy.Intent{}, errors.New("the API server is down")
				}
				return will, nil
			}
		})
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(time.Hour)
		if len(r.router.History()) != 0 {
			t.Errorf("with the will not known it did %v", r.router.History())
		}
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(90 * time.Second)
		if got := r.weight(); got != traffic.Percent(50) {
			t.Errorf("with the will known it stands at %v", got)
		}
		mu.Lock()
		will.Want = strategy.Revision{Version: "v3"}
		mu.Unlock()
		got := <-ended
		if got.state.Phase != strategy.RolledBack || got.state.Cause != strategy.CauseSuperseded || len(got.state.Quarantine) != 0 {
			t.Errorf("it ended %v (%v)", got.state.Phase, got.state.Cause)
		}
	})
}

func TestBlocksStopTheWayForwardAndNotTheWayHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := time.Now().Add(2 * time.Hour)
		var mu sync.Mutex
		r := newRig(t, func(r *rig) {
			r.cfg.Blocks = func(context.Context, string) ([]strategy.Block, error) {
				mu.Lock()
				defer mu.Unlock()
				if time.Now().Before(open.Add(-time.Hour)) {
					return nil, errors.New("no calendar")
				}
				if time.Now().Before(open) {
					return []strategy.Block{{Why: "freeze", Until: open}}, nil
				}
				return nil, nil
			}
		})
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(30 * time.Minute)
		if e, err := r.runner.Explain(t.Context(), "shop"); err != nil || !strings.Contains(e.Summary, "waits for what blocks could not be found out") {
			t.Errorf("without a calendar: %q, %v", e.Summary, err)
		}
		time.Sleep(time.Hour)
		e, err := r.runner.Explain(t.Context(), "shop")
		if err != nil || waits(e).Waits != "freeze" || !waits(e).Until.Equal(open) {
			t.Errorf("in the freeze: %+v, %v", e, err)
		}
		time.Sleep(30*time.Minute + 30*time.Second)
		if got := r.weight(); got != traffic.Percent(10) {
			t.Errorf("after the freeze it stands at %v", got)
		}
		mu.Lock()
		open = time.Now().Add(100 * time.Hour)
		mu.Unlock()
		began := time.Now()
		r.says(analysis.Fail)
		if got := <-ended; got.state.Phase != strategy.RolledBack || time.Now().After(began.Add(time.Minute)) {
			t.Errorf("in a freeze a failing candidate ended %v", got.state.Phase)
		}
	})
}

// hooked is a router with something before Apply.
type hooked struct {
	traffic.Router
	apply func(ctx context.Context, fence uint64, route traffic.Route) error
}

func (h *hooked) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := h.apply(ctx, fence, route); err != nil {
		return err
	}
	return h.Router.Apply(ctx, fence, route)
}

func TestAnEffectIsTriedSoOftenAndNoMore(t *testing.T) {
	t.Parallel()
	pauses := map[time.Duration]bool{}
	for _, tt := range []struct {
		err  error
		want int
	}{{errors.New("timeout"), 4}, {traffic.ErrFenced, 1}, {traffic.ErrConflict, 1}, {errors.ErrUnsupported, 1}} {
		for range 3 {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				r := newRig(t, func(r *rig) {
					r.cfg.Attempts = 4
					r.wiring.Routers["web"] = &hooked{r.router, func(context.Context, uint64, traffic.Route) error {
						at = append(at, time.Now())
						return fmt.Errorf("router: %w", tt.err)
					}}
				})
				r.start(canary)
				d, err := r.runner.Reconcile(t.Context(), "shop")
				if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), `set target "web" to 0% to v2, rest to v1 under fence 1`) {
					t.Errorf("the turn said %v", err)
				}
				if len(at) != tt.want || len(d.Effects) != 1 || d.State.Rev != r.state().Rev {
					t.Errorf("%v: tried %d times, want %d; the decision is %+v", tt.err, len(at), tt.want, d)
				}
				for i := 1; i < len(at); i++ {
					pause, full := at[i].Sub(at[i-1]), 50*time.Millisecond<<(i-1)
					if pause < full/2 || pause > full {
						t.Errorf("pause %d was %v, want between %v and %v", i, pause, full/2, full)
					}
					pauses[pause] = true
				}
			})
		}
	}
	if len(pauses) < 6 {
		t.Errorf("pauses were %v: many that fail together would try again together", pauses)
	}
}

// TestAFailingRouterIsAskedAgainUntilItTakesTheRoute under the fence that was saved.
func TestAFailingRouterIsAskedAgainUntilItTakesTheRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(5 * time.Minute)
		r := newRig(t, func(r *rig) {
			r.wiring.Routers["web"] = &hooked{r.router, func(context.Context, uint64, traffic.Route) error {
				if time.Now().Before(up) {
					return errors.New("down")
				}
				return nil
			}}
		})
		r.start(canary)
		s, err := r.runner.Run(t.Context(), "shop")
		if err != nil || s.Phase != strategy.Promoted {
			t.Fatalf("it ended %v, %v", s.Phase, err)
		}
		for i, accepted := range r.router.History() {
			if accepted.Fence != uint64(i+1) {
				t.Errorf("route %d was accepted under fence %d: an effect that failed needs no new decision", i, accepted.Fence)
			}
		}
	})
}

func TestARouterThatHangsDoesNotKeepAnotherFromGoingHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started, home := time.Now(), map[string]time.Time{}
		var mu sync.Mutex
		stuck := func(ctx context.Context, _ uint64, route traffic.Route) error {
			if route.Split.Candidate == 0 && time.Since(started) > 30*time.Second {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r := newRig(t)
		for _, name := range []string{"a", "b", "c"} {
			memory := traffic.NewMemory(traffic.Options{})
			r.wiring.Routers[name] = &hooked{memory, func(ctx context.Context, fence uint64, route traffic.Route) error {
				if name == "b" {
					return stuck(ctx, fence, route)
				}
				mu.Lock()
				defer mu.Unlock()
				if route.Split.Candidate == 0 && home[name].IsZero() {
					home[name] = time.Now()
				} else if route.Split.Candidate > 0 {
					home[name] = time.Time{}
				}
				return nil
			}}
		}
		r.start(strategy.AllAtOnce{Targets: []string{"a", "b", "c"}, Checks: []string{"errors"}})
		ended, _ := r.run()
		time.Sleep(time.Minute)
		failed := time.Now()
		r.says(analysis.Fail)
		got := <-ended
		if got.state.Phase != strategy.RollbackFailed || !strings.Contains(got.err.Error(), `"b"`) {
			t.Errorf("it ended %v, %v", got.state.Phase, got.err)
		}
		for _, name := range []string{"a", "c"} {
			// A poll of 5 seconds until the verdict is asked for, and a head start of a quarter of a second.
			if took := home[name].Sub(failed); home[name].IsZero() || took > 6*time.Second {
				t.Errorf("%s was home after %v", name, took)
			}
		}
		if took := got.state.Ended.Sub(failed); took > 16*time.Minute {
			t.Errorf("it was given up after %v", took)
		}
	})
}

// TestAJudgeThatHangsPassesNothingAndDelaysNoOrder: an abort ends the look that is
// under way, and asks no judge.
func TestAJudgeThatHangsPassesNothingAndDelaysNoOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.wiring.Judges["errors"] = analysis.JudgeFunc(func(ctx context.Context, _ analysis.Check) (analysis.Finding, error) {
				<-ctx.Done()
				return analysis.Finding{Verdict: analysis.Pass}, ctx.Err()
			})
		})
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(10 * time.Minute)
		if got := r.weight(); got != traffic.Percent(10) {
			t.Errorf("it went on to %v", got)
		}
		began := time.Now()
		r.must(r.runner.Abort(t.Context(), "shop", "ann", ""))
		<-ended
		if took := time.Since(began); took > time.Second {
			t.Errorf("the way home waited %v for a judge", took)
		}
	})
}

// heard is an observer that remembers.
type heard struct {
	mu    sync.Mutex
	revs  []uint64
	kinds []strategy.TransitionKind
	do    func() error
}

func (h *heard) Transition(_ context.Context, s strategy.State, tr strategy.Transition) error {
	if h.do != nil {
		if err := h.do(); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Rev < tr.Rev {
		return errors.New("the state is older than the transition")
	}
	h.revs, h.kinds = append(h.revs, tr.Rev), append(h.kinds, tr.Kind)
	return nil
}

// missed lists the transitions of the journal that were never heard of.
func (h *heard) missed(journal []strategy.Transition) []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var missed []uint64
	for _, tr := range journal {
		if !slices.Contains(h.revs, tr.Rev) {
			missed = append(missed, tr.Rev)
		}
	}
	return missed
}

func TestObserversHearEverythingInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := &heard{}
		down := time.Now().Add(70 * time.Second)
		// It fails for a while; transitions that are still recent then come late.
		failing := &heard{do: func() error {
			if time.Now().Before(down) {
				return errors.New("no connection")
			}
			return nil
		}}
		var hangs sync.Once
		hanging := &heard{do: func() error {
			hangs.Do(func() { time.Sleep(10 * time.Hour) })
			return nil
		}}
		r := newRig(t, func(r *rig) { r.cfg.Observers = []strategy.Observer{hanging, failing, good} })
		r.start(canary)
		began := time.Now()
		if s, err := r.runner.Run(t.Context(), "shop"); err != nil || s.Phase != strategy.Promoted {
			t.Fatalf("it ended %v, %v", s.Phase, err)
		}
		if took := time.Since(began); took > 3*time.Minute+2*time.Second {
			t.Errorf("an observer that hangs made it last %v", took)
		}
		journal := r.store.Journal("shop")
		if missed := good.missed(journal); missed != nil || !slices.IsSorted(good.revs) || len(good.revs) != len(journal) {
			t.Errorf("it heard %v of %d, and missed %v", good.revs, len(journal), missed)
		}
		if missed := failing.missed(journal[len(journal)-8:]); missed != nil || !slices.IsSorted(failing.revs) {
			t.Errorf("the one that failed for a while heard %v and missed %v", failing.revs, missed)
		}
		hanging.mu.Lock()
		if len(hanging.revs) != 0 {
			t.Errorf("the one that hangs was told more: %v", hanging.revs)
		}
		hanging.mu.Unlock()
		time.Sleep(11 * time.Hour) // let it go, for the bubble to end
	})
}

// TestWhatWasNotToldIsToldAfterARestart: a process that died between the save
// and the telling leaves it to the next one, in one turn.
func TestWhatWasNotToldIsToldAfterARestart(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(canary)
			if _, err := r.runner.Run(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			next := &heard{}
			r.cfg.Observers = []strategy.Observer{next}
			r.restart()
			if _, err := r.runner.Run(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			recent := r.state().Journal()
			if missed := next.missed(recent); missed != nil || !slices.IsSorted(next.revs) {
				t.Fatalf("the next process told %v and not %v", next.revs, missed)
			}
			if next.kinds[len(next.kinds)-1] != strategy.RunPromoted {
				t.Errorf("it told %v", next.kinds)
			}
		})
	}
}

func TestTheLogHasALineATransitionAndNoneATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newRig(t, func(r *rig) { r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		r.start(canary)
		if _, err := r.runner.Run(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		journal := r.store.Journal("shop")
		if got := strings.Count(log.String(), "\n"); got != len(journal) {
			t.Errorf("%d lines for %d transitions:\n%s", got, len(journal), log.String())
		}
		if !strings.Contains(log.String(), "service=shop run=1") {
			t.Errorf("a line does not say what it is about:\n%s", log.String())
		}
	})
}

func TestExplainSaysWhyAndChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if _, err := r.runner.Explain(t.Context(), "shop"); !errors.Is(err, strategy.ErrNoRun) {
			t.Errorf("without a run: %v", err)
		}
		r.says(analysis.Inconclusive)
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(3*time.Minute + time.Second)
		before := r.state()
		e, err := r.runner.Explain(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		lane := waits(e)
		if e.Phase != strategy.Progressing || lane.Lane != "web" || lane.Step != "10%" || lane.Stage != strategy.Holding || lane.Weight != traffic.Percent(10) ||
			lane.Waits != `check "errors", inconclusive: inconclusive` || lane.Deadline.IsZero() {
			t.Errorf("got %+v", e)
		}
		if after := r.state(); after.Rev != before.Rev {
			t.Errorf("explaining led from rev %d to %d", before.Rev, after.Rev)
		}
		if got := <-ended; got.state.Phase != strategy.RolledBack || got.state.Cause != strategy.CauseDeadline || got.state.Ended.Sub(lane.Deadline).Abs() > 10*time.Second {
			t.Errorf("it ended %v (%v) at %v, and the deadline was %v", got.state.Phase, got.state.Cause, got.state.Ended, lane.Deadline)
		}
		if e, err := r.runner.Explain(t.Context(), "shop"); err != nil || len(e.Lanes) != 0 || !strings.Contains(e.Summary, "rolledBack") {
			t.Errorf("after the end: %+v, %v", e, err)
		}
	})
}

// committing is a plan that commits and then takes its time.
type committing struct{}

func (committing) Plan() (strategy.Plan, error) {
	all := []strategy.Dial{{Target: "web", Split: traffic.Split{Candidate: traffic.Full}}}
	return strategy.Plan{Lanes: []strategy.Lane{{Name: "web", Steps: []strategy.Step{
		{Name: "all", Set: all}, {Name: "commit", Commit: true, Hold: time.Hour},
	}}}}, nil
}

// TestAnAbortPastACommitIsTakenBackByWhoeverCompletes: the page says that resume
// and promote complete the run, so they must.
func TestAnAbortPastACommitIsTakenBackByWhoeverCompletes(t *testing.T) {
	t.Parallel()
	for name, complete := range map[string]func(*strategy.Runner, context.Context) error{
		"resume": func(r *strategy.Runner, ctx context.Context) error { return r.Resume(ctx, "shop", "ann", "") },
		"promote": func(r *strategy.Runner, ctx context.Context) error {
			return r.Promote(ctx, "shop", "ann", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.start(committing{})
				ended, _ := r.run()
				time.Sleep(time.Minute)
				r.must(r.runner.Abort(t.Context(), "shop", "ann", ""))
				time.Sleep(time.Minute)
				if hold := r.state().Hold; hold.ID == 0 {
					t.Error("an abort past a commit did not stop for a person")
				}
				r.must(complete(r.runner, t.Context()))
				time.Sleep(2 * time.Hour)
				if got := r.state().Phase; got != strategy.Promoted {
					t.Fatalf("it is %v: %+v", got, r.state().Hold)
				}
				<-ended
			})
		})
	}
}
