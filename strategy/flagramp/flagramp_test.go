// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagramp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/flagramp"
	"github.com/rheostat-go/rheostat/traffic"
)

func route(weight float64) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "off", Candidate: "on"}, Split: traffic.Split{Candidate: traffic.Percent(weight)}}
}

func ramp(t *testing.T, store flags.Store, options flagramp.Options) *flagramp.Router {
	t.Helper()
	r, err := flagramp.New(store, key, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKilledFlagStaysKilledAndTheWayHomeIsOpen(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	r := ramp(t, store, flagramp.Options{})
	if err := r.Apply(t.Context(), 1, route(25)); err != nil {
		t.Fatal(err)
	}
	if _, err := flags.Kill(t.Context(), store, key, flags.Note{By: "kim", Why: "payments fail"}); err != nil {
		t.Fatal(err)
	}
	seen, err := r.Observe(t.Context())
	if err != nil || seen.Route.Split.Candidate != 0 || seen.Fence != 0 || seen.Writer != "kim" {
		t.Errorf("seen %+v, %v", seen, err)
	}
	err = r.Apply(t.Context(), 2, route(50))
	if !errors.Is(err, flagramp.ErrKilled) || !strings.Contains(err.Error(), "payments fail") || !strings.Contains(err.Error(), "kim") {
		t.Errorf("a killed flag was dialled: %v", err)
	}
	if err := r.Apply(t.Context(), 2, route(0)); err != nil {
		t.Errorf("the way home is blocked: %v", err)
	}
	if seen, err = r.Observe(t.Context()); err != nil || seen.Fence != 2 || seen.Route.Split.Candidate != 0 {
		t.Errorf("seen %+v, %v", seen, err)
	}
	if f, err := store.Get(t.Context(), key); err != nil || f.Enabled {
		t.Errorf("the flag was enabled again: %v", err)
	}
}

func TestWhatAFlagCannotServeIsRefusedByName(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "users", Users: []string{"kim"}}})
	r := ramp(t, store, flagramp.Options{})
	if err := r.Apply(t.Context(), 1, route(25)); err == nil || !strings.Contains(err.Error(), "users") {
		t.Errorf("a list of users was dialled: %v", err)
	}
	unnamed := route(25)
	unnamed.Arms.Candidate = "v2"
	if err := r.Apply(t.Context(), 1, unnamed); !errors.Is(err, flags.ErrInvalid) || !strings.Contains(err.Error(), "Options.Variants") {
		t.Errorf("an arm that is no variant: %v", err)
	}
	sticky := route(25)
	sticky.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "1"}}
	if err := r.Apply(t.Context(), 1, sticky); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a match on a header: %v", err)
	}
	if f, _ := store.Get(t.Context(), key); f.Version != 1 {
		t.Errorf("something was written: version %d", f.Version)
	}
	absent, err := flagramp.New(store, "absent", flagramp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := absent.Apply(t.Context(), 1, route(25)); !errors.Is(err, flags.ErrNotFound) {
		t.Errorf("a flag that is not there: %v", err)
	}
	if _, err := absent.Observe(t.Context()); !errors.Is(err, flags.ErrNotFound) {
		t.Errorf("a flag that is not there: %v", err)
	}
	for _, bad := range []func() (*flagramp.Router, error){
		func() (*flagramp.Router, error) { return flagramp.New(nil, key, flagramp.Options{}) },
		func() (*flagramp.Router, error) { return flagramp.New(store, "", flagramp.Options{}) },
		func() (*flagramp.Router, error) { return flagramp.New(store, key, flagramp.Options{Lag: -1}) },
	} {
		if _, err := bad(); err == nil {
			t.Error("a router that cannot work was made")
		}
	}
}

