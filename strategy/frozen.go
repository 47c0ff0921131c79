// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rheostat-go/rheostat/traffic"
)

// Frozen is a plan that a run carries out: valid, with every default written
// out, every weight one that its router can hold, and unchangeable. A newer
// binary finishes a run with the plan the run began with. The zero Frozen has no
// plan. Copies are cheap and share nothing that can be written to.
type Frozen struct{ in *frozen }

type frozen struct {
	plan   Plan
	json   []byte // canonical: keys sorted, so that the digest does not depend on a struct's layout
	digest string

	lanes   []laneIndex
	targets []targetIndex
	checks  []checkIndex
}

// laneIndex and its siblings are what a turn needs of the plan, looked up once.
type laneIndex struct {
	after           []int
	target, targets int // the lane's targets are targets[target:targets]
	check, checks   int // and its checks checks[check:checks]
	needs           [][]int
	steps           int
	stepNames       []string
}

type targetIndex struct {
	name   string
	lane   int
	splits []traffic.Split // by step
}

type checkIndex struct {
	lane int
	name string
	// watch says that the check runs the whole time; step checks run while they are needed.
	watch bool
}

// digestVersion leads every digest, so that another canonical form can come.
const digestVersion = "v1:"

// Freeze validates a plan and writes out its defaults.
func Freeze(p Plan) (Frozen, error) {
	if err := p.Validate(); err != nil {
		return Frozen{}, err
	}
	data, err := json.Marshal(p.withDefaults())
	if err != nil {
		return Frozen{}, fmt.Errorf("strategy: plan: %w", err)
	}
	return thaw(data)
}

// thaw makes a Frozen of a plan that was written out before. Nothing of today is
// applied to it: a rule or a default that is newer than the run would change it.
func thaw(data []byte) (Frozen, error) {
	var plan Plan
	if err := strict(data, &plan); err != nil {
		return Frozen{}, fmt.Errorf("strategy: frozen plan: %w", err)
	}
	if err := plan.sound(); err != nil {
		return Frozen{}, err
	}
	canonical, err := canonicalJSON(data)
	if err != nil {
		return Frozen{}, fmt.Errorf("strategy: frozen plan: %w", err)
	}
	sum := sha256.Sum256(canonical)
	in := &frozen{plan: plan, json: canonical, digest: digestVersion + hex.EncodeToString(sum[:])}
	in.index()
	return Frozen{in}, nil
}

// sound refuses what no frozen plan can look like, so that the rest need not look.
func (p Plan) sound() error {
	owner := map[string]int{}
	for i, lane := range p.Lanes {
		for _, step := range lane.Steps {
			for _, d := range step.Set {
				if o, ok := owner[d.Target]; ok && o != i {
					return fmt.Errorf("strategy: frozen plan: target %q has two lanes", d.Target)
				}
				owner[d.Target] = i
			}
		}
		for _, after := range lane.After {
			if !slices.ContainsFunc(p.Lanes, func(l Lane) bool { return l.Name == after }) {
				return fmt.Errorf("strategy: frozen plan: there is no lane %q", after)
			}
		}
		if len(lane.Steps) == 0 {
			return fmt.Errorf("strategy: frozen plan: lane %q has no steps", lane.Name)
		}
	}
	if len(p.Lanes) == 0 {
		return errors.New("strategy: frozen plan: it has no lanes")
	}
	return nil
}

func canonicalJSON(data []byte) ([]byte, error) {
	var value any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// Plan is a copy of the plan.
func (f Frozen) Plan() Plan {
	if f.in == nil {
		return Plan{}
	}
	return f.in.plan.clone()
}

// Name is the plan's name.
func (f Frozen) Name() string {
	if f.in == nil {
		return ""
	}
	return f.in.plan.Name
}

// Digest identifies the plan; approvals are bound to it. It leads with its version.
func (f Frozen) Digest() string {
	if f.in == nil {
		return ""
	}
	return f.in.digest
}

// IsZero reports whether there is no plan.
func (f Frozen) IsZero() bool { return f.in == nil }

type wireFrozen struct {
	Digest string          `json:"digest"`
	Plan   json.RawMessage `json:"plan"`
}

// MarshalJSON writes the plan with its digest, or null.
func (f Frozen) MarshalJSON() ([]byte, error) {
	if f.in == nil {
		return []byte("null"), nil
	}
	return json.Marshal(wireFrozen{f.in.digest, f.in.json})
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses a plan that is no
// longer the one with this digest.
func (f *Frozen) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = Frozen{}
		return nil
	}
	var w wireFrozen
	if err := strict(data, &w); err != nil {
		return fmt.Errorf("strategy: frozen plan: %w", err)
	}
	read, err := thaw(w.Plan)
	if err != nil {
		return err
	}
	if read.in.digest != w.Digest {
		return errors.New("strategy: frozen plan: its digest does not match, so it was changed after the run began; restore it, or abort the run")
	}
	*f = read
	return nil
}

