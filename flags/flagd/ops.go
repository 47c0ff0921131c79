// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/internal/semver"
)

// compare is the operators that yield a boolean of two values, or for < and <= of
// three.
func (r *run) compare(n *node) bool {
	a, b := r.eval(&n.args[0]), r.eval(&n.args[1])
	if r.spend((len(a.text) + len(b.text)) / long) {
		return false
	}
	switch n.op {
	case opEqual:
		return r.equal(&a, &b)
	case opUnequal:
		return !r.equal(&a, &b)
	case opSame:
		return a.same(&b)
	case opNotSame:
		return !a.same(&b)
	case opGreater:
		return r.less(&b, &a, false)
	case opAtLeast:
		return r.less(&b, &a, true)
	default:
		orSame := n.op == opAtMost
		if !r.less(&a, &b, orSame) || len(n.args) < 3 {
			return r.less(&a, &b, orSame)
		}
		c := r.eval(&n.args[2])
		return r.less(&b, &c, orSame)
	}
}

// long is how many bytes of text may be looked at for one step.
const long = 64

// equal is ==, as JavaScript converts.
func (r *run) equal(a, b *value) bool {
	switch {
	case a.kind == b.kind:
		return a.same(b)
	case a.kind == null || b.kind == null:
		return false
	case a.kind == list || a.kind == object:
		plain := r.plain(a)
		return b.kind != list && b.kind != object && r.equal(&plain, b)
	case b.kind == list || b.kind == object:
		return r.equal(b, a)
	default: // a boolean, a number, a text
		return r.number(a) == r.number(b)
	}
}

// less is < or <=: of texts as texts, of all else as numbers.
func (r *run) less(a, b *value, orSame bool) bool {
	x, y := r.plain(a), r.plain(b)
	if x.kind == text && y.kind == text {
		return x.text < y.text || orSame && x.text == y.text
	}
	m, n := r.number(&x), r.number(&y)
	return m < n || orSame && m == n
}

// plain makes a list or an object a text, as JavaScript does before it compares.
func (r *run) plain(v *value) value {
	if v.kind == list || v.kind == object {
		return str(r.string(v))
	}
	return *v
}

// number is a value as a number, NaN if it is none.
func (r *run) number(v *value) float64 {
	switch v.kind {
	case text:
		r.spend(len(v.text) / long)
		return numberOf(v.text)
	case list, object:
		return numberOf(r.string(v))
	default:
		return v.num
	}
}

// leading is the number that a value begins with, for + and *.
func (r *run) leading(v *value) float64 {
	if v.kind == number {
		return v.num
	}
	r.spend(len(v.text) / long)
	n, _ := prefixNumber(strings.TrimSpace(r.string(v)))
	return n
}

// reckon is arithmetic.
func (r *run) reckon(n *node) value {
	switch n.op {
	case opAdd:
		sum := 0.0
		for i := range n.args {
			v := r.eval(&n.args[i])
			sum += r.leading(&v)
		}
		return num(sum)
	case opMultiply:
		if len(n.args) == 1 {
			return r.eval(&n.args[0])
		}
		product := 1.0
		for i := range n.args {
			v := r.eval(&n.args[i])
			product *= r.leading(&v)
		}
		return num(product)
	case opMin, opMax:
		return num(r.extreme(n))
	default:
		return num(r.binary(n))
	}
}

func (r *run) binary(n *node) float64 {
	a := r.arg(n, 0)
	x := r.number(&a)
	if len(n.args) == 1 { // only - may have one
		return -x
	}
	b := r.arg(n, 1)
	y := r.number(&b)
	switch n.op {
	case opSubtract:
		return x - y
	case opDivide:
		return x / y
	default:
		return math.Mod(x, y)
	}
}

func (r *run) extreme(n *node) float64 {
	best := math.Inf(1)
	if n.op == opMax {
		best = math.Inf(-1)
	}
	for i := range n.args {
		v := r.eval(&n.args[i])
		x := r.number(&v)
		if n.op == opMax {
			best = math.Max(best, x)
		} else {
			best = math.Min(best, x)
		}
	}
	return best
}

// in finds a text in a text, or a value in a list.
func (r *run) in(n *node) bool {
	needle := r.eval(&n.args[0])
	if n.op == opInSet {
		if needle.kind == text {
			_, ok := n.set[needle.text]
			return ok
		}
		return r.has(n.value.in.items, &needle)
	}
	stack := r.eval(&n.args[1])
	switch stack.kind {
	case list:
		return r.has(stack.in.items, &needle)
	case text:
		if r.spend(len(stack.text) / long) {
			return false
		}
		if needle.kind == text {
			return stack.text != "" && strings.Contains(stack.text, needle.text)
		}
		return stack.text != "" && strings.Contains(stack.text, r.string(&needle))
	default:
		return false
	}
}

