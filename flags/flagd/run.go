// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// op is what a node does.
type op uint8

const (
	opConst op = iota
	opVar      // of a name that is known
	opVarOf    // of a name that is computed
	opArray
	opIf
	opAnd
	opOr
	opNot
	opTruth
	opLog
	opEqual
	opUnequal
	opSame
	opNotSame
	opLess
	opAtMost
	opGreater
	opAtLeast
	opAdd
	opMultiply
	opSubtract
	opDivide
	opModulo
	opMin
	opMax
	opIn
	opInSet
	opCat
	opSubstr
	opStartsWith
	opEndsWith
	opVersion
	opFractional
	opMerge
	opMissing
	opMissingSome
	opMap
	opFilter
	opReduce
	opAll
	opSome
	opNone
)

// node is an operation of a targeting, ready to run.
type node struct {
	op   op
	args []node
	// value of a constant, and of a var the text of its name.
	value value
	// set has the strings of a long constant list, the others are in value.
	set map[string]struct{}
	// split is of fractional, version of sem_ver.
	split   *split
	version *versionTest
}

// program is a flag's targeting. It is immutable.
type program struct {
	key      string
	root     node
	fallback string // the default variant, "" if there is none
	work     int    // how much one run may do
}

// effort is how many steps a run may take beyond one for each node. Loops within loops
// would otherwise take any time, and strings that double take any memory.
const effort = 1 << 17

var (
	errWork    = errors.New("flagd: targeting: it takes too many steps; loop over less")
	errVariant = errors.New("flagd: targeting: it computes to no variant")
)

// run is one evaluation.
type run struct {
	// who is a copy: with a pointer here the compiler would see it off to the heap with
	// whatever else a run hands out.
	who   flags.Context
	p     *program
	scope *value // what var looks into within a loop, nil for the context
	work  int
}

// Decide runs the targeting.
func (p *program) Decide(who flags.Context) (string, flags.Reason, error) {
	r := run{who: who, p: p, work: p.work}
	v := r.eval(&p.root)
	if r.work < 0 {
		return "", flags.Failed, errWork
	}
	var name string
	switch v.kind {
	case text:
		name = v.text
		if strings.IndexByte(name, '"') >= 0 {
			name = strings.ReplaceAll(name, `"`, "")
		}
	case boolean:
		name = "false"
		if v.num == 1 {
			name = "true"
		}
	case number:
		if math.IsNaN(v.num) || math.IsInf(v.num, 0) { // JSON has neither
			return p.fallback, flags.Fallthrough, nil
		}
		name = r.string(&v)
	case null:
		return p.fallback, flags.Fallthrough, nil
	default:
	}
	if name == "" {
		return "", flags.Failed, errVariant
	}
	return name, flags.Matched, nil
}

// spend takes steps off what is left, and reports whether that was too many.
func (r *run) spend(steps int) bool {
	r.work -= steps
	return r.work < 0
}

// eval computes a node. Once the work is used up everything is null.
func (r *run) eval(n *node) value {
	if n.op == opConst {
		return n.value
	}
	if r.spend(1) {
		return value{}
	}
	switch n.op {
	case opVar:
		return r.variable(n.value.text, n.args)
	case opIf:
		return r.choose(n.args)
	case opAnd, opOr:
		return r.either(n)
	case opNot, opTruth:
		v := r.arg(n, 0)
		return truth(v.truthy() == (n.op == opTruth))
	case opEqual, opUnequal, opSame, opNotSame, opLess, opAtMost, opGreater, opAtLeast:
		return truth(r.compare(n))
	case opAdd, opMultiply, opSubtract, opDivide, opModulo, opMin, opMax:
		return r.reckon(n)
	case opIn, opInSet:
		return truth(r.in(n))
	case opCat, opSubstr, opStartsWith, opEndsWith:
		return r.texts(n)
	case opVersion:
		return r.compareVersions(n)
	case opFractional:
		return r.distribute(n.split)
	case opLog:
		return r.arg(n, 0)
	default:
		return r.lists(n)
	}
}

