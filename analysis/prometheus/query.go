// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

const (
	nameLabel  = "__name__"
	boundLabel = "le"
)

// Query says which series count the requests of two arms. The functions [Istio],
// [Nginx] and so on make one for what a data plane exposes; they are data, and can
// be changed before they are used.
//
// Matchers are written as in PromQL, such as namespace="shop", code=~"5..", with
// values in double quotes or backticks. A value may hold $stable, $candidate,
// $service, $target and $lane, or ${stable} and so on: the names in the
// [analysis.Check]. They are filled in as literals after the text was taken apart,
// so that no name can change what is asked.
type Query struct {
	// Name is for errors. "" is the metric of Requests.
	Name string
	// Where are the matchers that all series must meet, "" for none.
	Where string
	// Stable and Candidate are the matchers that tell the arms apart. No series may
	// meet both.
	Stable, Candidate string
	// Requests is a counter of requests, and Errors one of those that failed: a
	// metric's name, with matchers of its own in braces where needed. Both may be
	// the same metric. A native histogram counts what it has observed.
	Requests, Errors string
	// Latency is a histogram of how long requests took, "" for none. A classic one
	// is named by its series with the ending _bucket, a native one by its own name: see
	// the package's comment on what becomes of its buckets. Bounds of a classic one
	// must be the same in all replicas of both arms.
	Latency string
	// Unit is the unit of Latency's bounds. 0 is a second.
	Unit time.Duration
	// Replica is the label that tells stable's replicas apart, "" for instance, which
	// Prometheus gives each program that it scrapes: see [Source.Halves]. Where a
	// proxy in front counts the requests it is the proxies that are told apart: how
	// far stable's own replicas differ is then not seen.
	Replica string
}

// query is a Query that was taken apart.
type query struct {
	name              string
	where             []matcher
	stable, candidate []matcher
	requests, errors  selector
	latency           selector // without a metric for none
	unit              time.Duration
	replica           string
	// grid and bounds are those of a native Latency.
	grid   grid
	bounds []time.Duration
}

func (q Query) compile() (*query, error) {
	c := &query{name: cmp.Or(q.Name, q.Requests), unit: cmp.Or(q.Unit, time.Second), replica: cmp.Or(q.Replica, "instance")}
	if c.unit < 0 {
		return nil, fmt.Errorf("%s %v: want 0 for a second, or more", "Unit", q.Unit)
	}
	if r := c.replica; leadingName(r, false) != r || r == nameLabel || r == boundLabel {
		return nil, fmt.Errorf("%s %q: want the name of a label that tells replicas apart", "Replica", r)
	}
	for _, f := range [...]struct {
		name, text string
		into       *[]matcher
		needed     bool
	}{{"Where", q.Where, &c.where, false}, {"Stable", q.Stable, &c.stable, true}, {"Candidate", q.Candidate, &c.candidate, true}} {
		var err error
		if *f.into, err = parseMatchers(f.text); err != nil {
			return nil, fmt.Errorf("%s %w", f.name, err)
		}
		if f.needed && len(*f.into) == 0 {
			return nil, fmt.Errorf("%s is empty: want the matchers that tell this arm from the other", f.name)
		}
	}
	for _, f := range [...]struct {
		name, text string
		into       *selector
		needed     bool
	}{{"Requests", q.Requests, &c.requests, true}, {"Errors", q.Errors, &c.errors, true}, {"Latency", q.Latency, &c.latency, false}} {
		if f.text == "" && !f.needed {
			continue
		}
		var err error
		if *f.into, err = parseSelector(f.text); err != nil {
			return nil, fmt.Errorf("%s %w", f.name, err)
		}
	}
	if c.latency.metric != "" && slices.ContainsFunc(c.latency.matchers, func(m matcher) bool { return m.label == boundLabel }) {
		return nil, fmt.Errorf("%s chooses among buckets by le: all of them are needed", "Latency")
	}
	if c.native() {
		c.grid = newGrid(c.unit)
		c.bounds = c.grid.bounds(c.unit)
	}
	return c, nil
}

