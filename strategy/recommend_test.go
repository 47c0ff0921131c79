// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

// TestTheTablesSayWhatTheySay compares every cell with the two tables that the
// advice is built on, written out again by hand.
func TestTheTablesSayWhatTheySay(t *testing.T) {
	t.Parallel()
	spectrum := [][4]string{ // strategy, risk level, rollback speed, complexity
		{"Manual All-at-Once", "High", "Slow", "Low"},
		{"Blue-Green", "Low", "Instant", "Medium"},
		{"Canary", "Very Low", "Fast", "Medium"},
		{"Progressive", "Very Low", "Instant", "High"},
		{"Ring-based", "Low", "Fast", "Medium"},
	}
	matrix := [][5]string{ // strategy, best for, complexity, rollback time, traffic risk
		{"Blue-Green", "Database changes, complete rewrites", "Medium", "Instant", "All or nothing"},
		{"Canary", "New features, API changes", "Medium", "Fast", "Gradual"},
		{"Feature Flags", "A/B testing, quick on/off", "Low", "Instant", "Controlled"},
		{"Progressive", "Large scale, multi-region", "High", "Instant", "Minimal"},
	}
	find := func(name string) (strategy.Kind, strategy.Traits) {
		for _, k := range strategy.Kinds() {
			if k.String() == name {
				return k, k.Traits()
			}
		}
		t.Fatalf("there is no kind %q", name)
		return 0, strategy.Traits{}
	}
	left := map[strategy.Kind]strategy.Traits{}
	for _, k := range strategy.Kinds() {
		left[k] = k.Traits()
	}
	for _, row := range spectrum {
		k, got := find(row[0])
		if got.Risk.String() != row[1] || got.Rollback.String() != row[2] || got.Complexity.String() != row[3] {
			t.Errorf("spectrum: got %+v, want %q", got, row)
		}
		rest := left[k]
		rest.Risk, rest.Rollback, rest.Complexity = 0, 0, 0
		left[k] = rest
	}
	for _, row := range matrix {
		k, got := find(row[0])
		if got.BestFor != row[1] || got.Complexity.String() != row[2] || got.Rollback.String() != row[3] || got.TrafficRisk != row[4] {
			t.Errorf("matrix: got %+v, want %q", got, row)
		}
		rest := left[k]
		rest.BestFor, rest.Complexity, rest.Rollback, rest.TrafficRisk = "", 0, 0, ""
		left[k] = rest
	}
	for k, rest := range left {
		if rest != (strategy.Traits{}) {
			t.Errorf("%v has %+v, which no table says", k, rest)
		}
	}
}

func first(c strategy.Change) strategy.Kind { return strategy.Recommend(c)[0].Kind }

func rank(c strategy.Change, k strategy.Kind) int {
	return slices.IndexFunc(strategy.Recommend(c), func(a strategy.Advice) bool { return a.Kind == k })
}

