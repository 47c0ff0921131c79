// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rheostat-go/rheostat/flags"
)

// extra is the field of flags.Flag.Extra that keeps what only flagd knows of a flag.
const extra = "flagd"

// The fields of a definition that flags.Flag has none for. A targeting is kept with its
// $refs filled in.
const (
	fieldTargeting = "targeting"
	fieldDefault   = "defaultVariant"
	fieldMetadata  = "metadata"
	fieldSet       = "$metadata" // the metadata of the document that the flag came in
)

// set is a document of flagd's.
type set struct {
	Flags      json.RawMessage            `json:"flags"`
	Evaluators map[string]json.RawMessage `json:"$evaluators"`
	Metadata   json.RawMessage            `json:"metadata"`
}

// Parse reads a set of flags as flagd has it. What is wrong with one flag is a Problem of
// the document and takes no other flag along.
func Parse(data []byte) (flags.Document, error) {
	var raw set
	if err := json.Unmarshal(data, &raw); err != nil {
		return flags.Document{}, fmt.Errorf("flagd: %w", err)
	}
	definitions, err := definitions(raw.Flags)
	if err != nil {
		return flags.Document{}, err
	}
	refs, err := newRefs(raw.Evaluators)
	if err != nil {
		return flags.Document{}, err
	}
	doc := flags.Document{Flags: make(map[string]*flags.Flag, len(definitions))}
	for _, key := range slices.Sorted(maps.Keys(definitions)) {
		r := reader{key: key, refs: refs, set: raw.Metadata}
		if f := r.read(definitions[key]); f != nil {
			doc.Flags[key] = f
		}
		doc.Problems = append(doc.Problems, r.problems...)
	}
	return doc, nil
}

// definitions are the flags by key: of an object, or of a list where each says its key.
func definitions(raw json.RawMessage) (map[string]json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, fmt.Errorf("flagd: no field %q", "flags")
	}
	out := make(map[string]json.RawMessage)
	if raw[0] != '[' {
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, fmt.Errorf("flagd: flags: %w", err)
		}
		return out, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("flagd: flags: %w", err)
	}
	for i, definition := range list {
		var named struct {
			Key string `json:"key"`
		}
		if err := json.Unmarshal(definition, &named); err != nil || named.Key == "" {
			return nil, fmt.Errorf("flagd: flags[%d]: no field %q", i, "key")
		}
		out[named.Key] = definition
	}
	return out, nil
}

// reader reads one flag.
type reader struct {
	key      string
	refs     *refs
	set      json.RawMessage
	problems []flags.Problem
}

func (r *reader) fail(path string, err error) *flags.Flag {
	r.problems = append(r.problems, flags.Problem{Flag: r.key, Path: path, Err: err})
	return nil
}

// read is the flag, or nil if it is not sound.
func (r *reader) read(definition json.RawMessage) *flags.Flag {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(definition, &fields); err != nil {
		return r.fail("", err)
	}
	f := &flags.Flag{Key: r.key, Enabled: true}
	var state string
	if raw, ok := fields["state"]; ok {
		if err := json.Unmarshal(raw, &state); err != nil {
			return r.fail("state", err)
		}
	}
	switch state {
	case "", "ENABLED":
	case "DISABLED":
		f.Enabled = false
	default:
		return r.fail("state", fmt.Errorf("%q is none of ENABLED and DISABLED", state))
	}
	if err := json.Unmarshal(fields["variants"], &f.Variants); err != nil || f.Variants == nil {
		return r.fail("variants", errors.New("must be an object with the variants by name"))
	}
	if targeting, ok := fields[fieldTargeting]; ok {
		filled, err := r.refs.fill(targeting)
		if err != nil {
			return r.fail(fieldTargeting, err)
		}
		fields[fieldTargeting] = filled
	}
	for _, name := range []string{"state", "variants", "key"} {
		delete(fields, name)
	}
	if len(r.set) > 0 {
		fields[fieldSet] = r.set
	}
	if !r.settle(f, fields) {
		return nil
	}
	return f
}

