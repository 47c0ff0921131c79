// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"iter"
	"maps"
	"reflect"
	"slices"
	"time"
)

// inline is how many attributes a context holds without heap.
const inline = 8

// Context says who asks: a key, and attributes that clauses test. It is a value,
// built on the stack for up to eight attributes:
//
//	who := flags.User("user-42", flags.Str("plan", "pro"), flags.Num("build", 512))
//
// Its methods make larger ones of it. A name may be given several times, and then means
// all its values: a clause holds when it holds for any of them. The zero Context is
// nobody: it is in no split that leaves anybody out. A context may be read by many
// goroutines.
type Context struct {
	key  string
	n    int
	near [inline]Attribute
	more []Attribute
}

// Attribute is a name and a value of a context. One whose value is of no kind, as of the
// zero Attribute, equals nothing and does not exist.
type Attribute struct {
	name  string
	value Value
}

// Str is an attribute that is a string.
func Str(name, value string) Attribute {
	return Attribute{name: name, value: Value{text: value, kind: StringKind}}
}

// Num is an attribute that is a number.
func Num(name string, value float64) Attribute {
	return Attribute{name: name, value: Value{num: value, kind: NumberKind}}
}

// Attr is an attribute of any kind.
func Attr(name string, value Value) Attribute { return Attribute{name, value} }

// User is the context of the unit with that key: a user, a session, a tenant. The
// attributes are copied.
func User(key string, attributes ...Attribute) Context {
	c := Context{key: key}
	c.n = copy(c.near[:], attributes)
	if len(attributes) > inline {
		c.more = slices.Clone(attributes[inline:])
	}
	return c
}

// Str is the context with a string attribute more.
func (c Context) Str(name, value string) Context {
	c.add(name, Value{text: value, kind: StringKind})
	return c
}

// Num is the context with a number more.
func (c Context) Num(name string, value float64) Context {
	c.add(name, Value{num: value, kind: NumberKind})
	return c
}

// Bool is the context with a boolean more.
func (c Context) Bool(name string, value bool) Context {
	c.add(name, Truth(value))
	return c
}

// Time is the context with a time more.
func (c Context) Time(name string, value time.Time) Context {
	c.add(name, Instant(value))
	return c
}

// With is the context with any value more. A value of no kind adds nothing.
func (c Context) With(name string, value Value) Context {
	if value.kind != None {
		c.add(name, value)
	}
	return c
}

func (c *Context) add(name string, value Value) {
	if c.n < inline {
		c.near[c.n] = Attribute{name, value}
		c.n++
		return
	}
	// A copy: two contexts may have been grown from one.
	c.more = append(slices.Clip(c.more), Attribute{name, value})
}

// Key is the key of the unit, or "".
func (c *Context) Key() string { return c.key }

// Get is the first value of that name. The name "key" is the unit's key, unless
// an attribute is called so.
func (c *Context) Get(name string) (Value, bool) {
	for i := range c.n {
		if c.near[i].name == name {
			return c.near[i].value, true
		}
	}
	for i := range c.more {
		if c.more[i].name == name {
			return c.more[i].value, true
		}
	}
	if name == keyAttribute && c.key != "" {
		return Text(c.key), true
	}
	return Value{}, false
}

// All are the attributes in the order they were given, without the key.
func (c *Context) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for i := range c.n {
			if !yield(c.near[i].name, c.near[i].value) {
				return
			}
		}
		for i := range c.more {
			if !yield(c.more[i].name, c.more[i].value) {
				return
			}
		}
	}
}

// keyAttribute is the name by which clauses and splits mean the unit's key.
const keyAttribute = "key"

// unit is whom a split by that attribute draws for: the key, or an attribute's
// text. Numbers count as what they are written like, in full.
func (c *Context) unit(by string) string {
	if by == "" {
		return c.key
	}
	v, _ := c.Get(by)
	switch v.kind {
	case StringKind:
		return v.text
	case None:
		return ""
	default:
		return v.String()
	}
}

// targetingKey is what OpenFeature and flagd call the unit's key.
const targetingKey = "targetingKey"

// FromMap is the context of attributes in JSON's types, as OpenFeature and web
// requests carry them. The entry targetingKey is the unit's key. Nested objects
// become names with dots, lists become several values; null, and what is none of JSON's
// types, is left out.
func FromMap(attributes map[string]any) Context {
	var c Context
	c.key, _ = attributes[targetingKey].(string)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if name != targetingKey {
			c.addAny(name, attributes[name])
		}
	}
	return c
}

func (c *Context) addAny(name string, value any) {
	switch x := value.(type) {
	case nil:
	case string:
		c.add(name, Text(x))
	case bool:
		c.add(name, Truth(x))
	case float64:
		c.add(name, Number(x))
	case json.Number:
		if n, err := x.Float64(); err == nil {
			c.add(name, Number(n))
		}
	case time.Time:
		c.add(name, Instant(x))
	case Value:
		*c = c.With(name, x)
	case map[string]any:
		for _, inner := range slices.Sorted(maps.Keys(x)) {
			c.addAny(name+"."+inner, x[inner])
		}
	case []any:
		for _, item := range x {
			c.addAny(name, item)
		}
	default:
		c.addOther(name, reflect.ValueOf(value))
	}
}

// addOther adds what is one of the types above in all but its name.
func (c *Context) addOther(name string, v reflect.Value) {
	switch {
	case v.CanInt():
		c.add(name, Number(float64(v.Int())))
	case v.CanUint():
		c.add(name, Number(float64(v.Uint())))
	case v.CanFloat():
		c.add(name, Number(v.Float()))
	case v.Kind() == reflect.String:
		c.add(name, Text(v.String()))
	case v.Kind() == reflect.Bool:
		c.add(name, Truth(v.Bool()))
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			c.addAny(name, v.Index(i).Interface())
		}
	}
}
