// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// The bounds of what is compiled. A list of a hundred thousand users is within them.
const (
	maxDepth = 100
	maxNodes = 1 << 20
)

// operators are those of JSONLogic and flagd's own, with how many arguments they need
// and take, -1 being any number.
var operators = map[string]struct {
	op       op
	min, max int
}{
	"if": {opIf, 0, -1}, "?:": {opIf, 0, -1}, "and": {opAnd, 0, -1}, "or": {opOr, 0, -1},
	"!": {opNot, 0, -1}, "!!": {opTruth, 0, -1}, "log": {opLog, 0, -1},
	"==": {opEqual, 2, -1}, "!=": {opUnequal, 2, -1}, "===": {opSame, 2, -1}, "!==": {opNotSame, 2, -1},
	"<": {opLess, 2, 3}, "<=": {opAtMost, 2, 3}, ">": {opGreater, 2, 2}, ">=": {opAtLeast, 2, 2},
	"+": {opAdd, 0, -1}, "*": {opMultiply, 1, -1}, "-": {opSubtract, 1, 2}, "/": {opDivide, 2, 2}, "%": {opModulo, 2, 2},
	"min": {opMin, 0, -1}, "max": {opMax, 0, -1},
	"in": {opIn, 2, 2}, "cat": {opCat, 0, -1}, "substr": {opSubstr, 2, 3},
	"starts_with": {opStartsWith, 0, -1}, "ends_with": {opEndsWith, 0, -1}, "sem_ver": {opVersion, 0, -1},
	"fractional": {opFractional, 0, -1},
	"merge":      {opMerge, 0, -1}, "missing": {opMissing, 0, -1}, "missing_some": {opMissingSome, 2, 2},
	"map": {opMap, 2, 2}, "filter": {opFilter, 2, 2}, "reduce": {opReduce, 2, 3},
	"all": {opAll, 2, 2}, "some": {opSome, 2, 2}, "none": {opNone, 2, 2},
	"var": {opVar, 0, 2},
}

// fault is what keeps a targeting from compiling, and where it is.
type fault struct {
	path string
	err  error
}

// compiler makes nodes of JSON.
type compiler struct {
	nodes  int
	faults []fault
}

func (c *compiler) fail(path string, format string, args ...any) node {
	c.faults = append(c.faults, fault{path, fmt.Errorf(format, args...)})
	return node{}
}

// compile readies a targeting that has been decoded, for the flag of that key.
func compile(key, fallback string, targeting any) (*program, []fault) {
	c := new(compiler)
	p := &program{key: key, fallback: fallback, root: c.node(targeting, "targeting", 0)}
	p.work = effort + c.nodes
	return p, c.faults
}

// node compiles one value: an object with one field is an operation, all else stands for
// itself.
func (c *compiler) node(x any, path string, depth int) node {
	c.nodes++
	if depth > maxDepth || c.nodes > maxNodes {
		if c.faults == nil {
			c.fail(path, "too deep or too large: %d levels and %d values are the most", maxDepth, maxNodes)
		}
		return node{}
	}
	switch x := x.(type) {
	case map[string]any:
		if len(x) != 1 {
			return node{value: constant(x)}
		}
		for name, args := range x {
			return c.operation(name, args, path+"."+name, depth)
		}
	case []any:
		return fold(node{op: opArray, args: c.nodeList(x, path, depth)})
	}
	return node{value: constant(x)}
}

func (c *compiler) nodeList(list []any, path string, depth int) []node {
	out := make([]node, len(list))
	for i, x := range list {
		switch x.(type) {
		case map[string]any, []any:
			out[i] = c.node(x, path+"["+strconv.Itoa(i)+"]", depth+1)
		default: // a list of users is long, and its paths are not needed
			c.nodes++
			out[i] = node{value: constant(x)}
		}
	}
	return out
}

// fold makes a list of constants a constant.
func fold(n node) node {
	items := make([]value, len(n.args))
	for i := range n.args {
		if n.args[i].op != opConst {
			return n
		}
		items[i] = n.args[i].value
	}
	return node{value: listOf(items)}
}

