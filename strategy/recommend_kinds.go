// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"slices"
)

// Kind is a way to release a change.
type Kind uint8

const (
	_ Kind = iota
	// ManualAllAtOnce replaces everything in one go; see AllAtOnce.
	ManualAllAtOnce
	// BlueGreenDeployment switches between two complete sides; see BlueGreen.
	BlueGreenDeployment
	// CanaryRelease dials the candidate in step by step; see Canary.
	CanaryRelease
	// FeatureFlags ship the code first and switch it on later.
	FeatureFlags
	// ProgressiveDelivery goes region by region, each step by step; see Progressive.
	ProgressiveDelivery
	// RingBased goes from one group of users to the next; see Rings.
	RingBased
)

// kinds are all of them, in the order of the tables.
var kinds = []Kind{ManualAllAtOnce, BlueGreenDeployment, CanaryRelease, FeatureFlags, ProgressiveDelivery, RingBased}

var kindNames = []string{"", "Manual All-at-Once", "Blue-Green", "Canary", "Feature Flags", "Progressive", "Ring-based"}

// String is the name as the tables have it.
func (k Kind) String() string { return name(kindNames, k) }

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name.
func (k *Kind) UnmarshalText(text []byte) error { return parseName("kind", kindNames, k, text) }

// Kinds are all kinds, in the order of the tables.
func Kinds() []Kind { return slices.Clone(kinds) }

// Level is how much of something there is, from little to much. The zero Level
// is not said.
type Level uint8

const (
	_ Level = iota
	// VeryLow and its siblings are in order, so that they can be compared.
	VeryLow
	// Low is more than VeryLow.
	Low
	// Medium is more than Low.
	Medium
	// High is more than Medium.
	High
)

var levelNames = []string{"", "Very Low", "Low", "Medium", "High"}

// String is the word that the tables use.
func (l Level) String() string { return name(levelNames, l) }

// MarshalText writes the word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a word.
func (l *Level) UnmarshalText(text []byte) error { return parseName("level", levelNames, l, text) }

// Speed is how fast a return is, in order. The zero Speed is not said.
type Speed uint8

const (
	_ Speed = iota
	// Slow is another deployment.
	Slow
	// Fast is minutes.
	Fast
	// Instant is one switch: seconds.
	Instant
)

var speedNames = []string{"", "Slow", "Fast", "Instant"}

// String is the word that the tables use.
func (s Speed) String() string { return name(speedNames, s) }

// MarshalText writes the word.
func (s Speed) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a word.
func (s *Speed) UnmarshalText(text []byte) error { return parseName("speed", speedNames, s, text) }

// Traits are what two tables that compare the kinds say of one: the spectrum of
// risk, and the decision matrix. A zero field is one that the tables leave open.
type Traits struct {
	Risk       Level  `json:"risk,omitempty"`
	Rollback   Speed  `json:"rollback,omitempty"`
	Complexity Level  `json:"complexity,omitempty"`
	BestFor    string `json:"bestFor,omitempty"`
	// TrafficRisk is how much of the traffic a fault meets.
	TrafficRisk string `json:"trafficRisk,omitempty"`
}

var traits = map[Kind]Traits{
	ManualAllAtOnce:     {Risk: High, Rollback: Slow, Complexity: Low},
	BlueGreenDeployment: {Risk: Low, Rollback: Instant, Complexity: Medium, BestFor: "Database changes, complete rewrites", TrafficRisk: "All or nothing"},
	CanaryRelease:       {Risk: VeryLow, Rollback: Fast, Complexity: Medium, BestFor: "New features, API changes", TrafficRisk: "Gradual"},
	FeatureFlags:        {Rollback: Instant, Complexity: Low, BestFor: "A/B testing, quick on/off", TrafficRisk: "Controlled"},
	ProgressiveDelivery: {Risk: VeryLow, Rollback: Instant, Complexity: High, BestFor: "Large scale, multi-region", TrafficRisk: "Minimal"},
	RingBased:           {Risk: Low, Rollback: Fast, Complexity: Medium},
}

// Traits are what the tables say of k; the zero Traits if k is none of Kinds.
func (k Kind) Traits() Traits { return traits[k] }

// strategy is one of kind k for the change, or nil where it is none of ours or
// where what it needs is not known.
func (c *Change) strategy(k Kind) Strategy {
	target := cmp.Or(c.Target, "service")
	checks := slices.Clone(c.Checks)
	hold := max(min(c.firstStep(), patience), defaultHold)
	switch k {
	case ManualAllAtOnce:
		targets := slices.Clone(c.Regions)
		if len(targets) == 0 {
			targets = []string{target}
		}
		return AllAtOnce{Targets: targets, Checks: checks}
	case BlueGreenDeployment:
		return BlueGreen{Target: target, PreviewHold: defaultHold, Approval: &Approval{}, Checks: checks}
	case CanaryRelease:
		return Canary{Target: target, Hold: hold, Checks: checks}
	case ProgressiveDelivery:
		waves := []Group{{Name: "first", Targets: []string{target}}}
		if len(c.Regions) > 0 {
			waves[0].Targets = slices.Clone(c.Regions[:1])
		}
		if len(c.Regions) > 1 {
			waves = append(waves, Group{Name: "rest", Targets: slices.Clone(c.Regions[1:])})
		}
		return Progressive{Waves: waves, Hold: hold, Checks: checks}
	case RingBased:
		rings := []Group{{Name: "everybody", Targets: []string{target}}}
		if len(c.Rings) > 0 {
			rings = rings[:0]
		}
		for _, ring := range c.Rings {
			rings = append(rings, Group{Name: ring.Name, Targets: slices.Clone(ring.Targets)})
		}
		return Rings{Rings: rings, Checks: checks}
	case FeatureFlags:
	}
	return nil
}
