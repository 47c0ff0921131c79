// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rheostat-go/rheostat/flags"
)

// Marshal writes flags as flagd reads them. A flag of Parse is written as it was, but for what
// has become of its state and variants, and with its $refs filled in. Any other is written if
// flagd can decide it alike, to the same people; else the error is errors.ErrUnsupported
// and names the field. What tells of a flag and decides nothing (owner, version,
// annotations) is left out. A flag that is not enabled and has an Off is written as one
// that serves it to everybody.
//
// Where an attribute has several values, or a version is not whole, flagd's operators
// decide as flagd has them.
func Marshal(doc flags.Document) ([]byte, error) {
	out := struct {
		Schema   string                                `json:"$schema"`
		Flags    map[string]map[string]json.RawMessage `json:"flags"`
		Metadata json.RawMessage                       `json:"metadata,omitempty"`
	}{Schema: "https://flagd.dev/schema/v0/flags.json", Flags: make(map[string]map[string]json.RawMessage, len(doc.Flags))}
	for _, key := range slices.Sorted(maps.Keys(doc.Flags)) {
		fields, err := write(doc.Flags[key])
		if err != nil {
			return nil, fmt.Errorf("flagd: %q: %w", key, err)
		}
		set := fields[fieldSet]
		delete(fields, fieldSet)
		switch {
		case set == nil:
		case out.Metadata == nil:
			out.Metadata = set
		case !bytes.Equal(set, out.Metadata):
			return nil, fmt.Errorf("flagd: %q: %s: the flags came in sets with different metadata, write them apart: %w", key, fieldMetadata, errors.ErrUnsupported)
		}
		out.Flags[key] = fields
	}
	return json.MarshalIndent(out, "", "  ")
}

// write is one flag's definition.
func write(f *flags.Flag) (map[string]json.RawMessage, error) {
	fields, err := kept(f)
	if err != nil {
		return nil, err
	}
	if fields == nil {
		fields = make(map[string]json.RawMessage)
	}
	w := writer{flag: f, fields: fields}
	w.put("state", "ENABLED")
	if f.Variants == nil {
		w.put("variants", map[string]bool{"on": true, "off": false})
	} else {
		w.put("variants", f.Variants)
	}
	_, targeted := fields[fieldTargeting]
	_, fallback := fields[fieldDefault]
	switch off := offOf(f); {
	case !f.Enabled && off != "":
		delete(fields, fieldTargeting)
		w.put(fieldDefault, off)
	case targeted || fallback:
	default:
		err = w.native()
	}
	if !f.Enabled && offOf(f) == "" {
		w.put("state", "DISABLED")
	}
	return fields, err
}

func offOf(f *flags.Flag) string {
	if f.Variants == nil {
		return cmp.Or(f.Off, "off")
	}
	return f.Off
}

// expr is an operation of JSONLogic.
type expr map[string]any

func do(operator string, args ...any) expr { return expr{operator: args} }

// writer writes a flag that was not flagd's.
type writer struct {
	flag   *flags.Flag
	fields map[string]json.RawMessage
	chain  []any // of an if: conditions and what they serve
}

func (w *writer) put(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: flagd: " + name + ": " + err.Error())
	}
	w.fields[name] = text
}

func unsupported(path, why string) error {
	return fmt.Errorf("%s: %s: %w", path, why, errors.ErrUnsupported)
}

// native translates targets, rules and the default to a chain of conditions.
func (w *writer) native() error {
	f := w.flag
	switch {
	case f.Logic != nil:
		return unsupported("logic", "it is another system's")
	case len(f.Prerequisites) > 0:
		return unsupported("prerequisites", "a targeting cannot ask other flags")
	case len(f.Schedule) > 0:
		return unsupported("schedule", "flagd has none")
	case len(f.Holdouts) > 0:
		return unsupported("holdouts", "flagd has none")
	case f.Layer != nil:
		return unsupported("layer", "flagd has none")
	}
	for _, t := range f.Targets {
		w.chain = append(w.chain, do("in", unit(""), t.Keys), t.Variant)
	}
	for i, r := range f.Rules {
		if err := w.rule(fmt.Sprintf("rules[%d]", i), r); err != nil {
			return err
		}
	}
	fallback, err := w.rest()
	if err != nil {
		return err
	}
	if fallback == "" {
		w.put(fieldDefault, nil)
	} else {
		w.put(fieldDefault, fallback)
	}
	switch {
	case len(w.chain) == 1:
		w.put(fieldTargeting, w.chain[0])
	case len(w.chain) > 1:
		w.put(fieldTargeting, expr{"if": w.chain})
	}
	return nil
}

