// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// wireTypes stand in for those that write durations as text.
var wireTypes = map[reflect.Type]reflect.Type{
	reflect.TypeFor[Step]():     reflect.TypeFor[wireStep](),
	reflect.TypeFor[Approval](): reflect.TypeFor[wireApproval](),
	reflect.TypeFor[Back]():     reflect.TypeFor[wireBack](),
}

// wants says what a value of a type looks like.
var wants = map[reflect.Type]string{
	reflect.TypeFor[span]():           `a duration in quotes, such as "90s" or "1h30m"`,
	reflect.TypeFor[traffic.Weight](): `a weight in quotes, such as "25%"`,
}

// fields finds the first field in a JSON value that cannot be one of type t, and
// says where it stands: one that is unknown, given twice, or of another type.
// encoding/json takes a field twice, and in any case, without a word, and knows
// no place; a plan in which a deadline was lost is no plan.
func fields(path string, data []byte, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if wire, ok := wireTypes[t]; ok {
		t = wire
	}
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0 || bytes.Equal(data, []byte("null")):
		return nil
	case t.Kind() == reflect.Struct && data[0] == '{':
		return object(path, data, t)
	case t.Kind() == reflect.Slice && data[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(data, &items); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for i, item := range items {
			if err := fields(fmt.Sprintf("%s[%d]", path, i), item, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	}
	err := json.Unmarshal(data, reflect.New(t).Interface())
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: a %s does not fit; want %s", named(path), mismatch.Value, want(t))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", named(path), err)
	}
	return nil
}

func object(path string, data []byte, t reflect.Type) error {
	known := map[string]reflect.Type{}
	members(t, known)
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%s: %w", named(path), err)
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", named(path), err)
		}
		key := fmt.Sprint(token)
		at := strings.TrimPrefix(path+"."+key, ".")
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		field, ok := known[key]
		switch {
		case !ok:
			return fmt.Errorf("%s: unknown field; want one of %s", at, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[key]:
			return fmt.Errorf("%s: is given twice; remove one", at)
		}
		seen[key] = true
		if err := fields(at, value, field); err != nil {
			return err
		}
	}
	return nil
}

// members collects the fields of a struct by their names in JSON. Those of the
// outer struct win over those of an embedded one.
func members(t reflect.Type, known map[string]reflect.Type) {
	for f := range t.Fields() {
		if f.Anonymous {
			members(f.Type, known)
		}
	}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !f.Anonymous && name != "" && name != "-" {
			known[name] = f.Type
		}
	}
}

func want(t reflect.Type) string {
	if text, ok := wants[t]; ok {
		return text
	}
	switch t.Kind() {
	case reflect.String:
		return "a text; put it in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "an object with fields"
	case reflect.Uint8:
		return "one of its names in quotes"
	default:
		return "a whole number"
	}
}

// named names the plan where there is no path into it.
func named(path string) string {
	if path == "" {
		return "plan"
	}
	return path
}