// settle gives the flag its default or its logic, and reports whether they are sound.
func (r *reader) settle(f *flags.Flag, fields map[string]json.RawMessage) bool {
	fallback, err := fallbackOf(f, fields[fieldDefault])
	if err != nil {
		r.fail(fieldDefault, err)
		return false
	}
	switch targeting := bytes.TrimSpace(fields[fieldTargeting]); {
	case len(targeting) > 0 && !bytes.Equal(targeting, []byte("null")) && !bytes.Equal(targeting, []byte("{}")):
		var x any
		if err := json.Unmarshal(targeting, &x); err != nil {
			r.fail(fieldTargeting, err)
			return false
		}
		p, faults := compile(f.Key, fallback, x)
		for _, wrong := range faults {
			r.fail(wrong.path, wrong.err)
		}
		if faults != nil {
			return false
		}
		f.Logic = p
	case fallback == "":
		f.Logic = nothing{}
		fields[fieldDefault] = json.RawMessage("null")
	default: // everybody gets it
		f.Default = &flags.Serve{Variant: fallback}
		delete(fields, fieldDefault)
	}
	keep(f, fields)
	return true
}

// keep stores what only flagd knows.
func keep(f *flags.Flag, fields map[string]json.RawMessage) {
	if len(fields) == 0 {
		return
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic("BUG: flagd: what was JSON is none: " + err.Error())
	}
	if f.Extra == nil {
		f.Extra = make(map[string]json.RawMessage)
	}
	f.Extra[extra] = text
}

// kept is what keep stored, nil if nothing.
func kept(f *flags.Flag) (map[string]json.RawMessage, error) {
	raw, ok := f.Extra[extra]
	if !ok {
		return nil, nil //nolint:nilnil // the flag never was flagd's
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("flagd: %q: %s: %w", f.Key, extra, err)
	}
	return fields, nil
}

// fallbackOf is the default variant, "" where there is none.
func fallbackOf(f *flags.Flag, raw json.RawMessage) (string, error) {
	var name string
	if len(raw) == 0 {
		return "", nil
	}
	if err := json.Unmarshal(raw, &name); err != nil {
		return "", err
	}
	if _, ok := f.Variants[name]; !ok && name != "" {
		return "", fmt.Errorf("there is no variant %q among %q", name, slices.Sorted(maps.Keys(f.Variants)))
	}
	return name, nil
}

// nothing is a flag without targeting and without a default variant: the caller's
// default for everybody.
type nothing struct{}

// Decide is the caller's default.
func (nothing) Decide(flags.Context) (string, flags.Reason, error) { return "", flags.Fallthrough, nil }

// Restore gives a flag of Parse its logic again that was written as JSON and read back,
// as caches do. A flag that never was flagd's is left alone.
func Restore(f *flags.Flag) error {
	fields, err := kept(f)
	if err != nil || fields == nil {
		return err
	}
	if fields[fieldTargeting] == nil && fields[fieldDefault] == nil {
		return nil
	}
	r := reader{key: f.Key}
	if !r.settle(f, fields) {
		return r.problems[0]
	}
	return nil
}

// Metadata is the flag's metadata: that of the set it came in, and over it its own. A
// Value is a string, a number or a boolean; anything else is left out.
func Metadata(f *flags.Flag) map[string]flags.Value {
	fields, err := kept(f)
	if err != nil {
		return nil
	}
	out := make(map[string]flags.Value)
	for _, name := range []string{fieldSet, fieldMetadata} {
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(fields[name], &raw); err != nil {
			continue // there is none
		}
		for key, text := range raw {
			var v flags.Value
			if err := v.UnmarshalJSON(text); err == nil && v.Kind() != flags.None {
				out[key] = v
			}
		}
	}
	return out
}
