// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Change is what is known about a change that is to be rolled out. The zero
// Change is one about which nothing is known.
type Change struct {
	// DatabaseChange says that a schema or the meaning of stored data changes,
	// Rewrite that the whole service is new.
	DatabaseChange, Rewrite bool
	// NewFeature adds something for users, APIChange changes what callers see.
	NewFeature, APIChange bool
	// Experiment says that two variants are to be compared on users (A/B).
	Experiment bool
	// QuickOff says that it must be possible to switch it off without a deployment.
	QuickOff bool
	// Harmless says that a broken version, or minutes without any, harms nobody:
	// an internal tool, a batch job at noon.
	Harmless bool
	// Target is the router of the service. Empty is "service".
	Target string
	// Regions are the routers of a service in several regions, one each, in the
	// order in which they may get the change.
	Regions []string
	// Rings are groups of users with their routers, in the order in which they
	// may get the change.
	Rings []Group
	// Users is the size of the audience. 0 is not known.
	Users int
	// Traffic is in requests per second. 0 is not known.
	Traffic float64
	// RollbackWithin is how long a return may take once it is wanted. 0 is any time.
	RollbackWithin time.Duration
	// Checks are the judges' names for the plans.
	Checks []string
}

// Advice is one way to carry a change out, and how well it fits.
type Advice struct {
	Kind Kind
	// Traits are what the tables say of the kind.
	Traits Traits
	// Score ranks the advice: a higher one fits better. The number itself means nothing.
	Score int
	// Reasons speak for it. There is always one.
	Reasons []string
	// Cautions say what to mind when doing it.
	Cautions []string
	// Strategy makes a plan to begin with. It is nil for FeatureFlags: a flag
	// that is switched is not a rollout of its own.
	Strategy Strategy
}

// Recommend ranks every kind of rollout for a change, the best first. The same
// change always gets the same answer. A database change or a rewrite puts
// blue-green first whatever else is known; a quick switch or an experiment puts
// feature flags first otherwise. About an unknown change it says: a canary.
func Recommend(c Change) []Advice {
	list := make([]Advice, 0, len(kinds))
	for _, k := range kinds {
		a := Advice{Kind: k, Traits: k.Traits(), Strategy: c.strategy(k)}
		for _, rule := range rules {
			rule(&c, &a)
		}
		if len(a.Reasons) == 0 {
			a.Reasons = []string{defaults[k].reason}
		}
		a.Score += defaults[k].score
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b Advice) int { return cmp.Compare(b.Score, a.Score) })
	return list
}

// defaults rank the kinds for a change of which nothing is known, by the risk
// that the tables give them first and the complexity second.
var defaults = map[Kind]struct {
	score  int
	reason string
}{
	CanaryRelease:       {5, "its risk is very low and its complexity medium: a fault meets few before it is seen"},
	BlueGreenDeployment: {4, "its risk is low and its return instant"},
	RingBased:           {3, "its risk is low: whoever gets it first can bear it best"},
	ProgressiveDelivery: {2, "its risk is very low, at the price of a high complexity"},
	FeatureFlags:        {1, "its complexity is low and its return instant, for what stands behind a flag"},
	ManualAllAtOnce:     {0, "its complexity is low"},
}

// Weights of the rules: a need that only one kind meets outweighs everything
// that only fits well.
const (
	must  = 1000
	needs = 100
	fits  = 10
	minds = -10
)

func (a *Advice) because(when bool, score int, reason string) {
	if when {
		a.Score += score
		a.Reasons = append(a.Reasons, reason)
	}
}

func (a *Advice) but(when bool, score int, caution string) {
	if when {
		a.Score += score
		a.Cautions = append(a.Cautions, caution)
	}
}

// rules are looked at one after the other for each kind.
var rules = []func(*Change, *Advice){bestFor, audience, evidence, speed, dangers}

// bestFor is the tables' own column.
func bestFor(c *Change, a *Advice) {
	switch a.Kind {
	case BlueGreenDeployment:
		a.because(c.DatabaseChange, must, "a database change is best switched as a whole: requests do not alternate between two versions for the length of a ramp")
		a.because(c.Rewrite, must, "a complete rewrite is best tried beside the old version and switched as a whole")
	case CanaryRelease:
		a.because(c.NewFeature, fits, "a new feature meets a few users first and more as it proves itself")
		a.because(c.APIChange, fits, "an API change meets a few callers first: what they depend on shows in their errors")
	case FeatureFlags:
		a.because(c.Experiment, needs, "an experiment has to keep each user on one variant for as long as it lasts: that is a flag's work")
		a.because(c.QuickOff, needs, "a flag is switched off at once and without a deployment")
		a.because(c.NewFeature && (c.Experiment || c.QuickOff), fits, "a new feature can stand behind it")
	case ManualAllAtOnce:
		a.because(c.Harmless, needs/2, "a fault harms nobody, so the simplest way is enough")
	case ProgressiveDelivery, RingBased:
	}
}

