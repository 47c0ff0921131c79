// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Flags are read and written in documents that other programs keep fields in, too.
// What this package does not know stays where it was.

var (
	flagFields    = jsonNames(reflect.TypeFor[fields]())
	rolloutFields = jsonNames(reflect.TypeFor[rollout]())
)

// jsonNames are the names of a struct's fields in JSON.
func jsonNames(t reflect.Type) map[string]bool {
	names := make(map[string]bool)
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			names[name] = true
		}
	}
	return names
}

// unmarshalExtra decodes an object, and returns the members that are not among the
// known ones.
func unmarshalExtra(b []byte, into any, known map[string]bool) (map[string]json.RawMessage, error) {
	if err := json.Unmarshal(b, into); err != nil {
		return nil, err
	}
	var extra map[string]json.RawMessage
	for quoted, value := range members(b) {
		if known[string(quoted[1:len(quoted)-1])] {
			continue
		}
		var name string
		if err := json.Unmarshal(quoted, &name); err != nil {
			return nil, err
		}
		if isKnown(name, known) {
			continue
		}
		if extra == nil {
			extra = make(map[string]json.RawMessage)
		}
		extra[name] = bytes.Clone(value)
	}
	return extra, nil
}

// isKnown compares as JSON does, in whatever case: "Enabled", kept, would be read
// again behind "enabled", and undo a kill.
func isKnown(name string, known map[string]bool) bool {
	if known[name] {
		return true
	}
	for k := range known {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// members are the names, in quotes, and values of an object that is valid JSON.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		rest := bytes.TrimSpace(object)
		if len(rest) == 0 || rest[0] != '{' {
			return // null
		}
		for rest = blank(rest[1:]); len(rest) > 0 && rest[0] == '"'; {
			n := extent(rest)
			name := rest[:n]
			rest = blank(blank(rest[n:])[1:]) // past the colon
			n = extent(rest)
			if !yield(name, bytes.TrimSpace(rest[:n])) {
				return
			}
			rest = blank(rest[n:])
			if len(rest) > 0 && rest[0] == ',' {
				rest = blank(rest[1:])
			}
		}
	}
}

// blank cuts leading white space.
func blank(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// extent is the length of the value that valid JSON begins with.
func extent(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of what a number, true or null stands in
				return i
			}
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(b)
}

func marshalExtra(v any, extra map[string]json.RawMessage) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil || len(extra) == 0 {
		return text, err
	}
	var b bytes.Buffer
	b.Write(text[:len(text)-1])
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(quoted)
		b.WriteByte(':')
		b.Write(extra[name])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