func (w *writer) rule(path string, r flags.Rule) error {
	when := make([]any, 0, len(r.When)+1)
	for i, c := range r.When {
		x, err := clause(c)
		if err != nil {
			return fmt.Errorf("%s.when[%d].%w", path, i, err)
		}
		when = append(when, x)
	}
	serve, err := w.serve(path, r.Serve)
	if err != nil {
		return err
	}
	if r.Variant == "" { // it is passed over for who has no unit
		when = append(when, there(unit(cmp.Or(r.By, w.flag.By))))
	}
	if len(when) == 0 {
		when = append(when, true)
	}
	w.chain = append(w.chain, expr{"and": when}, serve)
	return nil
}

// rest adds what is served where no rule matches, and is the default variant.
func (w *writer) rest() (fallback string, err error) {
	f := w.flag
	off := offOf(f)
	s := f.Default
	switch r := f.Rollout; {
	case s != nil:
	case f.Variants != nil:
		return off, nil
	case r == nil || r.Type == "" || r.Type == "all":
		return "on", nil
	case r.Type == "users":
		w.chain = append(w.chain, do("in", unit(""), r.Users), "on")
		return off, nil
	default:
		s = &flags.Serve{Split: []flags.Share{{Variant: "on", Percent: r.Percentage}, {Variant: "off", Percent: flags.Everybody - r.Percentage}}}
	}
	if s.Variant != "" {
		return s.Variant, nil
	}
	split, err := w.serve("default", *s)
	if err != nil {
		return "", err
	}
	if by := cmp.Or(s.By, f.By); by != "" || w.salt(*s) != f.Key {
		w.chain = append(w.chain, there(unit(by)))
	}
	w.chain = append(w.chain, split)
	return off, nil
}

func (w *writer) salt(s flags.Serve) string { return cmp.Or(s.Salt, w.flag.Salt, w.flag.Key) }

// serve is a variant, or a split as fractional.
func (w *writer) serve(path string, s flags.Serve) (any, error) {
	if s.Variant != "" {
		return s.Variant, nil
	}
	if h := w.flag.Hash; h != "" && h != flags.Murmur3 {
		return nil, unsupported("hash", "flagd draws with "+string(flags.Murmur3))
	}
	var args []any
	by, salt := cmp.Or(s.By, w.flag.By), w.salt(s)
	if by != "" || salt != w.flag.Key {
		args = append(args, do("cat", salt, unit(by)))
	}
	sum := flags.Percent(0)
	for _, share := range s.Split {
		args = append(args, []any{share.Variant, uint32(share.Percent)})
		sum += share.Percent
	}
	if sum != flags.Everybody {
		return nil, fmt.Errorf("%s.split: the shares sum to %v, not to 100%%", path, sum)
	}
	return expr{"fractional": args}, nil
}

// unit is an attribute, "" or "key" being the context's key.
func unit(by string) expr {
	if by == "" || by == "key" {
		by = targetingKey
	}
	return do("var", by)
}

// there asks whether an attribute names a unit.
func there(by expr) expr {
	return do("and", do("!=", by, nil), do("!==", by, ""))
}

// clause is a condition on one attribute.
func clause(c flags.Clause) (any, error) {
	v := unit(c.Attribute)
	var x any
	switch c.Op {
	case flags.Exists:
		x = do("!=", v, nil)
	case flags.In:
		if slices.ContainsFunc(c.Values, func(v flags.Value) bool { return v.Kind() == flags.TimeKind }) {
			return nil, unsupported("values", "JSON has no times")
		}
		x = do("in", v, c.Values)
	default:
		var each []any
		for _, with := range c.Values {
			one, err := compareWith(c.Op, v, with)
			if err != nil {
				return nil, err
			}
			each = append(each, one)
		}
		x = expr{"or": each}
	}
	if c.Not {
		x = do("!", x)
	}
	return x, nil
}

// operatorOf are the operators that flagd has.
var operatorOf = map[flags.Op]string{
	flags.Less: "<", flags.AtMost: "<=", flags.Greater: ">", flags.AtLeast: ">=",
	flags.SemVerEq: "=", flags.SemVerLt: "<", flags.SemVerLte: "<=", flags.SemVerGt: ">", flags.SemVerGte: ">=",
}

func compareWith(op flags.Op, v expr, with flags.Value) (any, error) {
	switch op {
	case flags.StartsWith:
		return do("starts_with", v, with), nil
	case flags.EndsWith:
		return do("ends_with", v, with), nil
	case flags.Contains:
		return do("in", with, v), nil
	case flags.Less, flags.AtMost, flags.Greater, flags.AtLeast:
		// JSONLogic would take null for 0 and "3" for 3. Only a number is its own sum.
		return do("and", do("===", do("+", v), v), do(operatorOf[op], v, with)), nil
	case flags.SemVerEq, flags.SemVerLt, flags.SemVerLte, flags.SemVerGt, flags.SemVerGte:
		return do("sem_ver", v, operatorOf[op], with), nil
	default:
		return nil, unsupported("op", "flagd has no "+string(op))
	}
}
