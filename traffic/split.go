// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"errors"
	"fmt"
	"slices"
)

// Arms names the two backends of a target by identity. The names are frozen for
// a run: after a blue-green swap "the candidate" is another backend, so a router
// is always told which backend it is.
type Arms struct {
	Stable    string `json:"stable"`
	Candidate string `json:"candidate"`
}

// Split says how much of the traffic the candidate gets; stable gets the rest.
// One number cannot fail to add up. The zero Split sends everything to stable.
type Split struct {
	// Candidate is the share of requests that the candidate answers.
	Candidate Weight `json:"candidate"`
	// Mirror is the share of stable's requests that the candidate receives a
	// copy of. What it answers to a copy is dropped.
	Mirror Weight `json:"mirror,omitempty"`
	// Match lists requests that go to the candidate whatever the weight: a
	// preview, an internal ring, the B side of a test. One match is enough.
	Match []Match `json:"match,omitempty"`
	// Sticky keeps a client on the side it was given.
	Sticky Sticky `json:"sticky,omitzero"`
}

// Match is one rule on a request: the header, the cookie or the parameter of the
// query that is named has this value. Exactly one of the three is set. An empty
// Value matches any value that is present and not empty. Which of several values
// counts, where a request has a header more than once, is the router's own.
type Match struct {
	Header string `json:"header,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	Query  string `json:"query,omitempty"`
	Value  string `json:"value,omitempty"`
}

// named counts what the rule looks at; one is right.
func (m Match) named() (n int) {
	for _, name := range [...]string{m.Header, m.Cookie, m.Query} {
		if name != "" {
			n++
		}
	}
	return n
}

// Sticky keys the choice of a side by a cookie or a header instead of by
// chance. It is monotone: whoever is on the candidate at 5% still is at 10%. The
// zero Sticky chooses for each request anew. At most one of Cookie and Header is set.
type Sticky struct {
	// Cookie names a cookie. A router that sets cookies gives one to a client
	// that has none; any other treats that client as not sticky.
	Cookie string `json:"cookie,omitempty"`
	// Header names a request header, such as one with a user or tenant identity.
	Header string `json:"header,omitempty"`
}

// Route is a Split between two named arms. The zero Route means that a target
// has never been given one.
type Route struct {
	Arms  Arms  `json:"arms"`
	Split Split `json:"split"`
}

// Equal reports whether both say the same. The order of matches counts.
func (s Split) Equal(o Split) bool {
	return s.Candidate == o.Candidate && s.Mirror == o.Mirror && s.Sticky == o.Sticky && slices.Equal(s.Match, o.Match)
}

// Touches reports whether any request, or a copy of one, reaches the candidate.
func (s Split) Touches() bool { return s.Candidate > 0 || s.Mirror > 0 || len(s.Match) > 0 }

// Clone is a copy that shares nothing with s.
func (s Split) Clone() Split {
	s.Match = slices.Clone(s.Match)
	return s
}

// Validate names the first field that no router could carry out.
func (s Split) Validate() error {
	switch {
	case !s.Candidate.Valid():
		return fmt.Errorf("candidate: %v is not between 0%% and 100%%", s.Candidate)
	case !s.Mirror.Valid():
		return fmt.Errorf("mirror: %v is not between 0%% and 100%%", s.Mirror)
	case s.Sticky.Cookie != "" && s.Sticky.Header != "":
		return errors.New("sticky: both a cookie and a header are named; keep one")
	}
	for i, m := range s.Match {
		if m.named() != 1 {
			return fmt.Errorf("match[%d]: name either a header, a cookie or a query parameter", i)
		}
	}
	return nil
}

// clone is a copy that shares nothing with r.
func (r Route) clone() Route {
	r.Split = r.Split.Clone()
	return r
}

// Equal reports whether both routes send every request to the same place for the same reason.
func (r Route) Equal(o Route) bool { return r.Arms == o.Arms && r.Split.Equal(o.Split) }

// IsZero reports whether the route was never set.
func (r Route) IsZero() bool { return r.Equal(Route{}) }

// Serves is the one arm that all requests go to, or "" when both get some, or none was set.
func (r Route) Serves() string {
	switch {
	case !r.Split.Touches():
		return r.Arms.Stable
	case r.Split.Candidate == Full:
		return r.Arms.Candidate
	}
	return ""
}

// Validate names the first field that no router could carry out.
func (r Route) Validate() error {
	switch {
	case r.Arms.Stable == "":
		return errors.New("arms.stable: name the backend")
	case r.Arms.Candidate == "":
		return errors.New("arms.candidate: name the backend")
	case r.Arms.Stable == r.Arms.Candidate:
		return fmt.Errorf("arms: stable and candidate are both %q; two backends are needed to split between", r.Arms.Stable)
	}
	return r.Split.Validate()
}

// String is the route in a few words, for logs and errors.
func (r Route) String() string {
	if r.IsZero() {
		return "no route"
	}
	s := fmt.Sprintf("%v to %s, rest to %s", r.Split.Candidate, r.Arms.Candidate, r.Arms.Stable)
	if r.Split.Mirror > 0 {
		s += fmt.Sprintf(", mirror %v", r.Split.Mirror)
	}
	if len(r.Split.Match) > 0 {
		s += fmt.Sprintf(", %d matches", len(r.Split.Match))
	}
	if r.Split.Sticky != (Sticky{}) {
		s += ", sticky"
	}
	return s
}
