// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ParseDocument reads a document in JSON. A flag that cannot be read is a Problem
// of the document and not an error, so that it takes no other flag along.
func ParseDocument(data []byte) (Document, error) {
	var raw struct {
		Flags    map[string]json.RawMessage `json:"flags"`
		Segments map[string]*Segment        `json:"segments"`
		Layers   map[string]*Layer          `json:"layers"`
		Holdouts map[string]*Holdout        `json:"holdouts"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Document{}, fmt.Errorf("flags: document: %w", err)
	}
	if raw.Flags == nil {
		return Document{}, fmt.Errorf("flags: document: no field %q", "flags")
	}
	doc := Document{Flags: make(map[string]*Flag, len(raw.Flags)), Segments: raw.Segments, Layers: raw.Layers, Holdouts: raw.Holdouts}
	for _, key := range slices.Sorted(maps.Keys(raw.Flags)) {
		f, err := ParseFlag(key, raw.Flags[key])
		if err != nil {
			doc.Problems = append(doc.Problems, Problem{Flag: key, Err: err})
			continue
		}
		doc.Flags[key] = f
	}
	doc.Problems = append(doc.Problems, dropNull("segments", doc.Segments)...)
	doc.Problems = append(doc.Problems, dropNull("layers", doc.Layers)...)
	doc.Problems = append(doc.Problems, dropNull("holdouts", doc.Holdouts)...)
	return doc, nil
}

// dropNull takes out what is given as null, so that nobody follows it.
func dropNull[T any](field string, given map[string]*T) []Problem {
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] == nil {
			delete(given, name)
			problems = append(problems, Problem{Path: field + "." + name, Err: errNull})
		}
	}
	return problems
}

// ParseFlag reads one flag in JSON. The key counts, whatever the text says.
func ParseFlag(key string, data []byte) (*Flag, error) {
	f := new(Flag)
	if err := json.Unmarshal(data, f); err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(data)) == "null" { // which JSON takes for a flag without fields
		return nil, errors.New("null is no flag")
	}
	f.Key = key
	return f, nil
}

// fields are those of Flag without its methods.
type fields Flag

// UnmarshalJSON reads a flag, and keeps the fields it does not know in Extra.
func (f *Flag) UnmarshalJSON(b []byte) error {
	var p fields
	extra, err := unmarshalExtra(b, &p, flagFields)
	if err != nil {
		return err
	}
	*f = Flag(p)
	f.Extra = extra
	return nil
}

// MarshalJSON writes a flag with its Extra, in the order of the names.
func (f Flag) MarshalJSON() ([]byte, error) { return marshalExtra(fields(f), f.Extra) }

// rollout has the fields of Rollout without its methods.
type rollout Rollout

// UnmarshalJSON reads a rollout, and keeps the fields it does not know in Extra.
func (r *Rollout) UnmarshalJSON(b []byte) error {
	var p rollout
	extra, err := unmarshalExtra(b, &p, rolloutFields)
	if err != nil {
		return err
	}
	*r = Rollout(p)
	r.Extra = extra
	return nil
}

// MarshalJSON writes a rollout with its Extra.
func (r Rollout) MarshalJSON() ([]byte, error) { return marshalExtra(rollout(r), r.Extra) }