func TestTargetsAndRulesStayWhileTheShareMoves(t *testing.T) {
	t.Parallel()
	f, err := flags.ParseFlag(key, []byte(`{"enabled":true,"rollout":{"type":"percentage","team":"checkout"},"targets":[{"variant":"on","keys":["tess"]}],
		"rules":[{"when":[{"attribute":"plan","op":"in","values":["banned"]}],"variant":"off"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	store := flags.NewMemory(f)
	r, c := ramp(t, store, flagramp.Options{}), client(t, store)
	for fence, weight := range []float64{0, 10, 100} {
		if err := r.Apply(t.Context(), uint64(fence)+1, route(weight)); err != nil {
			t.Fatal(err)
		}
		for f := range c.Changes(t.Context(), key) {
			if f.Version == int64(fence)+2 {
				break
			}
		}
		tess, banned := flags.User("tess"), flags.User("kim").Str("plan", "banned")
		if !c.Bool(key, false, &tess) || c.Bool(key, true, &banned) {
			t.Errorf("at %v%%: tess %v, banned %v", weight, c.Bool(key, false, &tess), c.Bool(key, true, &banned))
		}
	}
	if f, _ := c.Flag(key); string(f.Rollout.Extra["team"]) != `"checkout"` || f.UpdatedBy != "rheostat" {
		t.Errorf("%+v", f)
	}
}

// shares rolls the flag out under a judge and lists the shares it went through.
func shares(t *testing.T, judge analysis.Judge) ([]string, strategy.State) {
	t.Helper()
	store := flags.NewMemory(&flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	c := client(t, store)
	ctx, stop := context.WithCancel(t.Context())
	went := make(chan []string)
	go func() {
		var list []string
		for f := range c.Changes(ctx, key) {
			list = append(list, f.Rollout.Percentage.String())
		}
		went <- list
	}()
	plan, err := strategy.Canary{
		Target: "flag", Weights: []traffic.Weight{traffic.Percent(1), traffic.Percent(25), traffic.Full},
		Hold: time.Minute, Checks: []string{"errors"},
	}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	wiring := strategy.Wiring{
		Routers: map[string]traffic.Router{"flag": ramp(t, store, flagramp.Options{Client: c})},
		Judges:  map[string]analysis.Judge{"errors": judge},
	}
	runner, err := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Wire: strategy.Fixed(wiring), Poll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runner.Start(t.Context(), "checkout", strategy.Request{Release: strategy.NewRelease("off", "on"), Plan: plan}); err != nil {
		t.Fatal(err)
	}
	end, _ := runner.Run(t.Context(), "checkout") // its error says why it went home
	synctest.Wait()
	stop()
	return <-went, end
}

func TestTheMachineTurnsAFlagUpAndBackDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, end := shares(t, analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			return c.Finding(analysis.Pass, "fine"), nil
		}))
		if got := strings.Join(up, " "); got != "0% 0% 1% 25% 100%" || end.Phase != strategy.Promoted {
			t.Errorf("went through %s to %v", got, end.Phase)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		down, end := shares(t, analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			if time.Since(begin) > 90*time.Second {
				return c.Finding(analysis.Fail, "it fails"), nil
			}
			return c.Finding(analysis.Pass, "fine"), nil
		}))
		if got := strings.Join(down, " "); got != "0% 0% 1% 25% 0%" || end.Phase != strategy.RolledBack {
			t.Errorf("went through %s to %v", got, end.Phase)
		}
	})
}

func Example() {
	ctx := context.Background()
	store := flags.NewMemory(&flags.Flag{Key: "new-checkout", Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	dial, err := flagramp.New(store, "new-checkout", flagramp.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(dial.Apply(ctx, 7, traffic.Route{
		Arms:  traffic.Arms{Stable: "off", Candidate: "on"},
		Split: traffic.Split{Candidate: traffic.Percent(12.5)},
	}))
	f, err := store.Get(ctx, "new-checkout")
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Rollout.Percentage, "by", f.UpdatedBy)
	// Output:
	// <nil>
	// 12.5% by rheostat
}
