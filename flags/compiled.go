// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"sync/atomic"
)

// compiled is a flag ready to be evaluated. It never changes, but for seen.
type compiled struct {
	source   *Flag
	constant bool    // whoever asks, it is this outcome
	outcome  outcome // if constant; and whatever is served to those not let in
	kind     Kind
	whole    bool // all variants are whole numbers
	variants []variant
	windows  []Window
	needs    []need
	targets  *table
	holdouts []*lottery
	layer    *lottery
	from, to Percent
	rules    []rule
	rest     serve
	logic    Logic
	warnings []Problem
	// seen is the minute of the last evaluation since 1970. It survives updates.
	seen *atomic.Uint32
}

// outcome is what an evaluation decides. A variant below 0 is the caller's default.
type outcome struct {
	variant int32
	rule    int32 // from 1; 0 is none
	reason  Reason
}

type variant struct {
	name  string
	raw   json.RawMessage
	truth bool
	text  string
	num   float64
	whole bool // num is the exact integer int
	kind  Kind
	int   int64
}

type need struct {
	flag     string
	variants []string
}

type rule struct {
	id   string
	when []clause
	serve
}

// serve is a variant, or edges to find one between.
type serve struct {
	variant int32
	edges   []edge
	draw    draw
	by      string
}

type edge struct {
	below   Percent
	variant int32
}

// none is no variant.
const none = -1

// pick is false if the context has no unit to draw for.
func (s *serve) pick(who *Context) (int32, bool) {
	if s.edges == nil {
		return s.variant, true
	}
	unit := who.key
	if s.by != "" {
		unit = who.unit(s.by)
	}
	if unit == "" {
		return none, false
	}
	place := s.draw.place(unit)
	for i := range s.edges {
		if place < s.edges[i].below {
			return s.edges[i].variant, true
		}
	}
	return s.edges[len(s.edges)-1].variant, true
}