func (in *frozen) index() {
	number := map[string]int{}
	for i, lane := range in.plan.Lanes {
		number[lane.Name] = i
	}
	for i, lane := range in.plan.Lanes {
		x := laneIndex{target: len(in.targets), check: len(in.checks), steps: len(lane.Steps)}
		for _, after := range lane.After {
			x.after = append(x.after, number[after])
		}
		in.indexTargets(i, lane)
		in.indexChecks(i, lane)
		x.targets, x.checks = len(in.targets), len(in.checks)
		for _, step := range lane.Steps {
			x.stepNames = append(x.stepNames, step.Name)
			x.needs = append(x.needs, in.needs(x, step))
		}
		in.lanes = append(in.lanes, x)
	}
}

// indexTargets tabulates where each dial of the lane stands at each step.
func (in *frozen) indexTargets(number int, lane Lane) {
	first := len(in.targets)
	for j, step := range lane.Steps {
		for _, d := range step.Set {
			at := slices.IndexFunc(in.targets[first:], func(t targetIndex) bool { return t.name == d.Target })
			if at < 0 {
				in.targets = append(in.targets, targetIndex{name: d.Target, lane: number, splits: make([]traffic.Split, len(lane.Steps))})
				at = len(in.targets) - 1 - first
			}
			for later := j; later < len(lane.Steps); later++ {
				in.targets[first+at].splits[later] = d.Split
			}
		}
	}
}

func (in *frozen) indexChecks(number int, lane Lane) {
	first := len(in.checks)
	add := func(name string, watch bool) {
		if !slices.ContainsFunc(in.checks[first:], func(c checkIndex) bool { return c.name == name }) {
			in.checks = append(in.checks, checkIndex{lane: number, name: name, watch: watch})
		}
	}
	for _, name := range in.plan.Watch {
		add(name, true)
	}
	for _, step := range lane.Steps {
		for _, name := range step.Checks {
			add(name, false)
		}
	}
}

func (in *frozen) needs(x laneIndex, step Step) []int {
	var needs []int
	for _, name := range step.Checks {
		for c := x.check; c < x.checks; c++ {
			if in.checks[c].name == name {
				needs = append(needs, c)
			}
		}
	}
	return needs
}

// step is the plan's step without copying it.
func (in *frozen) step(lane, step int) *Step { return &in.plan.Lanes[lane].Steps[step] }

func (in *frozen) laneName(lane int) string { return in.plan.Lanes[lane].Name }

// Adjustment is a weight that was moved to what a router can hold.
type Adjustment struct {
	Lane, Step, Target string
	Wanted, Given      traffic.Weight
}

// Accept freezes a plan for the routers that will carry it out. What a router
// cannot do is refused here, in a *PlanError; weights between two grains are
// moved to the nearer one and listed. singleWriter is the caller's word that
// nobody else turns these targets, needed for routers that cannot fence.
func Accept(p Plan, caps map[string]traffic.Caps, singleWriter bool) (Frozen, []Adjustment, error) {
	if err := p.Validate(); err != nil {
		return Frozen{}, nil, err
	}
	p = p.withDefaults()
	var adjusted []Adjustment
	v := validator{plan: p}
	for i := range p.Lanes {
		lane := &p.Lanes[i]
		v.laneName = lane.Name
		for j := range lane.Steps {
			step := &lane.Steps[j]
			v.step = step.Name
			for k := range step.Set {
				field, dial := fmt.Sprintf("set[%d]", k), &step.Set[k]
				c, ok := caps[dial.Target]
				if !ok {
					v.add(field+".target", fmt.Sprintf("there is no router %q", dial.Target), "wire one, or mend the name")
					continue
				}
				near, err := c.Nearest(dial.Split)
				if err != nil {
					v.add(field+".split", err.Error(), "use a router that can, or change the step")
					continue
				}
				if near.Candidate != dial.Split.Candidate {
					adjusted = append(adjusted, Adjustment{lane.Name, step.Name, dial.Target, dial.Split.Candidate, near.Candidate})
				}
				dial.Split = near
				v.router(field, dial.Target, c, singleWriter)
			}
		}
	}
	if len(v.problems) > 0 {
		return Frozen{}, nil, &PlanError{v.problems}
	}
	f, err := Freeze(p)
	return f, adjusted, err
}

func (v *validator) router(field, target string, c traffic.Caps, singleWriter bool) {
	switch {
	case slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Field == field+".target" }):
	case !c.Fencing && !singleWriter:
		v.add(field+".target", fmt.Sprintf("router %q cannot refuse a stale writer", target), "set Config.SingleWriter if nothing else turns it")
	case !c.Room:
		v.add(field+".target", fmt.Sprintf("router %q does not know how much each side can carry", target), "wrap it with traffic.WithRoom, or traffic.AssumeRoom if both sides always can")
	case c.Evidence == traffic.Unknown:
		v.add(field+".target", fmt.Sprintf("router %q can never tell what is in force", target), "declare the evidence it gives")
	}
}
