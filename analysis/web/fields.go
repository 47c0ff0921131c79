// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Arm says where in the answer the counts of one arm are, by JSON pointers with
// placeholders.
type Arm struct {
	// Requests and Errors lead to running totals. They are both "" or neither.
	Requests, Errors string
	// Since, where set, leads to the moment at which counting began, as in RFC 3339 or
	// in seconds since 1970, so that a counter that starts over is known by it.
	Since string
	// Latency, where set, leads to an array of counts, one for each of Fields.Bounds
	// and one for what took longer. They are not cumulative.
	Latency string
}

// Fields says where in the answer the counts are. The zero Fields is for an answer such as
//
//	{"stable": {"requests": 900, "errors": 1}, "candidate": {"requests": 100, "errors": 0}}
type Fields struct {
	Stable, Candidate Arm
	// Bounds are the upper bounds of the latency buckets, rising.
	Bounds []time.Duration
	// AbsentIsZero says that an arm of which nothing is in the answer got no
	// request: some databases have no row for nothing. Otherwise it is an error.
	AbsentIsZero bool
}

// Source is an [analysis.Source] that asks an Endpoint for the totals of both arms,
// with one request. It is safe for concurrent use.
type Source struct {
	endpoint *Endpoint
	arms     [2]armAt
	fields   Fields
}

var _ analysis.Source = (*Source)(nil)

// armAt is an Arm whose placeholders were found.
type armAt struct {
	name                             string
	requests, errors, since, latency place
}

// place is a pointer with placeholders.
type place struct {
	name string // the field's, for errors; "" where it is not set
	template
}

// Source reads the counts that f says. The error names the field that is wrong.
func (e *Endpoint) Source(f Fields) (*Source, error) {
	f.Bounds = slices.Clone(f.Bounds)
	s := &Source{endpoint: e, fields: f}
	for i, b := range f.Bounds {
		if b <= 0 || i > 0 && b <= f.Bounds[i-1] {
			return nil, fmt.Errorf("web: Fields.Bounds %v: want them above 0 and rising", f.Bounds)
		}
	}
	for i, a := range [...]struct {
		name, plain string
		Arm
	}{{"Stable", "/stable", f.Stable}, {"Candidate", "/candidate", f.Candidate}} {
		if a.Requests == "" && a.Errors == "" {
			a.Requests, a.Errors = a.plain+"/requests", a.plain+"/errors"
		}
		at, err := a.parse("Fields." + a.name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("web: %w", err)
		case (a.Latency == "") != (len(f.Bounds) == 0):
			return nil, fmt.Errorf("web: Fields.%s.Latency: want it and Bounds, or neither", a.name)
		}
		s.arms[i] = at
	}
	return s, nil
}

func (a Arm) parse(name string) (at armAt, err error) {
	at.name = name
	for _, f := range [...]struct {
		name, text string
		required   bool
		to         *place
	}{
		{"Requests", a.Requests, true, &at.requests},
		{"Errors", a.Errors, true, &at.errors},
		{"Since", a.Since, false, &at.since},
		{"Latency", a.Latency, false, &at.latency},
	} {
		if f.text == "" && !f.required {
			continue
		}
		if *f.to, err = parsePlace(name+"."+f.name, f.text); err != nil {
			return at, err
		}
		if f.text == "" {
			return at, fmt.Errorf("%s.%s: want a pointer", name, f.name)
		}
	}
	return at, nil
}

func parsePlace(name, text string) (place, error) {
	t, err := parse(text, false)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := parsePointer(t.sample()); err != nil {
		return place{}, fmt.Errorf("%s: %w", name, err)
	}
	return place{name, t}, nil
}

// answer is a document that was read for a check.
type answer struct {
	document any
	check    analysis.Check
}

// at is what stands at p, as read says. Errors name the pointer.
func at[T any](a answer, p place, read func(any) (T, error)) (T, error) {
	text := p.escaped(a.check, token)
	to, err := parsePointer(text)
	if err == nil {
		var v any
		if v, err = to.in(a.document); err == nil {
			var got T
			if got, err = read(v); err == nil {
				return got, nil
			}
		}
	}
	var none T
	return none, fmt.Errorf("%s at %q: %w", p.name, text, err)
}

func (e *Endpoint) answer(ctx context.Context, c analysis.Check) (answer, error) {
	body, err := e.ask(ctx, c)
	if err != nil {
		return answer{}, err
	}
	document, err := decode(body)
	if err != nil {
		return answer{}, e.wrong(c, err)
	}
	return answer{document, c}, nil
}

// wrong is an answer that cannot be used.
func (e *Endpoint) wrong(c analysis.Check, err error) error {
	u, bad := e.address.url(c)
	if bad != nil {
		return fmt.Errorf("web: %s: %w", e.address.origin, err)
	}
	return fmt.Errorf("web: %s: %w", shown(u), err)
}