// classic and native are what kind of histogram Latency is; without it, it is neither.
func (q *query) classic() bool { return strings.HasSuffix(q.latency.metric, "_bucket") }
func (q *query) native() bool  { return q.latency.metric != "" && !q.classic() }

// plan is a query for one check.
type plan struct {
	*query
	// text is the selector in PromQL: what both arms need of all metrics.
	text                       string
	inStable, inCandidate      []condition
	inRequests, inErrs, inLate []condition
}

func (q *query) plan(c analysis.Check) (*plan, error) {
	p := &plan{query: q}
	var where []condition
	for _, f := range [...]struct {
		list []matcher
		into *[]condition
	}{
		{q.where, &where},
		{q.stable, &p.inStable},
		{q.candidate, &p.inCandidate},
		{q.requests.matchers, &p.inRequests},
		{q.errors.matchers, &p.inErrs},
		{q.latency.matchers, &p.inLate},
	} {
		var err error
		if *f.into, err = fillAll(f.list, c); err != nil {
			return nil, err
		}
	}
	p.text = p.selector(where)
	return p, nil
}

// selector is one that finds at least all that is needed, so that one request
// brings both arms and all metrics as of one moment. What it finds too much is
// sorted out here.
func (p *plan) selector(where []condition) string {
	var parts []string
	metrics := []string{p.requests.metric, p.errors.metric}
	if p.latency.metric != "" {
		metrics = append(metrics, p.latency.metric)
	}
	slices.Sort(metrics)
	metrics = slices.Compact(metrics)
	if len(metrics) == 1 {
		parts = append(parts, nameLabel+"="+strconv.Quote(metrics[0]))
		where = append(where, shared(p.inRequests, p.inErrs)...)
	} else {
		parts = append(parts, nameLabel+"=~"+strconv.Quote(strings.Join(metrics, "|")))
	}
	where = append(where, narrowed(p.inStable, p.inCandidate)...)
	for _, f := range where {
		parts = append(parts, f.String())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// shared are the conditions that are in both lists.
func shared(a, b []condition) []condition {
	var both []condition
	for _, f := range a {
		if slices.ContainsFunc(b, func(g condition) bool { return g.String() == f.String() }) {
			both = append(both, f)
		}
	}
	return both
}

// narrowed are conditions that what meets either list meets: one for each label
// that both lists have one condition for.
func narrowed(a, b []condition) []condition {
	var list []condition
	for _, f := range a {
		same := func(g condition) bool { return g.label == f.label }
		at := slices.IndexFunc(b, same)
		if at < 0 || count(a, same) != 1 || count(b, same) != 1 {
			continue
		}
		if c, ok := either(f, b[at]); ok {
			list = append(list, c)
		}
	}
	return list
}

func count(list []condition, f func(condition) bool) int {
	n := 0
	for _, c := range list {
		if f(c) {
			n++
		}
	}
	return n
}

// arm is which of the two arms labels are of.
type arm int8

const (
	neither arm = iota - 1
	stable
	candidate
)

func (p *plan) arm(labels map[string]string) (arm, error) {
	s, c := allHold(p.inStable, labels), allHold(p.inCandidate, labels)
	switch {
	case s && c:
		return neither, fmt.Errorf("%s is of both arms: let Stable and Candidate tell them apart", describe(labels))
	case s:
		return stable, nil
	case c:
		return candidate, nil
	default:
		return neither, nil
	}
}

// describe is a series as PromQL has it, cut off where it gets long.
func describe(labels map[string]string) string {
	names := make([]string, 0, len(labels))
	for name := range labels {
		if name != nameLabel {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(labels[nameLabel] + "{")
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + "=" + strconv.Quote(labels[name]))
	}
	return clip(b.String()+"}", 240)
}

// clip cuts a text that others wrote, for an error.
func clip(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
