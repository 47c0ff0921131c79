// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/internal/split"
	"github.com/rheostat-go/rheostat/traffic"
)

// plan is a route compiled for picking. It is never changed, only exchanged.
type plan struct {
	traffic.Accepted
	stable, candidate *arm
	split             split.Split
	rules             []rule
	cookie            string
	header            string
}

// routed is false of the plan before any route.
func (p *plan) routed() bool { return !p.Route.IsZero() }

// rule is a Match with its header in canonical form.
type rule struct{ header, cookie, query, value string }

// compile checks the whole route and readies it for picking.
func (p *Proxy) compile(a traffic.Accepted) (*plan, error) {
	route, err := caps.NearestRoute(a.Route) // a copy, and the same: any weight can be had
	if err != nil {
		return nil, err
	}
	a.Route = route
	want := route.Split
	arms := *p.arms.Load()
	next := &plan{
		Accepted: a,
		stable:   arms[a.Route.Arms.Stable], candidate: arms[a.Route.Arms.Candidate],
		split:  split.New(a.Route.Arms.Candidate, uint32(want.Candidate)),
		cookie: want.Sticky.Cookie,
		header: http.CanonicalHeaderKey(want.Sticky.Header),
	}
	switch {
	case next.stable == nil:
		return nil, fmt.Errorf("arms.stable: %w", p.unknown(a.Route.Arms.Stable))
	case next.candidate == nil:
		return nil, fmt.Errorf("arms.candidate: %w", p.unknown(a.Route.Arms.Candidate))
	}
	if err := named(want.Sticky.Cookie + want.Sticky.Header); err != nil {
		return nil, fmt.Errorf("sticky: %w", err)
	}
	for i, m := range want.Match {
		if err := named(m.Header + m.Cookie); err != nil {
			return nil, fmt.Errorf("match[%d]: %w", i, err)
		}
		next.rules = append(next.rules, rule{http.CanonicalHeaderKey(m.Header), m.Cookie, m.Query, m.Value})
	}
	return next, nil
}

// named refuses what cannot be the name of a header or a cookie: a cookie of
// such a name would be dropped on the way, and nobody would be sticky.
func named(name string) error {
	if strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}) {
		return errors.New("a header or cookie has letters, digits and dashes in its name")
	}
	return nil
}

// pick chooses the arm for a request: a match first, then the sticky key, then
// chance. give is the sticky cookie's value for a client that has none.
func (p *plan) pick(r *http.Request) (a *arm, give string) {
	for i := range p.rules {
		if p.rules[i].matches(r) {
			return p.candidate, ""
		}
	}
	var key string
	switch {
	case p.cookie != "":
		if key = split.Cookie(r.Header["Cookie"], p.cookie); key == "" {
			key = newID()
			give = key
		}
	case p.header != "":
		key = header(r, p.header)
	}
	if p.split.Candidate(key) {
		return p.candidate, give
	}
	return p.stable, give
}

func (m *rule) matches(r *http.Request) bool {
	switch {
	case m.query != "":
		return m.matchesQuery(r.URL.RawQuery)
	case m.header == "Host":
		return m.is(r.Host)
	case m.header != "":
		return slices.ContainsFunc(r.Header[m.header], m.is)
	}
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var value string
			if value, line = split.CutCookie(line, m.cookie); m.is(value) {
				return true
			}
		}
	}
	return false
}

// matchesQuery reads the query as [url.ParseQuery] does, and allocates only where
// something is escaped.
func (m *rule) matchesQuery(query string) bool {
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(part, "=")
		if strings.Contains(part, ";") {
			continue
		}
		name, err := url.QueryUnescape(name)
		if err != nil || name != m.query {
			continue
		}
		if value, err = url.QueryUnescape(value); err == nil && m.is(value) {
			return true
		}
	}
	return false
}

func (m *rule) is(value string) bool { return value != "" && (m.value == "" || m.value == value) }
