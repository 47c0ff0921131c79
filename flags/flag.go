// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"time"
)

// Flag is a flag as it is written down. Its simplest form is a boolean:
//
//	{"enabled": true, "rollout": {"type": "percentage", "percentage": 12.5}}
//
// and everything else is optional. A Flag that was handed to a Source, a Store or a
// Client belongs to it and must not be changed any more: Clone it.
type Flag struct {
	// Key names the flag.
	Key string `json:"key,omitempty"`
	// Enabled is the switch. A flag that is not enabled serves Off to everybody,
	// whatever else it says: that is how a flag is killed.
	Enabled bool `json:"enabled"`
	// Rollout is who gets a boolean flag without Variants: everybody, if it is nil.
	Rollout *Rollout `json:"rollout,omitempty"`

	// Variants are what the flag may serve, by name, all of one type. Without them the flag
	// is a boolean with the variants "on" and "off".
	Variants map[string]json.RawMessage `json:"variants,omitempty"`
	// Off is the variant of whoever is not let in: the flag is not enabled, a
	// prerequisite is not met, the unit is held out. Where it is "", they get the
	// default that the caller gave; of a boolean without Variants it is "off".
	Off string `json:"off,omitempty"`
	// Prerequisites must all hold, or Off is served.
	Prerequisites []Prerequisite `json:"prerequisites,omitempty"`
	// Schedule are the times when the flag is on; outside all of them Off is served.
	// None at all is always.
	Schedule []Window `json:"schedule,omitempty"`
	// Targets are units that get a variant by name. They come before holdouts,
	// layers, rules and splits, so that a tester can always be let in.
	Targets []Target `json:"targets,omitempty"`
	// Holdouts names the groups of units that get Off, as the Document defines them.
	Holdouts []string `json:"holdouts,omitempty"`
	// Layer is the slice of a layer whose units the flag may have; the others get Off.
	// Flags with slices of one layer that do not overlap never share a unit.
	Layer *Slice `json:"layer,omitempty"`
	// Rules are tried in order; the first that matches serves.
	Rules []Rule `json:"rules,omitempty"`
	// Default is served where no rule matches. Where it is nil, Rollout decides,
	// or, of a flag with Variants, Off.
	Default *Serve `json:"default,omitempty"`

	// Salt is what splits are drawn with instead of the key. To keep it is to keep
	// the people.
	Salt string `json:"salt,omitempty"`
	// Hash is how splits are drawn; "" is Murmur3.
	Hash Hash `json:"hash,omitempty"`
	// By is the attribute that names the unit of splits, "" the context's key.
	By string `json:"by,omitempty"`

	// Permanent exempts the flag from being stale: a kill switch, an entitlement.
	Permanent bool `json:"permanent,omitempty"`
	// Private keeps the flag from front ends.
	Private bool `json:"private,omitempty"`
	// Description is for people.
	Description string `json:"description,omitempty"`
	// Owner is whom to ask.
	Owner string `json:"owner,omitempty"`

	// Version counts the writes; 0 is not known.
	Version int64 `json:"version,omitempty"`
	// CreatedAt, UpdatedAt, UpdatedBy and Why tell of the first and the last write.
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	UpdatedBy string    `json:"updated_by,omitempty"`
	Why       string    `json:"why,omitempty"`
	// FullyOnSince is when the flag came to serve everybody one variant, zero while it
	// does not. Writers in this package keep it.
	FullyOnSince time.Time `json:"fully_on_since,omitzero"`

	// Annotations are for programs: who dials the flag keeps a fence here.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Extra are the fields that this package does not know. They are kept.
	Extra map[string]json.RawMessage `json:"-"`

	// Logic decides instead of Rules, Default and Rollout, for flags of another
	// system with a language of its own. It is not written with the flag.
	Logic Logic `json:"-"`
}

// Rollout is who gets a boolean flag.
type Rollout struct {
	// Type is "all", "percentage" or "users"; "" is all.
	Type string `json:"type"`
	// Percentage of the units, of the type percentage.
	Percentage Percent `json:"percentage,omitempty"`
	// Users are the keys of the units, of the type users.
	Users []string `json:"users,omitempty"`
	// Extra are the fields that this package does not know. They are kept.
	Extra map[string]json.RawMessage `json:"-"`
}

// Serve is a variant, or a split over several.
type Serve struct {
	// Variant is for everybody, if Split is empty.
	Variant string `json:"variant,omitempty"`
	// Split shares the units out, in this order; the shares sum to 100 %. To raise the
	// first share, or to lower the last one's start, only adds people.
	Split []Share `json:"split,omitempty"`
	// By is the attribute that names the unit, "" the flag's.
	By string `json:"by,omitempty"`
	// Salt is what this split is drawn with, "" the flag's.
	Salt string `json:"salt,omitempty"`
}

// Share is a variant's part of a split.
type Share struct {
	Variant string  `json:"variant"`
	Percent Percent `json:"percent"`
}

// Target gives units a variant by their keys.
type Target struct {
	Variant string   `json:"variant"`
	Keys    []string `json:"keys"`
}

// Rule serves whom all its clauses hold for.
type Rule struct {
	// ID is what Detail.Rule says; "" is the rule's number, from 1.
	ID string `json:"id,omitempty"`
	// When are the clauses, all of which must hold. None at all always holds.
	When []Clause `json:"when,omitempty"`
	Serve
}

// Prerequisite is a flag that must serve one of the variants.
type Prerequisite struct {
	Flag     string   `json:"flag"`
	Variants []string `json:"variants"`
}

// Window is a time from From until just before Until; a zero end is open.
type Window struct {
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Slice is a part of a layer, from From to just before To.
type Slice struct {
	Layer string  `json:"layer"`
	From  Percent `json:"from"`
	To    Percent `json:"to"`
}

// Segment is a group of units that rules may name.
type Segment struct {
	// Keys are in it whatever else holds, unless they are in Excluded.
	Keys     []string `json:"keys,omitempty"`
	Excluded []string `json:"excluded,omitempty"`
	// Rules are lists of clauses; a unit is in if all of any one list hold.
	Rules [][]Clause `json:"rules,omitempty"`
}

// Layer is what flags that exclude each other take slices of.
type Layer struct {
	// Salt is what units are drawn with, "" the layer's name.
	Salt string `json:"salt,omitempty"`
	// By is the attribute that names the unit, "" the context's key.
	By string `json:"by,omitempty"`
}

// Holdout is a share of units that is kept from the flags that name it, so that what
// they do together can be measured.
type Holdout struct {
	Percent Percent `json:"percent"`
	// Salt is what units are drawn with, "" the holdout's name.
	Salt string `json:"salt,omitempty"`
	// By is the attribute that names the unit, "" the context's key.
	By string `json:"by,omitempty"`
}

// Document is a whole set of flags, as files, HTTP and caches carry it.
type Document struct {
	Flags    map[string]*Flag    `json:"flags"`
	Segments map[string]*Segment `json:"segments,omitempty"`
	Layers   map[string]*Layer   `json:"layers,omitempty"`
	Holdouts map[string]*Holdout `json:"holdouts,omitempty"`
	// Problems are the flags that could not be read. They keep the form they had.
	Problems []Problem `json:"-"`
}

// Logic is a flag's decision in another system's language, compiled. It must be
// safe for many goroutines, must not block and must not panic.
type Logic interface {
	// Decide names a variant. The variant "" is none: the caller's default, with
	// that reason. An error is the reason Failed.
	Decide(who Context) (variant string, reason Reason, err error)
}
