// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Kind is the type of a value.
type Kind uint8

// The kinds. The zero Kind is of no value at all.
const (
	None Kind = iota
	BoolKind
	StringKind
	NumberKind
	TimeKind
	ObjectKind // a variant that is a JSON object or array; no attribute is one
)

// String is the kind's name as errors print it.
func (k Kind) String() string {
	switch k {
	case BoolKind:
		return "boolean"
	case StringKind:
		return "string"
	case NumberKind:
		return "number"
	case TimeKind:
		return "time"
	case ObjectKind:
		return "object"
	default:
		return "none"
	}
}

// Value is what an attribute of a context is, and what a clause compares it with:
// a string, a number, a boolean or a time. The zero Value is none. Values are
// comparable with ==.
type Value struct {
	text string
	num  float64 // a boolean is 1 or 0, a time the seconds since 1970
	kind Kind
}

// Text is a string as a Value.
func Text(s string) Value { return Value{text: s, kind: StringKind} }

// Number is a number as a Value.
func Number(n float64) Value { return Value{num: n, kind: NumberKind} }

// Truth is a boolean as a Value.
func Truth(b bool) Value {
	v := Value{kind: BoolKind}
	if b {
		v.num = 1
	}
	return v
}

// Instant is a time as a Value, kept to the microsecond.
func Instant(t time.Time) Value {
	return Value{num: float64(t.UnixMicro()) / 1e6, kind: TimeKind}
}

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// Text is the string, or "" of another kind.
func (v Value) Text() string { return v.text }

// Number is the number, the seconds since 1970 of a time, 1 or 0 of a boolean, and
// 0 of a string.
func (v Value) Number() float64 { return v.num }

// Truth is the boolean, and false of another kind.
func (v Value) Truth() bool { return v.kind == BoolKind && v.num == 1 }

// Instant is the time, and the zero time of another kind.
func (v Value) Instant() time.Time {
	if v.kind != TimeKind {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(v.num * 1e6))).UTC()
}

// String writes the value as errors and explanations show it.
func (v Value) String() string {
	switch v.kind {
	case StringKind:
		return strconv.Quote(v.text)
	case NumberKind:
		return strconv.FormatFloat(v.num, 'f', -1, 64)
	case BoolKind:
		return strconv.FormatBool(v.num == 1)
	case TimeKind:
		return v.Instant().Format(time.RFC3339Nano)
	default:
		return "none"
	}
}

// MarshalJSON writes a string, a number or a boolean, and a time as a string.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case StringKind:
		return json.Marshal(v.text)
	case NumberKind:
		return json.Marshal(v.num)
	case BoolKind:
		return json.Marshal(v.num == 1)
	case TimeKind:
		return json.Marshal(v.Instant())
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON reads a string, a number or a boolean. A time is written as a
// string, and stays one until an operator asks for a time.
func (v *Value) UnmarshalJSON(b []byte) error {
	var read any
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	switch x := read.(type) {
	case string:
		*v = Text(x)
	case float64:
		*v = Number(x)
	case bool:
		*v = Truth(x)
	case nil:
		*v = Value{}
	default:
		return fmt.Errorf("%s is no string, number or boolean", b)
	}
	return nil
}