// largeScale is the audience from which on a slow start in one place pays.
const largeScale = 1_000_000

func audience(c *Change, a *Advice) {
	regions, rings := len(c.Regions), len(c.Rings)
	switch a.Kind {
	case ProgressiveDelivery:
		a.because(regions > 1, needs/2+fits, fmt.Sprintf("there are %d regions: a fault stays in the first of them", regions))
		a.because(c.Users >= largeScale, fits, fmt.Sprintf("at %d users even one per cent is many people", c.Users))
	case RingBased:
		a.because(rings > 1, needs/2+2*fits, fmt.Sprintf("there are %d rings: the last to get it are those who can bear a fault least", rings))
	case CanaryRelease, BlueGreenDeployment:
		a.but(regions > 1, 0, fmt.Sprintf("it treats %d regions as one; roll out to one after the other", regions))
	case FeatureFlags, ManualAllAtOnce:
	}
}

const (
	// enough is how many requests without an error it takes to say, with 95%
	// confidence, that fewer than one in a hundred fails.
	enough = 300
	// patience is the longest first step that is still a canary.
	patience = time.Hour
)

// firstStep is how long a canary's first weight has to be held to show
// anything, 0 if the traffic is not known.
func (c *Change) firstStep() time.Duration {
	if c.Traffic <= 0 {
		return 0
	}
	seconds := enough / (c.Traffic * float64(seedWeights[0]) / float64(traffic.Full))
	return time.Duration(min(seconds, 1e9) * float64(time.Second)).Round(time.Second)
}

// evidence is whether a small share of the traffic can show anything.
func evidence(c *Change, a *Advice) {
	first := c.firstStep()
	if first <= defaultHold || a.Kind != CanaryRelease && a.Kind != ProgressiveDelivery {
		return
	}
	caution := fmt.Sprintf("at %g requests per second, %v of them takes %v to show %d requests", c.Traffic, seedWeights[0], first, enough)
	if first <= patience {
		a.but(true, 0, caution+", so the plan holds that long")
		return
	}
	a.but(true, minds, caution+": too little traffic for small steps to show anything")
}

// instant and fast are what the tables' words for the way back stand for here.
const (
	instant = time.Minute
	fast    = 15 * time.Minute
)

func speed(c *Change, a *Advice) {
	if c.RollbackWithin <= 0 {
		return
	}
	need := Slow
	switch {
	case c.RollbackWithin < instant:
		need = Instant
	case c.RollbackWithin < fast:
		need = Fast
	}
	a.because(a.Traits.Rollback >= need && need > Slow, 0, fmt.Sprintf("its return is %v, and %v are allowed", a.Traits.Rollback, c.RollbackWithin))
	a.but(a.Traits.Rollback < need, 2*minds, fmt.Sprintf("its return is only %v, and %v are allowed", a.Traits.Rollback, c.RollbackWithin))
}

// dangers are what each kind leaves to its user.
func dangers(c *Change, a *Advice) {
	switch a.Kind {
	case ManualAllAtOnce:
		a.but(!c.Harmless, minds, "a fault meets everybody at once, and the way back is slow")
	case BlueGreenDeployment:
		a.but(true, 0, "all or nothing: everybody moves at the switch; show it to a few by the preview first")
		a.but(true, 0, "both sides must be able to carry everything until the bake is over")
		a.but(c.DatabaseChange, 0, "both sides share the data: expand the schema before the switch, contract it after the bake, and never take data back")
	case CanaryRelease, ProgressiveDelivery, RingBased:
		a.but(c.DatabaseChange, minds, "both versions work on the same data for the whole ramp: each must read what the other writes")
		a.but(c.Rewrite, minds, "a rewrite and the old version answer the same user in turn, unless the split is sticky")
		a.but(a.Kind == RingBased && len(c.Rings) < 2, minds, "there are no rings to go by")
		a.but(len(c.Checks) == 0, 0, "without a check nothing tells that the candidate fails")
	case FeatureFlags:
		a.but(true, 0, "a flag covers what stands behind it and nothing else: deploy the code by one of the others, and remove the flag afterwards")
		a.but(c.DatabaseChange, minds, "a flag takes no data back: expand the schema first, contract it when the flag is gone")
		a.but(c.Rewrite, minds, "a rewrite does not fit behind a flag")
	}
}