// constant is JSON that stands for itself.
func constant(x any) value {
	switch x := x.(type) {
	case bool:
		return truth(x)
	case float64:
		return num(x)
	case string:
		return str(x)
	case []any:
		items := make([]value, len(x))
		for i := range x {
			items[i] = constant(x[i])
		}
		return listOf(items)
	case map[string]any:
		in := &inner{names: slices.Sorted(maps.Keys(x))}
		for _, name := range in.names {
			in.items = append(in.items, constant(x[name]))
		}
		return value{kind: object, in: in}
	default:
		return value{}
	}
}

// operation compiles an operator with its arguments, where one need not be in a list.
func (c *compiler) operation(name string, raw any, path string, depth int) node {
	kind, ok := operators[name]
	if !ok {
		return c.fail(path, "there is no operator %q", name)
	}
	list, ok := raw.([]any)
	if !ok {
		list = []any{raw}
	}
	if len(list) < kind.min || kind.max >= 0 && len(list) > kind.max {
		return c.fail(path, "%d arguments do not fit", len(list))
	}
	n := node{op: kind.op}
	if kind.op == opFractional {
		n.split = c.split(list, path, depth)
		return n
	}
	n.args = c.nodeList(list, path, depth)
	switch kind.op {
	case opVar:
		return variable(n)
	case opIn:
		return gather(n)
	case opVersion:
		n.version = versionOf(n.args)
	default:
	}
	return n
}

// variable is a var, whose name is mostly known.
func variable(n node) node {
	if len(n.args) == 0 {
		n.value = str("")
		return n
	}
	if n.args[0].op != opConst {
		n.op = opVarOf
		return n
	}
	switch name := n.args[0].value; name.kind {
	case text:
		n.value = name
	case null:
		n.value = str("")
	default:
		r := run{work: effort}
		n.value = str(r.string(&name))
	}
	n.args = n.args[1:]
	return n
}

// setFrom is the number of items from which on a map beats comparing one by one.
const setFrom = 8

// gather puts a long constant list into a set. What is no text stays a list.
func gather(n node) node {
	stack := n.args[1].value
	if n.args[1].op != opConst || stack.kind != list || len(stack.in.items) <= setFrom {
		return n
	}
	var others []value
	n.set = make(map[string]struct{}, len(stack.in.items))
	for _, item := range stack.in.items {
		if item.kind == text {
			n.set[item.text] = struct{}{}
		} else {
			others = append(others, item)
		}
	}
	n.op, n.args, n.value = opInSet, n.args[:1], listOf(others)
	return n
}

// versionOf is the constant part of a sem_ver, nil if there is something to compute.
func versionOf(args []node) *versionTest {
	if len(args) != 3 || args[1].op != opConst || args[2].op != opConst {
		return nil
	}
	r := run{work: effort}
	with, ok := r.version(&args[2].value)
	return &versionTest{op: args[1].value.text, with: with, ok: ok}
}

// split compiles fractional.
func (c *compiler) split(list []any, path string, depth int) *split {
	s := &split{total: -1}
	for i, x := range list {
		here := fmt.Sprintf("%s[%d]", path, i)
		pair, ok := x.([]any)
		if !ok { // whom to draw for, or a part to compute
			s.args = append(s.args, c.node(x, here, depth+1))
			continue
		}
		if len(pair) == 0 {
			c.fail(here, "empty: give a variant and a weight")
			return s
		}
		c.nodes++
		s.args = append(s.args, node{op: opArray, args: c.nodeList(pair, here, depth+1)})
	}
	s.settle()
	return s
}

// settle finds out what of a fractional is known before it runs.
func (s *split) settle() {
	args := s.args
	if len(args) > 0 && args[0].op != opArray {
		args = args[1:]
		if op := s.args[0].op; op != opCat && op != opVar && op != opConst {
			return // it may compute to a part
		}
		if v := s.args[0]; v.op == opConst && v.value.kind == list {
			return
		}
	}
	parts := make([]part, 0, len(args))
	total, known := int64(0), true
	for i := range args {
		if args[i].op != opArray {
			return
		}
		p := part{variant: args[i].args[0], bare: len(args[i].args) < 2}
		if !p.bare {
			p.weight = args[i].args[1]
		}
		w, ok := weight(p.bare, &p.weight.value)
		known = known && ok && p.weight.op == opConst && p.variant.op == opConst &&
			p.variant.value.kind != list && p.variant.value.kind != object
		total += w
		parts = append(parts, p)
	}
	if s.parts = parts; known && total <= math.MaxInt32 {
		s.total = total
	}
}
