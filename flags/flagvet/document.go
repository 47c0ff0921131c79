// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/token"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// Document are flags, and where each of them is written down.
type Document struct {
	// Flags is the document as package flags reads it.
	Flags  flags.Document
	places map[string]token.Position // of all keys, whether they can be read or not
}

// ParseDocument reads a document in the JSON of package flags. Findings name it by
// that filename.
func ParseDocument(filename string, data []byte) (*Document, error) {
	doc, err := flags.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("flagvet: %s: %w", filename, err)
	}
	places, err := locate(filename, data)
	if err != nil {
		return nil, fmt.Errorf("flagvet: %s: %w", filename, err)
	}
	return &Document{Flags: doc, places: places}, nil
}

// locate finds the keys of the object "flags" at the top.
func locate(filename string, data []byte) (map[string]token.Position, error) {
	places := make(map[string]token.Position)
	d := json.NewDecoder(bytes.NewReader(data))
	err := members(d, func(name string, _ int64) error {
		if name != "flags" {
			return skip(d)
		}
		return members(d, func(key string, end int64) error {
			places[key] = position(filename, data, end)
			return skip(d)
		})
	})
	return places, err
}

// members calls each with the names of the object that comes next, and where each ends. It
// is to read the value.
func members(d *json.Decoder, each func(name string, end int64) error) error {
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("a name is missing before %v", t)
		}
		if err := each(name, d.InputOffset()); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func skip(d *json.Decoder) error {
	var value json.RawMessage
	return d.Decode(&value)
}

// position is that of the string that ends before end.
func position(filename string, data []byte, end int64) token.Position {
	start := int(end) - 2
	for start > 0 && (data[start] != '"' || escaped(data, start)) {
		start--
	}
	line := bytes.LastIndexByte(data[:start], '\n') + 1
	return token.Position{Filename: filename, Offset: start, Line: 1 + bytes.Count(data[:start], []byte("\n")), Column: 1 + start - line}
}

// escaped reports whether the byte at i has a backslash before it that is not one itself.
func escaped(data []byte, i int) bool {
	n := 0
	for i-n > 0 && data[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// mismatch says why the flag's variants are not of that type, "" if they are.
func mismatch(f *flags.Flag, want Type) string {
	if want == Untyped || want == JSON {
		return ""
	}
	if f.Variants == nil {
		if want == Bool {
			return ""
		}
		return "it is a boolean, without variants"
	}
	for _, name := range slices.Sorted(maps.Keys(f.Variants)) {
		if raw := f.Variants[name]; !fits(raw, want) {
			return fmt.Sprintf("its variant %q is %s", name, short(raw))
		}
	}
	return ""
}

// fits reports whether a handle of that type takes the value, as package flags does.
func fits(raw json.RawMessage, want Type) bool {
	var x any
	if err := json.Unmarshal(raw, &x); err != nil {
		return true // which is not a matter of types
	}
	switch x := x.(type) {
	case bool:
		return want == Bool
	case string:
		return want == String
	case float64:
		return want == Float || want == Int && whole(raw, x)
	default:
		return false
	}
}

func whole(raw json.RawMessage, x float64) bool {
	if _, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return true
	}
	return math.Abs(x) <= 1<<53 && x == math.Trunc(x) // 1e3 and 7.0
}

// value is what everybody gets of a stale flag, as one would write it.
func value(s flags.Stale) string {
	if raw, ok := s.Flag.Variants[s.Variant]; ok {
		return short(raw)
	}
	return strconv.FormatBool(s.Variant == "on")
}

// short is a value on one line, and not a long one.
func short(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "no JSON"
	}
	if text := []rune(b.String()); len(text) > 60 {
		return string(text[:59]) + "…"
	}
	return b.String()
}

// ParseEvaluated reads when flags were last evaluated from what a program writes of its
// [flags.Client.Stale] with package encoding/json.
func ParseEvaluated(data []byte) (map[string]time.Time, error) {
	var list []flags.Stale
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("flagvet: report: %w", err)
	}
	at := make(map[string]time.Time, len(list))
	for i, s := range list {
		if s.Flag == nil || s.Flag.Key == "" {
			return nil, fmt.Errorf("flagvet: report: [%d].Flag.key is missing", i)
		}
		at[s.Flag.Key] = s.Evaluated
	}
	return at, nil
}