func TestEachKindIsFirstForSomething(t *testing.T) {
	t.Parallel()
	two := []strategy.Group{{Name: "team", Targets: []string{"dev"}}, {Name: "everybody", Targets: []string{"web"}}}
	tests := []struct {
		name   string
		change strategy.Change
		want   strategy.Kind
		// because is part of the first reason.
		because string
	}{
		{"nothing known", strategy.Change{}, strategy.CanaryRelease, "a fault meets few"},
		{"database change", strategy.Change{DatabaseChange: true}, strategy.BlueGreenDeployment, "database change"},
		{"complete rewrite", strategy.Change{Rewrite: true}, strategy.BlueGreenDeployment, "rewrite"},
		{"new feature", strategy.Change{NewFeature: true}, strategy.CanaryRelease, "new feature"},
		{"API change", strategy.Change{APIChange: true}, strategy.CanaryRelease, "API change"},
		{"A/B test", strategy.Change{Experiment: true}, strategy.FeatureFlags, "experiment"},
		{"quick on and off", strategy.Change{QuickOff: true, NewFeature: true}, strategy.FeatureFlags, "switched off at once"},
		{"several regions", strategy.Change{Regions: []string{"eu", "us", "ap"}}, strategy.ProgressiveDelivery, "3 regions"},
		{"large scale", strategy.Change{Users: 50_000_000}, strategy.ProgressiveDelivery, "50000000 users"},
		{"rings", strategy.Change{Rings: two}, strategy.RingBased, "2 rings"},
		{"nobody minds", strategy.Change{Harmless: true}, strategy.ManualAllAtOnce, "harms nobody"},
		{"hardly any traffic", strategy.Change{Traffic: 0.5}, strategy.BlueGreenDeployment, "return instant"},
		{"seconds to return", strategy.Change{RollbackWithin: 5 * time.Second}, strategy.BlueGreenDeployment, "its return is Instant"},
		{"minutes to return", strategy.Change{RollbackWithin: 5 * time.Minute}, strategy.CanaryRelease, "its return is Fast"},
		{"hours to return", strategy.Change{RollbackWithin: 5 * time.Hour}, strategy.CanaryRelease, "a fault meets few"},
	}
	firsts := map[strategy.Kind]bool{}
	for _, tt := range tests {
		got := strategy.Recommend(tt.change)[0]
		if got.Kind != tt.want || !strings.Contains(got.Reasons[0], tt.because) {
			t.Errorf("%s: got %v because %q, want %v because %q", tt.name, got.Kind, got.Reasons, tt.want, tt.because)
		}
		firsts[got.Kind] = true
	}
	for _, k := range strategy.Kinds() {
		if !firsts[k] {
			t.Errorf("%v is never first", k)
		}
	}
}

// randomChange knows each thing with one chance in three.
func randomChange(r *rand.Rand) strategy.Change {
	maybe := func() bool { return r.IntN(3) == 0 }
	c := strategy.Change{
		DatabaseChange: maybe(), Rewrite: maybe(), NewFeature: maybe(), APIChange: maybe(),
		Experiment: maybe(), QuickOff: maybe(), Harmless: maybe(),
	}
	if maybe() {
		c.Regions = []string{"eu", "us", "ap"}[:r.IntN(4)]
	}
	if maybe() {
		c.Rings = []strategy.Group{{Name: "team", Targets: []string{"dev"}}, {Name: "all", Targets: []string{"web"}}}[:r.IntN(3)]
	}
	if maybe() {
		c.Users = r.IntN(3_000_000)
	}
	if maybe() {
		c.Traffic = r.ExpFloat64() * 20
	}
	if maybe() {
		c.RollbackWithin = time.Duration(r.IntN(3600)) * time.Second
	}
	if maybe() {
		c.Checks = []string{"errors"}
	}
	return c
}

func TestAdviceIsConsistent(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		c := randomChange(rand.New(rand.NewPCG(seed, 4)))
		advice := strategy.Recommend(c)
		if !reflect.DeepEqual(advice, strategy.Recommend(c)) {
			t.Fatalf("%+v: two answers to one question", c)
		}
		if len(advice) != len(strategy.Kinds()) {
			t.Fatalf("%+v: %d pieces of advice", c, len(advice))
		}
		for i, a := range advice {
			if len(a.Reasons) == 0 {
				t.Errorf("%+v: %v has no reason", c, a.Kind)
			}
			if i > 0 && a.Score > advice[i-1].Score {
				t.Errorf("%+v: %v stands behind %v", c, a.Kind, advice[i-1].Kind)
			}
			if (a.Strategy == nil) != (a.Kind == strategy.FeatureFlags) {
				t.Errorf("%+v: %v has strategy %v", c, a.Kind, a.Strategy)
			}
			if a.Strategy != nil {
				if _, err := a.Strategy.Plan(); err != nil {
					t.Errorf("%+v: %v has no plan: %v", c, a.Kind, err)
				}
			}
		}
		if (c.DatabaseChange || c.Rewrite) && advice[0].Kind != strategy.BlueGreenDeployment {
			t.Errorf("%+v: a database change or a rewrite goes to %v", c, advice[0].Kind)
		}
		if (c.QuickOff || c.Experiment) && !c.DatabaseChange && !c.Rewrite && advice[0].Kind != strategy.FeatureFlags {
			t.Errorf("%+v: a quick switch or an experiment goes to %v", c, advice[0].Kind)
		}
		for name, set := range map[string]struct {
			in   func(*strategy.Change)
			kind strategy.Kind
		}{
			"QuickOff":       {func(c *strategy.Change) { c.QuickOff = true }, strategy.FeatureFlags},
			"Experiment":     {func(c *strategy.Change) { c.Experiment = true }, strategy.FeatureFlags},
			"DatabaseChange": {func(c *strategy.Change) { c.DatabaseChange = true }, strategy.BlueGreenDeployment},
			"Rewrite":        {func(c *strategy.Change) { c.Rewrite = true }, strategy.BlueGreenDeployment},
			"APIChange":      {func(c *strategy.Change) { c.APIChange = true }, strategy.CanaryRelease},
			"Harmless":       {func(c *strategy.Change) { c.Harmless = true }, strategy.ManualAllAtOnce},
			"Users":          {func(c *strategy.Change) { c.Users = 5_000_000 }, strategy.ProgressiveDelivery},
			"Regions":        {func(c *strategy.Change) { c.Regions = []string{"eu", "us", "ap", "sa"} }, strategy.ProgressiveDelivery},
		} {
			more := c
			set.in(&more)
			if rank(more, set.kind) > rank(c, set.kind) {
				t.Errorf("%+v: adding %s moves %v from place %d to %d", c, name, set.kind, rank(c, set.kind), rank(more, set.kind))
			}
		}
	}
}