// Counts asks for the totals of both arms. Errors name the address without its
// query, the status, and the pointer where something else was found.
func (s *Source) Counts(ctx context.Context, c analysis.Check) (stable, candidate analysis.Counts, err error) {
	a, err := s.endpoint.answer(ctx, c)
	if err != nil {
		return stable, candidate, err
	}
	if stable, err = s.read(a, s.arms[0]); err == nil {
		candidate, err = s.read(a, s.arms[1])
	}
	if err != nil {
		return analysis.Counts{}, analysis.Counts{}, s.endpoint.wrong(c, err)
	}
	return stable, candidate, nil
}

func (s *Source) read(a answer, arm armAt) (n analysis.Counts, err error) {
	if s.fields.AbsentIsZero && arm.absent(a) {
		return n, nil
	}
	if n.Requests, err = at(a, arm.requests, count); err != nil {
		return n, err
	}
	if n.Errors, err = at(a, arm.errors, count); err != nil {
		return n, err
	}
	if arm.since.name != "" {
		if n.Since, err = at(a, arm.since, instant); err != nil {
			return n, err
		}
	}
	if arm.latency.name != "" {
		n.Bounds = slices.Clone(s.fields.Bounds)
		n.Latency, err = at(a, arm.latency, func(v any) ([]uint64, error) { return counts(v, len(n.Bounds)+1) })
	}
	return n, err
}

// absent reports that the answer has nothing of the arm.
func (arm armAt) absent(a answer) bool {
	for _, p := range [...]place{arm.requests, arm.errors, arm.since, arm.latency} {
		if p.name == "" {
			continue
		}
		_, err := at(a, p, func(v any) (any, error) { return v, nil })
		if !errors.Is(err, errMissing) {
			return false
		}
	}
	return true
}

func counts(v any, want int) ([]uint64, error) {
	list, ok := v.([]any)
	if !ok || len(list) != want {
		return nil, fmt.Errorf("want an array of %d counts, one for each bound and one for the rest", want)
	}
	all := make([]uint64, want)
	for i, v := range list {
		n, err := count(v)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		all[i] = n
	}
	return all, nil
}

// Number says where in the answer a number is, by JSON pointers with placeholders.
type Number struct {
	// Value leads to the candidate's number. "" is "/value".
	Value string
	// Baseline, where set, leads to stable's.
	Baseline string
	// N and BaselineN, where set, lead to counts of what the two rest on.
	N, BaselineN string
}

// Value is a number of the endpoint's under a name for reasons. Each measurement
// has a window of its own: ask for {since} to {until}. null is no data; a string may
// say "NaN" or "+Inf", which is never good. The error names the field that is wrong.
func (e *Endpoint) Value(name string, n Number) (analysis.Metric, error) {
	var value, baseline, count, baseCount place
	for _, f := range [...]struct {
		name, text string
		to         *place
	}{
		{"Number.Value", cmp.Or(n.Value, "/value"), &value},
		{"Number.Baseline", n.Baseline, &baseline},
		{"Number.N", n.N, &count},
		{"Number.BaselineN", n.BaselineN, &baseCount},
	} {
		if f.text == "" {
			continue
		}
		var err error
		if *f.to, err = parsePlace(f.name, f.text); err != nil {
			return analysis.Metric{}, fmt.Errorf("web: %w", err)
		}
	}
	switch {
	case name == "":
		return analysis.Metric{}, errors.New("web: Value has no name")
	case (n.Baseline == "") != (n.BaselineN == ""):
		return analysis.Metric{}, errors.New("web: Number.BaselineN: want it and Baseline, or neither")
	}
	v := valueAt{e, value, baseline, count, baseCount}
	return analysis.Value(name, v.measure), nil
}

type valueAt struct {
	endpoint                          *Endpoint
	value, baseline, count, baseCount place
}

func (v valueAt) measure(ctx context.Context, c analysis.Check) (analysis.Sample, error) {
	a, err := v.endpoint.answer(ctx, c)
	if err != nil {
		return analysis.Sample{}, err
	}
	s, err := v.sample(a)
	if err != nil {
		return analysis.Sample{}, v.endpoint.wrong(c, err)
	}
	return s, nil
}

func (v valueAt) sample(a answer) (s analysis.Sample, err error) {
	s.Known, err = at(a, v.value, func(v any) (bool, error) { return v != nil, nil })
	if err != nil || !s.Known {
		return s, err
	}
	if s.Value, err = at(a, v.value, number); err != nil {
		return analysis.Sample{}, err
	}
	if v.count.name != "" {
		if s.N, err = at(a, v.count, count); err != nil {
			return analysis.Sample{}, err
		}
	}
	if v.baseline.name != "" {
		if s.Baseline, err = at(a, v.baseline, number); err != nil {
			return analysis.Sample{}, err
		}
		if s.BaselineN, err = at(a, v.baseCount, count); err != nil {
			return analysis.Sample{}, err
		}
	}
	return s, nil
}