func (r *run) has(items []value, needle *value) bool {
	if r.spend(len(items) / inexpensive) {
		return false
	}
	for i := range items {
		if items[i].same(needle) {
			return true
		}
	}
	return false
}

// texts is the operators on strings.
func (r *run) texts(n *node) value {
	switch n.op {
	case opCat:
		var room [128]byte
		b := room[:0]
		for i := range n.args {
			v := r.eval(&n.args[i])
			b = r.append(b, &v, 0)
		}
		return str(string(b))
	case opSubstr:
		return r.substr(n)
	default:
		// Anything but two texts is null, and so the default variant.
		a, b := r.arg(n, 0), r.arg(n, 1)
		if len(n.args) != 2 || a.kind != text || b.kind != text || r.spend(len(b.text)/long) {
			return value{}
		}
		if n.op == opStartsWith {
			return truth(strings.HasPrefix(a.text, b.text))
		}
		return truth(strings.HasSuffix(a.text, b.text))
	}
}

// substr counts in characters, from the end if the number is negative.
func (r *run) substr(n *node) value {
	v := r.eval(&n.args[0])
	s := r.string(&v)
	if r.spend(len(s) / inexpensive) {
		return value{}
	}
	size := utf8.RuneCountInString(s)
	from, to := r.place(n, 1, size), size
	if from < 0 {
		from = max(0, size+from)
	}
	if len(n.args) > 2 {
		length := r.place(n, 2, size)
		if length < 0 {
			to = size + length
		} else {
			to = min(size, from+length)
		}
	}
	if from >= to {
		return str("")
	}
	return str(s[offset(s, from):offset(s, to)])
}

// place is an argument as a number of characters, not beyond size.
func (r *run) place(n *node, i, size int) int {
	v := r.arg(n, i)
	x := r.number(&v)
	if math.IsNaN(x) {
		return 0
	}
	return int(max(-float64(size), min(x, float64(size))))
}

// offset is where the character of that number begins.
func offset(s string, character int) int {
	for i := range s {
		if character == 0 {
			return i
		}
		character--
	}
	return len(s)
}

// deepest is how deep lists may lie in lists to be written.
const deepest = 64

// string is a value as JavaScript writes it.
func (r *run) string(v *value) string {
	switch v.kind {
	case text:
		return v.text
	case null:
		return "null"
	default:
		var room [64]byte
		return string(r.append(room[:0], v, 0))
	}
}

// append writes a value as an item of a list is written: null is nothing.
func (r *run) append(b []byte, v *value, depth int) []byte {
	switch v.kind {
	case text:
		if !r.spend(len(v.text) / inexpensive) {
			b = append(b, v.text...)
		}
	case number:
		b = appendNumber(b, v.num)
	case boolean:
		if v.num == 1 {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case list:
		if depth >= deepest {
			return b
		}
		for i := range v.in.items {
			if r.spend(1) {
				return b
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = r.append(b, &v.in.items[i], depth+1)
		}
	case object:
		return append(b, "[object Object]"...)
	default:
	}
	return b
}

// versionTest is a sem_ver whose operator and second version are known.
type versionTest struct {
	op   string
	with semver.Version
	ok   bool
}

// compareVersions is sem_ver. What is no version is null, and so the default variant.
func (r *run) compareVersions(n *node) value {
	if len(n.args) != 3 {
		return value{}
	}
	a := r.eval(&n.args[0])
	v, ok := r.version(&a)
	t := n.version
	if t == nil {
		b, c := r.eval(&n.args[1]), r.eval(&n.args[2])
		with, good := r.version(&c)
		t = &versionTest{op: b.text, with: with, ok: good && b.kind == text}
	}
	if !ok || !t.ok {
		return value{}
	}
	order := v.Compare(t.with)
	switch t.op {
	case "=":
		return truth(order == 0)
	case "!=":
		return truth(order != 0)
	case "<":
		return truth(order < 0)
	case "<=":
		return truth(order <= 0)
	case ">":
		return truth(order > 0)
	case ">=":
		return truth(order >= 0)
	case "^":
		return truth(v.Major == t.with.Major)
	case "~":
		return truth(v.Major == t.with.Major && v.Minor == t.with.Minor)
	default:
		return value{}
	}
}

// version reads a text, or a number, as a version. One leading v is allowed.
func (r *run) version(v *value) (semver.Version, bool) {
	switch v.kind {
	case text:
		s := v.text
		r.spend(len(s) / long)
		if s != "" && s[0]|0x20 == 'v' {
			s = s[1:]
		}
		return semver.ParseShort(s)
	case number:
		return semver.ParseShort(r.string(v))
	default:
		return semver.Version{}, false
	}
}