// arg is an argument, null if there are fewer.
func (r *run) arg(n *node, i int) value {
	if i < len(n.args) {
		return r.eval(&n.args[i])
	}
	return value{}
}

// choose is if: pairs of a condition and a result, and perhaps what else.
func (r *run) choose(args []node) value {
	for len(args) > 1 {
		if v := r.eval(&args[0]); v.truthy() {
			return r.eval(&args[1])
		}
		args = args[2:]
	}
	if len(args) == 1 {
		return r.eval(&args[0])
	}
	return value{}
}

// either is and or or: the first argument that decides, else the last.
func (r *run) either(n *node) value {
	var v value
	for i := range n.args {
		v = r.eval(&n.args[i])
		if v.truthy() == (n.op == opOr) {
			break
		}
	}
	return v
}

const (
	targetingKey = "targetingKey"
	flagdKey     = "$flagd"
)

// variable is what a name means: in a loop something of the item, else of the
// context. args[0] is what to take instead of null.
func (r *run) variable(name string, args []node) value {
	var v value
	if r.scope != nil {
		v = r.scope.field(name)
		r.spend(strings.Count(name, "."))
	} else {
		v = r.find(name)
	}
	if v.kind == null && len(args) > 0 {
		return r.eval(&args[0])
	}
	return v
}

// find looks a name up in the context.
func (r *run) find(name string) value {
	switch name {
	case targetingKey:
		if key := r.who.Key(); key != "" {
			return str(key)
		}
	case flagdKey + ".flagKey":
		return str(r.p.key)
	case flagdKey + ".timestamp":
		return num(float64(time.Now().Unix()))
	case flagdKey:
		return r.ours()
	case "":
		return r.everything()
	}
	var first flags.Value
	found, all, within := 0, 0, false
	for attribute, v := range r.who.All() {
		all++
		if len(attribute) == len(name) && attribute == name {
			if found++; found == 1 {
				first = v
			}
		} else if len(attribute) > len(name) && attribute[len(name)] == '.' && attribute[:len(name)] == name {
			within = true
		}
	}
	switch {
	case r.spend(all / inexpensive):
		return value{}
	case found == 1:
		return of(first)
	case found > 1:
		return r.several(name)
	case within:
		return r.assemble(name + ".")
	default:
		return r.item(name)
	}
}

// inexpensive is how many attributes may be looked at for one step.
const inexpensive = 8

// item is an item of a list, where the name ends with its place.
func (r *run) item(name string) value {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return value{}
	}
	place, ok := index(name[dot+1:])
	if !ok {
		return value{}
	}
	for attribute, v := range r.who.All() {
		if attribute != name[:dot] {
			continue
		}
		if place == 0 {
			return of(v)
		}
		place--
	}
	return value{}
}

// several is the list that a name is given as.
func (r *run) several(name string) value {
	var items []value
	for attribute, v := range r.who.All() {
		if attribute == name {
			items = append(items, of(v))
		}
	}
	r.spend(len(items))
	return listOf(items)
}

// assemble is the object whose fields' names begin with that.
func (r *run) assemble(prefix string) value {
	o := new(inner)
	for attribute := range r.who.All() {
		rest, ok := strings.CutPrefix(attribute, prefix)
		if r.spend(1) || !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ".")
		o.field(r, prefix, name)
	}
	return value{kind: object, in: o}
}

// field adds a field once.
func (o *inner) field(r *run, prefix, name string) {
	if r.spend(len(o.names)/inexpensive) || name == "" || slices.Contains(o.names, name) {
		return
	}
	o.names = append(o.names, name)
	o.items = append(o.items, r.find(prefix+name))
}

// everything is the whole context.
func (r *run) everything() value {
	v := r.assemble("")
	v.in.field(r, "", flagdKey)
	if r.who.Key() != "" {
		v.in.field(r, "", targetingKey)
	}
	return v
}

// ours is what flagd adds to a context.
func (r *run) ours() value {
	return value{kind: object, in: &inner{
		names: []string{"flagKey", "timestamp"},
		items: []value{str(r.p.key), num(float64(time.Now().Unix()))},
	}}
}
