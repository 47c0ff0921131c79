// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// span is a duration written as people write it: "1m30s".
type span time.Duration

func (d span) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *span) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want something like \"90s\" or \"1h30m\"", text)
	}
	*d = span(parsed)
	return nil
}

// The plain types have the fields of the public ones without their methods; the
// wire types add the durations in text.
type (
	plainStep     Step
	plainApproval Approval
	plainBack     Back
)

type wireStep struct {
	plainStep
	Hold     span `json:"hold,omitzero"`
	Min      span `json:"min,omitzero"`
	Deadline span `json:"deadline,omitzero"`
}

type wireApproval struct {
	plainApproval
	Timeout span `json:"timeout,omitzero"`
}

type wireBack struct {
	plainBack
	Pace  span `json:"pace,omitzero"`
	Drain span `json:"drain,omitzero"`
	Bound span `json:"bound,omitzero"`
}

// MarshalJSON writes durations as text, such as "1m0s".
func (s Step) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireStep{plainStep(s), span(s.Hold), span(s.Min), span(s.Deadline)})
}

// UnmarshalJSON reads what MarshalJSON writes and refuses fields it does not know.
func (s *Step) UnmarshalJSON(data []byte) error {
	var w wireStep
	if err := strict(data, &w); err != nil {
		return err
	}
	*s = Step(w.plainStep)
	s.Hold, s.Min, s.Deadline = time.Duration(w.Hold), time.Duration(w.Min), time.Duration(w.Deadline)
	return nil
}

// MarshalJSON writes the timeout as text.
func (a Approval) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireApproval{plainApproval(a), span(a.Timeout)})
}

// UnmarshalJSON reads what MarshalJSON writes and refuses fields it does not know.
func (a *Approval) UnmarshalJSON(data []byte) error {
	var w wireApproval
	if err := strict(data, &w); err != nil {
		return err
	}
	*a = Approval(w.plainApproval)
	a.Timeout = time.Duration(w.Timeout)
	return nil
}

// MarshalJSON writes durations as text.
func (b Back) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireBack{plainBack(b), span(b.Pace), span(b.Drain), span(b.Bound)})
}

// UnmarshalJSON reads what MarshalJSON writes and refuses fields it does not know.
func (b *Back) UnmarshalJSON(data []byte) error {
	var w wireBack
	if err := strict(data, &w); err != nil {
		return err
	}
	*b = Back(w.plainBack)
	b.Pace, b.Drain, b.Bound = time.Duration(w.Pace), time.Duration(w.Drain), time.Duration(w.Bound)
	return nil
}

// ParsePlan reads a plan from JSON. A field that it does not know, or that is
// given twice, is an error with its place, so that a misspelt deadline is not a
// missing one. It does not validate the plan: Freeze, Accept and Preview do.
func ParsePlan(data []byte) (Plan, error) {
	var p Plan
	if !json.Valid(data) {
		// Its own error says at which byte.
		return Plan{}, fmt.Errorf("strategy: plan: %w", json.Unmarshal(data, &p))
	}
	if string(bytes.TrimSpace(data)) == "null" {
		return Plan{}, errors.New("strategy: plan: there is none")
	}
	if err := fields("", data, reflect.TypeFor[Plan]()); err != nil {
		return Plan{}, fmt.Errorf("strategy: plan: %w", err)
	}
	if err := strict(data, &p); err != nil {
		return Plan{}, fmt.Errorf("strategy: plan: %w", err)
	}
	return p, nil
}

// strict decodes one JSON value and nothing else.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("trailing data after byte %d", dec.InputOffset())
	}
	return nil
}

func (p Plan) clone() Plan {
	p.Watch = slices.Clone(p.Watch)
	p.Back.Before = slices.Clone(p.Back.Before)
	p.Lanes = slices.Clone(p.Lanes)
	for i := range p.Lanes {
		lane := &p.Lanes[i]
		lane.After = slices.Clone(lane.After)
		lane.Steps = slices.Clone(lane.Steps)
		for j := range lane.Steps {
			lane.Steps[j] = lane.Steps[j].clone()
		}
	}
	return p
}

func (s Step) clone() Step {
	s.Before = slices.Clone(s.Before)
	s.Checks = slices.Clone(s.Checks)
	s.Set = slices.Clone(s.Set)
	for i := range s.Set {
		s.Set[i].Split = s.Set[i].Split.Clone()
	}
	if s.Approval != nil {
		approval := *s.Approval
		s.Approval = &approval
	}
	return s
}

// stepName is a name for a step without one: its first split, with a number if
// an earlier step is called that.
func stepName(s Step, before []Step) string {
	base := "step"
	if len(s.Set) > 0 {
		base = s.Set[0].Split.Candidate.String()
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(before, func(o Step) bool { return o.Name == name })
	}
	name := base
	for n := 2; taken(name); n++ {
		name = base + " #" + strconv.Itoa(n)
	}
	return name
}

// name and parseName are the text form of every small enumeration here.
func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown(" + strconv.Itoa(int(v)) + ")"
}

func parseName[T ~uint8](what string, names []string, into *T, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%s %q: want one of %q", what, text, names)
	}
	*into = T(i)
	return nil
}

var (
	scopeNames   = []string{"everything", "thisLane"}
	timeoutNames = []string{"goHome", "holdAndPage"}
)

// String is the name.
func (s Scope) String() string { return name(scopeNames, s) }

// MarshalText writes the name.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *Scope) UnmarshalText(text []byte) error { return parseName("scope", scopeNames, s, text) }

// String is the name.
func (t Timeout) String() string { return name(timeoutNames, t) }

// MarshalText writes the name.
func (t Timeout) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name.
func (t *Timeout) UnmarshalText(text []byte) error {
	return parseName("timeout policy", timeoutNames, t, text)
}
