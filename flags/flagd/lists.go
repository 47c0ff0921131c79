// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

// lists is the operators that read or make lists.
func (r *run) lists(n *node) value {
	switch n.op {
	case opArray:
		items := make([]value, len(n.args))
		for i := range n.args {
			items[i] = r.eval(&n.args[i])
		}
		return listOf(items)
	case opVarOf:
		name := r.eval(&n.args[0])
		if name.kind == null {
			return r.variable("", n.args[1:])
		}
		return r.variable(r.string(&name), n.args[1:])
	case opMerge:
		return r.merge(n)
	case opMissing:
		return listOf(r.missing(n))
	case opMissingSome:
		return r.missingSome(n)
	case opMap, opFilter:
		return r.each(n)
	case opReduce:
		return r.fold(n)
	case opAll, opSome, opNone:
		return truth(r.quantify(n))
	default:
		return value{}
	}
}

// merge is one list of all the lists.
func (r *run) merge(n *node) value {
	var items []value
	for i := range n.args {
		v := r.eval(&n.args[i])
		if v.kind != list {
			items = append(items, v)
			continue
		}
		if r.spend(len(v.in.items)) {
			return value{}
		}
		items = append(items, v.in.items...)
	}
	return listOf(items)
}

// missing is the names that are not there, or empty.
func (r *run) missing(n *node) []value {
	var out []value
	for i := range n.args {
		v := r.eval(&n.args[i])
		if i == 0 && v.kind == list {
			return r.absent(v.in.items)
		}
		out = append(out, r.absent([]value{v})...)
	}
	return out
}

func (r *run) absent(names []value) []value {
	var out []value
	for i := range names {
		if r.spend(1) {
			return nil
		}
		v := r.variable(r.string(&names[i]), nil)
		if v.kind == null || v.kind == text && v.text == "" {
			out = append(out, names[i])
		}
	}
	return out
}

// missingSome is missing, and empty once enough are there.
func (r *run) missingSome(n *node) value {
	need, names := r.eval(&n.args[0]), r.eval(&n.args[1])
	if names.kind != list {
		return listOf(nil)
	}
	out := r.absent(names.in.items)
	if float64(len(names.in.items)-len(out)) >= r.number(&need) {
		return listOf(nil)
	}
	return listOf(out)
}

// items is the list to go through, nil of anything else.
func (r *run) items(n *node) []value {
	v := r.eval(&n.args[0])
	if v.kind != list {
		return nil
	}
	return v.in.items
}

// within computes a node with var looking into an item.
func (r *run) within(scope *value, n *node) value {
	before := r.scope
	r.scope = scope
	v := r.eval(n)
	r.scope = before
	return v
}

// each is map and filter.
func (r *run) each(n *node) value {
	items := r.items(n)
	var out []value
	for i := range items {
		if r.spend(1) {
			return value{}
		}
		v := r.within(&items[i], &n.args[1])
		switch {
		case n.op == opMap:
			out = append(out, v)
		case v.truthy():
			out = append(out, items[i])
		}
	}
	return listOf(out)
}

// folded are the names that reduce gives its two values.
var folded = []string{"current", "accumulator"}

func (r *run) fold(n *node) value {
	items := r.items(n)
	sum := r.arg(n, 2)
	for i := range items {
		if r.spend(1) {
			return value{}
		}
		scope := value{kind: object, in: &inner{names: folded, items: []value{items[i], sum}}}
		sum = r.within(&scope, &n.args[1])
	}
	return sum
}

// quantify is all, some and none. Of nothing all is false, as JSONLogic has it.
func (r *run) quantify(n *node) bool {
	items := r.items(n)
	for i := range items {
		if r.spend(1) {
			return false
		}
		v := r.within(&items[i], &n.args[1])
		switch {
		case n.op == opAll && !v.truthy():
			return false
		case n.op != opAll && v.truthy():
			return n.op == opSome
		}
	}
	return n.op == opNone || n.op == opAll && len(items) > 0
}
