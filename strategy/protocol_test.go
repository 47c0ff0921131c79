// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/mock/gomock"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

//go:generate go run go.uber.org/mock/mockgen@v0.6.0 -source store.go -destination mock_store_test.go -package strategy_test -copyright_file testdata/licence
//go:generate go run go.uber.org/mock/mockgen@v0.6.0 -source ../traffic/traffic.go -destination mock_router_test.go -package strategy_test -copyright_file testdata/licence

// The order of a turn is the design, so here the calls themselves are the
// contract: the only place where a mock says more than a stateful fake.

// armed is a rollout that is about to write its first route, and its runner
// over mocks.
func armed(t *testing.T) (strategy.State, *MockStore, *MockRouter, *strategy.Runner) {
	t.Helper()
	ctrl := gomock.NewController(t)
	store, router := NewMockStore(ctrl), NewMockRouter(ctrl)
	router.EXPECT().Caps().Return(traffic.NewMemory(traffic.Options{}).Caps()).AnyTimes()
	runner, err := strategy.NewRunner(strategy.Config{
		Store: store, Wire: strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": router}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := strategy.Canary{Target: "web"}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var started strategy.State
	gomock.InOrder(
		store.EXPECT().Load(gomock.Any(), "web").Return(strategy.State{}, nil),
		router.EXPECT().Observe(gomock.Any()).Return(idle, nil),
		store.EXPECT().Save(gomock.Any(), "web", uint64(0), gomock.Any(), gomock.Any()).Return(nil),
	)
	if started, err = runner.Start(t.Context(), "web", strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan}); err != nil {
		t.Fatal(err)
	}
	return started, store, router, runner
}

var idle = traffic.Seen{Evidence: traffic.Effective, Room: traffic.Plenty}

func TestATurnLoadsLooksOnceSavesAndThenActs(t *testing.T) {
	t.Parallel()
	started, store, router, runner := armed(t)
	var saved strategy.State
	first := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	gomock.InOrder(
		store.EXPECT().Load(gomock.Any(), "web").Return(started, nil),
		router.EXPECT().Observe(gomock.Any()).Return(idle, nil).Times(1),
		store.EXPECT().Save(gomock.Any(), "web", started.Rev, gomock.Any(), gomock.Any()).
			Do(func(_, _, _ any, next strategy.State, _ ...strategy.Transition) { saved = next }).Return(nil),
		router.EXPECT().Apply(gomock.Any(), started.Seq+1, gomock.Cond(first.Equal)).Return(nil),
	)
	d, err := runner.Reconcile(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved.Journal(), d.State.Journal()); diff != "" {
		t.Errorf("what was saved is not what was decided (-saved +decided):\n%s", diff)
	}
}

func TestWhoWasOvertakenWritesNothing(t *testing.T) {
	t.Parallel()
	started, store, router, runner := armed(t)
	gomock.InOrder(
		store.EXPECT().Load(gomock.Any(), "web").Return(started, nil),
		router.EXPECT().Observe(gomock.Any()).Return(idle, nil),
		store.EXPECT().Save(gomock.Any(), "web", started.Rev, gomock.Any(), gomock.Any()).Return(strategy.ErrConflict),
	)
	router.EXPECT().Apply(gomock.Any(), gomock.Any(), gomock.Any()).Times(0)
	if _, err := runner.Reconcile(t.Context(), "web"); !errors.Is(err, strategy.ErrConflict) {
		t.Errorf("Reconcile: %v, want ErrConflict", err)
	}
}

func TestWhatCannotBeLoadedIsNotActedOn(t *testing.T) {
	t.Parallel()
	_, store, router, runner := armed(t)
	down := errors.New("the store is down")
	store.EXPECT().Load(gomock.Any(), "web").Return(strategy.State{}, down)
	router.EXPECT().Apply(gomock.Any(), gomock.Any(), gomock.Any()).Times(0)
	if _, err := runner.Reconcile(t.Context(), "web"); !errors.Is(err, down) {
		t.Errorf("Reconcile: %v, want the store's error", err)
	}
}
