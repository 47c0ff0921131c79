// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxParts bounds a combination: each part is asked in turn, within the time of one
// question.
const maxParts = 64

// Part is one judge of a combination. Its name tells its state from the others' and
// stands in reasons; it must stay the same while a rollout runs.
type Part struct {
	Name  string
	Judge Judge
	// Weight is how much the part counts in a [Mean], beside the others' weights. 0
	// is 1. [All] and [Any] do not look at it.
	Weight float64
}

// Combination is one judge made of several. Verdicts stand in an order,
//
//	Fail < Inconclusive < Pending < Pass < Safe
//
// and [All] takes the worst of its parts, [Any] the best:
//
//	All           Fail  Inconclusive  Pending       Pass          Safe
//	Fail          Fail  Fail          Fail          Fail          Fail
//	Inconclusive  Fail  Inconclusive  Inconclusive  Inconclusive  Inconclusive
//	Pending       Fail  Inconclusive  Pending       Pending       Pending
//	Pass          Fail  Inconclusive  Pending       Pass          Pass
//	Safe          Fail  Inconclusive  Pending       Pass          Safe
//
//	Any           Fail          Inconclusive  Pending  Pass  Safe
//	Fail          Fail          Inconclusive  Pending  Pass  Safe
//	Inconclusive  Inconclusive  Inconclusive  Pending  Pass  Safe
//	Pending       Pending       Pending       Pending  Pass  Safe
//	Pass          Pass          Pass          Pass     Pass  Safe
//	Safe          Safe          Safe          Safe     Safe  Safe
//
// so that neither makes a Pass of what no part passed. The numbers of the finding
// are those of the first part with its verdict; the reason tells of the parts that
// decided.
//
// The parts are asked one after the other, all of them at every question, each with
// its own state. A part that returns an error, answers another question, or gives a
// number that is not finite does not keep the others from being heard: it counts as
// Pending (as Inconclusive for the number), and its state stays as it was. Only if every
// part returned an error does the combination return one, that wraps them all.
//
// What is remembered is what the parts remember, under their names. State that
// cannot be read is not used: the answer to that question is Pending, says so, and
// the parts begin anew with the next one.
//
// A Combination is safe for concurrent use and cannot be changed.
type Combination struct {
	kind  string
	parts []Part
	// decide makes one answer of the parts', without a state.
	decide func(findings []partFinding) Finding
}

// partFinding is what a part said.
type partFinding struct {
	Part
	Finding

	// heard is false for a part that could not work.
	heard bool
}

var _ Judge = (*Combination)(nil)

// All is as bad as the worst of its parts: every one must pass. The error names the
// part that is wrong.
func All(parts ...Part) (*Combination, error) {
	return combine("all", parts, byVerdict(func(a, b int) int { return min(a, b) }))
}

// Any is as good as the best of its parts: one that passes is enough, and it fails
// only when all fail. Use it where several judges look for the same evidence in
// different places; a part that sees harm does not stop a rollout in which another
// part passes. The error names the part that is wrong.
func Any(parts ...Part) (*Combination, error) {
	return combine("any", parts, byVerdict(func(a, b int) int { return max(a, b) }))
}

func combine(kind string, parts []Part, decide func([]partFinding) Finding) (*Combination, error) {
	if len(parts) == 0 || len(parts) > maxParts {
		return nil, fmt.Errorf("analysis: %s of %d parts: want 1 to %d", kind, len(parts), maxParts)
	}
	seen := make(map[string]bool, len(parts))
	for i, p := range parts {
		switch {
		case p.Name == "":
			return nil, fmt.Errorf("analysis: %s: part %d: Name: empty", kind, i)
		case seen[p.Name]:
			return nil, fmt.Errorf("analysis: %s: part %d: Name: %q is taken: names tell states apart", kind, i, p.Name)
		case p.Judge == nil:
			return nil, fmt.Errorf("analysis: %s: part %q: Judge: nil", kind, p.Name)
		}
		seen[p.Name] = true
	}
	return &Combination{kind: kind, parts: slices.Clone(parts), decide: decide}, nil
}

// worstFirst is the order that the document of Combination shows.
var worstFirst = [...]Verdict{Fail, Inconclusive, Pending, Pass, Safe}

