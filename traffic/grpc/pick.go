// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/rheostat-go/rheostat/internal/split"
	"github.com/rheostat-go/rheostat/traffic"
)

// plan is a route compiled for picking. It is never changed, only exchanged.
type plan struct {
	traffic.Accepted
	stable, candidate *arm
	split             split.Split
	rules             []rule
	cookie, header    string // of the sticky key
}

// routed is false of the plan before any route.
func (p *plan) routed() bool { return !p.Route.IsZero() }

// rule is a Match with its key in lower case.
type rule struct{ header, cookie, value string }

// compile checks the whole route and readies it for picking.
func (c *Conn) compile(a traffic.Accepted) (*plan, error) {
	route, err := caps.NearestRoute(a.Route) // a copy, and the same: any weight can be had
	if err != nil {
		return nil, err
	}
	a.Route = route
	want := route.Split
	next := &plan{
		Accepted: a,
		stable:   c.arm(a.Route.Arms.Stable), candidate: c.arm(a.Route.Arms.Candidate),
		split:  split.New(a.Route.Arms.Candidate, uint32(want.Candidate)),
		cookie: want.Sticky.Cookie, header: strings.ToLower(want.Sticky.Header),
	}
	switch {
	case next.stable == nil:
		return nil, fmt.Errorf("arms.stable: %w", c.unknown(a.Route.Arms.Stable))
	case next.candidate == nil:
		return nil, fmt.Errorf("arms.candidate: %w", c.unknown(a.Route.Arms.Candidate))
	}
	if err := named(want.Sticky.Header, want.Sticky.Cookie); err != nil {
		return nil, fmt.Errorf("sticky: %w", err)
	}
	for i, m := range want.Match {
		if err := named(m.Header, m.Cookie); err != nil {
			return nil, fmt.Errorf("match[%d]: %w", i, err)
		}
		next.rules = append(next.rules, rule{strings.ToLower(m.Header), m.Cookie, m.Value})
	}
	return next, nil
}

// later are the keys that gRPC sets after the arm was chosen.
var later = []string{"authority", "content-type", "host", "te", "user-agent"}

// named refuses names that no call has.
func named(header, cookie string) error {
	if strings.ContainsFunc(header+cookie, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}) {
		return errors.New("a header or cookie has letters, digits and dashes in its name")
	}
	if header = strings.ToLower(header); strings.HasPrefix(header, "grpc-") || slices.Contains(later, header) {
		return fmt.Errorf("header %q: gRPC sets it after the arm was chosen; use one of your own: %w", header, errors.ErrUnsupported)
	}
	return nil
}

// pick chooses the arm for a call: a match first, then the sticky key, then chance.
func (p *plan) pick(ctx context.Context) *arm {
	for i := range p.rules {
		if p.rules[i].matches(ctx) {
			return p.candidate
		}
	}
	var key string
	switch {
	case p.header != "":
		key = first(metadata.ValueFromOutgoingContext(ctx, p.header))
	case p.cookie != "":
		key = split.Cookie(metadata.ValueFromOutgoingContext(ctx, "cookie"), p.cookie)
	}
	if p.split.Candidate(key) {
		return p.candidate
	}
	return p.stable
}

// first is the first value that is not empty.
func first(values []string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

func (m *rule) matches(ctx context.Context) bool {
	if m.header != "" {
		return slices.ContainsFunc(metadata.ValueFromOutgoingContext(ctx, m.header), m.is)
	}
	for _, line := range metadata.ValueFromOutgoingContext(ctx, "cookie") {
		for line != "" {
			var value string
			if value, line = split.CutCookie(line, m.cookie); m.is(value) {
				return true
			}
		}
	}
	return false
}

func (m *rule) is(value string) bool { return value != "" && (m.value == "" || m.value == value) }