func TestAdviceComesWithAPlanForTheChange(t *testing.T) {
	t.Parallel()
	c := strategy.Change{Target: "web", Regions: []string{"eu", "us"}, Checks: []string{"errors"}, Traffic: 100}
	for _, a := range strategy.Recommend(c) {
		if a.Strategy == nil {
			continue
		}
		p, err := a.Strategy.Plan()
		if err != nil {
			t.Fatal(err)
		}
		switch a.Kind {
		case strategy.CanaryRelease:
			// 300 requests at 1% of 100 a second are five minutes.
			if got := p.Lanes[0].Steps[0].Hold; got != 5*time.Minute {
				t.Errorf("the canary's first step lasts %v", got)
			}
		case strategy.ProgressiveDelivery:
			if len(p.Lanes) != 2 || p.Lanes[0].Name != "eu" || !slices.Equal(p.Lanes[1].After, []string{"eu"}) {
				t.Errorf("progressive: %+v", p.Lanes)
			}
		}
		if !slices.Contains(allChecks(p), "errors") {
			t.Errorf("%v: the plan does not check %q", a.Kind, "errors")
		}
	}
}

func TestCautionsSayWhatToMind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		change strategy.Change
		kind   strategy.Kind
		want   string
	}{
		{strategy.Change{DatabaseChange: true}, strategy.BlueGreenDeployment, "expand the schema before the switch"},
		{strategy.Change{DatabaseChange: true}, strategy.CanaryRelease, "each must read what the other writes"},
		{strategy.Change{DatabaseChange: true}, strategy.FeatureFlags, "takes no data back"},
		{strategy.Change{}, strategy.ManualAllAtOnce, "meets everybody at once"},
		{strategy.Change{}, strategy.CanaryRelease, "without a check"},
		{strategy.Change{Regions: []string{"eu", "us"}}, strategy.CanaryRelease, "2 regions as one"},
		{strategy.Change{Traffic: 1}, strategy.CanaryRelease, "at 1 requests per second, 1% of them takes 8h20m0s to show 300 requests: too little traffic"},
		{strategy.Change{Traffic: 50}, strategy.CanaryRelease, "so the plan holds that long"},
		{strategy.Change{RollbackWithin: time.Second}, strategy.CanaryRelease, "its return is only Fast, and 1s are allowed"},
	} {
		a := strategy.Recommend(tt.change)[rank(tt.change, tt.kind)]
		if !strings.Contains(strings.Join(a.Cautions, "\n"), tt.want) {
			t.Errorf("%+v: %v: got %q, want %q", tt.change, tt.kind, a.Cautions, tt.want)
		}
	}
	if first(strategy.Change{Traffic: 1e-300}) == strategy.CanaryRelease {
		t.Error("a canary of no traffic at all shows nothing")
	}
}