// rank is v's place in that order. A verdict that does not exist cannot be used as
// evidence.
func rank(v Verdict) int {
	if at := slices.Index(worstFirst[:], v); at >= 0 {
		return at
	}
	return slices.Index(worstFirst[:], Inconclusive)
}

const combinationVersion = 1

type combinationState struct {
	Version int              `json:"v"`
	Kind    string           `json:"combines"`
	Run     uint64           `json:"run"`
	Parts   map[string]State `json:"parts,omitempty"`
}

// Judge asks the parts: see Combination.
func (j *Combination) Judge(ctx context.Context, c Check) (Finding, error) {
	if err := ended(ctx); err != nil {
		return Finding{}, err
	}
	s, unusable := j.recall(c)
	if unusable != nil {
		var err error
		if c.State, err = remember(combinationState{Version: combinationVersion, Kind: j.kind, Run: c.Run}); err != nil {
			return Finding{}, err
		}
		return c.Finding(Pending, sentence(fmt.Sprintf("what was remembered of this check cannot be used (%v), so its parts begin anew", unusable))), nil
	}
	findings := make([]partFinding, len(j.parts))
	var failed []error
	for i, p := range j.parts {
		f, err := p.ask(ctx, c, s.Parts[p.Name])
		if gone := ended(ctx); gone != nil && err != nil {
			return Finding{}, gone
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.Name, err))
			f = pending(c, s.Parts[p.Name], err.Error())
		}
		findings[i] = partFinding{p, f, err == nil}
	}
	if len(failed) == len(j.parts) {
		return Finding{}, fmt.Errorf("analysis: no part of %s could work: %w", j.kind, errors.Join(failed...))
	}
	return j.sum(c, findings)
}

// recall reads the parts' states. Those of another run are none.
func (j *Combination) recall(c Check) (combinationState, error) {
	var s combinationState
	if c.State == "" {
		return s, nil
	}
	if err := recall(c.State, &s); err != nil {
		return s, err
	}
	if s.Version != combinationVersion || s.Kind != j.kind {
		return s, fmt.Errorf("it is version %d of %q", s.Version, s.Kind)
	}
	if s.Run != c.Run {
		s.Parts = nil
	}
	return s, nil
}

// ask gives the part the question and makes sure of what comes back.
func (p Part) ask(ctx context.Context, c Check, state State) (Finding, error) {
	c.State = state
	f, err := p.Judge.Judge(ctx, c)
	switch {
	case err != nil:
		return Finding{}, err
	case !f.Answers(c):
		return pending(c, state, "it answered another question"), nil
	case f.State != "" && !json.Valid([]byte(f.State)):
		return pending(c, state, "its state is not valid JSON"), nil
	}
	return f.Sound(), nil
}

func pending(c Check, state State, reason string) Finding {
	c.State = state
	return c.Finding(Pending, reason)
}

// sum makes one finding of the parts'.
func (j *Combination) sum(c Check, findings []partFinding) (Finding, error) {
	s := combinationState{Version: combinationVersion, Kind: j.kind, Run: c.Run, Parts: make(map[string]State, len(findings))}
	for _, f := range findings {
		if f.State != "" {
			s.Parts[f.Name] = f.State
		}
	}
	decided := j.decide(findings)
	var err error
	if decided.State, err = remember(s); err != nil {
		return Finding{}, err
	}
	decided.Reason = sentence(decided.Reason)
	return decided, nil
}

// byVerdict decides by the verdict of which take says that it goes by it.
func byVerdict(take func(a, b int) int) func(findings []partFinding) Finding {
	return func(findings []partFinding) Finding {
		at := rank(findings[0].Verdict)
		for _, f := range findings[1:] {
			at = take(at, rank(f.Verdict))
		}
		var decided Finding
		var reasons []string
		for _, f := range findings {
			if rank(f.Verdict) != at {
				continue
			}
			if reasons == nil {
				decided = f.Finding
			}
			reasons = append(reasons, f.Name+": "+f.Reason)
		}
		decided.Verdict = worstFirst[at]
		decided.Reason = strings.Join(reasons, "; ")
		return decided
	}
}
