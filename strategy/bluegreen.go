// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// BlueGreen shows the candidate to a few by a header, switches everything to it
// at once, and keeps the other side warm until the bake is over.
type BlueGreen struct {
	// Target is switched. Required.
	Target string
	// Before is done first: deploy and warm the candidate, expand a schema.
	Before []string
	// Preview lets requests reach the candidate at 0%. Empty is the header
	// "X-Preview: candidate". NoPreview is for switches that cannot match.
	Preview   []traffic.Match
	NoPreview bool
	// PreviewHold is how long the preview lasts, and PreviewChecks what it must
	// show. Approval, if set, ends it. A check that compares the candidate with
	// stable learns stable here, for it takes no traffic after the switch: name the
	// check in Watch, and let the preview last for some of its blocks.
	PreviewHold   time.Duration
	PreviewChecks []string
	Approval      *Approval
	// Checks must pass during the bake, Watch may fail the rollout at any time.
	Checks, Watch []string
	// Bake is how long the other side is kept warm after the switch. 0 is ten minutes.
	Bake time.Duration
	// Release is done after the bake: scale the other side down, contract a schema.
	Release []string
	// OneWay says that Release cannot be taken back.
	OneWay bool
	Back   Back
}

const defaultBake = 10 * time.Minute

// Plan is the switch as data.
func (b BlueGreen) Plan() (Plan, error) {
	preview := slices.Clone(b.Preview)
	if len(preview) == 0 && !b.NoPreview {
		preview = []traffic.Match{{Header: "X-Preview", Value: "candidate"}}
	}
	bake := b.Bake
	if bake == 0 {
		bake = defaultBake
	}
	steps := []Step{
		{
			Name: "preview", Before: b.Before, Hold: b.PreviewHold, Min: b.PreviewHold, Checks: b.PreviewChecks, Approval: b.Approval,
			Set: []Dial{{Target: b.Target, Split: traffic.Split{Match: preview}}},
		},
		{Name: "switch", Set: []Dial{{Target: b.Target, Split: traffic.Split{Candidate: traffic.Full}}}},
		{Name: "bake", Hold: bake, Min: bake, Checks: b.Checks},
	}
	if len(b.Release) > 0 {
		steps = append(steps, Step{Name: "release", Before: b.Release, OneWay: b.OneWay})
	}
	return checked(Plan{Name: "blue-green", Lanes: []Lane{{Name: b.Target, Steps: steps}}, Watch: b.Watch, Back: b.Back})
}

// AllAtOnce switches everything in one step and watches it.
type AllAtOnce struct {
	// Targets are switched, in order. Required.
	Targets []string
	Before  []string
	// Bake is how long it is watched. 0 is ten minutes.
	Bake          time.Duration
	Checks, Watch []string
	Back          Back
}

// Plan is the switch as data.
func (a AllAtOnce) Plan() (Plan, error) {
	bake := a.Bake
	if bake == 0 {
		bake = defaultBake
	}
	step := Step{Name: "all at once", Before: a.Before, Hold: bake, Min: bake, Checks: a.Checks, Set: full(a.Targets)}
	return checked(Plan{Name: "all at once", Lanes: []Lane{{Name: "all", Steps: []Step{step}}}, Watch: a.Watch, Back: a.Back})
}

// full turns every target wholly. None at all is one without a name, which
// validation refuses: a step that turns nothing would promote nothing.
func full(targets []string) []Dial {
	if len(targets) == 0 {
		targets = []string{""}
	}
	var dials []Dial
	for _, target := range targets {
		dials = append(dials, Dial{Target: target, Split: traffic.Split{Candidate: traffic.Full}})
	}
	return dials
}
