// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// compiler collects the problems of one flag.
type compiler struct {
	flag     *Flag
	env      *environment
	out      *compiled
	names    map[string]int32
	problems []Problem
	failed   bool
}

func (c *compiler) fail(path string, err error) {
	c.problems = append(c.problems, Problem{Flag: c.flag.Key, Path: path, Err: err})
	c.failed = true
}

func (c *compiler) warn(path string, err error) {
	c.problems = append(c.problems, Problem{Flag: c.flag.Key, Path: path, Err: err, Warning: true})
}

// compile readies a flag. It is nil if a problem is more than a warning.
func compile(f *Flag, env *environment) (*compiled, []Problem) {
	c := compiler{flag: f, env: env, out: &compiled{source: f, logic: f.Logic, windows: f.Schedule, seen: new(atomic.Uint32)}}
	if f.Key == "" {
		c.fail("key", fmt.Errorf("missing"))
	}
	c.variants()
	c.gates()
	for i := range f.Targets {
		c.target(i)
	}
	for i := range f.Rules {
		c.rule(i)
	}
	c.out.rest = c.fallthru()
	if c.failed {
		return nil, c.problems
	}
	c.settle()
	return c.out, c.problems
}

func (c *compiler) variants() {
	f := c.flag
	raw := f.Variants
	if raw == nil {
		raw = map[string]json.RawMessage{"on": json.RawMessage("true"), "off": json.RawMessage("false")}
	}
	if len(raw) == 0 {
		c.fail("variants", fmt.Errorf("empty: leave the field out for a boolean, or give at least one"))
	}
	c.names = make(map[string]int32, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		v, err := compileVariant(name, raw[name])
		switch path := "variants." + name; {
		case name == "":
			c.fail("variants", fmt.Errorf("a variant without a name"))
		case err != nil:
			c.fail(path, err)
		case c.out.kind != None && v.kind != c.out.kind:
			c.fail(path, fmt.Errorf("a %v beside a %v: all variants must be of one type", v.kind, c.out.kind))
		default:
			c.out.kind = v.kind
		}
		c.names[name] = int32(len(c.out.variants)) //nolint:gosec // a handful
		c.out.variants = append(c.out.variants, v)
	}
	c.out.whole = !slices.ContainsFunc(c.out.variants, func(v variant) bool { return !v.whole })
	off := f.Off
	if off == "" && f.Variants == nil {
		off = "off"
	}
	c.out.outcome.variant = none
	if off != "" {
		c.out.outcome.variant = c.named("off", off)
	}
}

func compileVariant(name string, raw json.RawMessage) (variant, error) {
	v := variant{name: name, raw: raw, kind: ObjectKind}
	var x any
	if err := json.Unmarshal(raw, &x); err != nil {
		return v, err
	}
	switch x := x.(type) {
	case bool:
		v.kind, v.truth = BoolKind, x
	case string:
		v.kind, v.text = StringKind, x
	case float64:
		v.kind, v.num = NumberKind, x
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			v.int, v.whole = n, true
		} else if x >= -1<<53 && x <= 1<<53 && x == math.Trunc(x) { // 1e3 and 7.0
			v.int, v.whole = int64(x), true
		}
	case nil:
		return v, fmt.Errorf("null is no value")
	}
	return v, nil
}

// named is the variant of that name, and a problem if there is none.
func (c *compiler) named(path, name string) int32 {
	i, ok := c.names[name]
	if !ok {
		c.fail(path, fmt.Errorf("there is no variant %q among %q", name, slices.Sorted(maps.Keys(c.names))))
		return none
	}
	return i
}

// gates are what lets a unit in at all.
func (c *compiler) gates() {
	for i, w := range c.flag.Schedule {
		if !w.Until.IsZero() && !w.From.Before(w.Until) {
			c.fail(fmt.Sprintf("schedule[%d]", i), fmt.Errorf("until %v is not after from %v", w.Until.Format(time.RFC3339), w.From.Format(time.RFC3339)))
		}
	}
	for i, p := range c.flag.Prerequisites {
		if p.Flag == "" || len(p.Variants) == 0 {
			c.fail(fmt.Sprintf("prerequisites[%d]", i), fmt.Errorf("name a flag and at least one of its variants"))
		}
		c.out.needs = append(c.out.needs, need{p.Flag, p.Variants})
	}
	for i, name := range c.flag.Holdouts {
		h := c.env.holdouts[name]
		if h == nil {
			c.fail(fmt.Sprintf("holdouts[%d]", i), fmt.Errorf("there is no holdout %q", name))
		}
		c.out.holdouts = append(c.out.holdouts, h)
	}
	if slice := c.flag.Layer; slice != nil {
		c.out.layer, c.out.from, c.out.to = c.env.layers[slice.Layer], slice.From, slice.To
		if c.out.layer == nil {
			c.fail("layer.layer", fmt.Errorf("there is no layer %q", slice.Layer))
		}
		if slice.From >= slice.To {
			c.fail("layer", fmt.Errorf("from %v to %v is an empty slice", slice.From, slice.To))
		}
	}
}

func (c *compiler) target(i int) {
	t := c.flag.Targets[i]
	variant := c.named(fmt.Sprintf("targets[%d].variant", i), t.Variant)
	if c.out.targets == nil {
		c.out.targets = newTable(len(t.Keys))
	}
	for _, key := range t.Keys {
		if other, ok := c.out.targets.add(key, variant); ok && other != variant {
			c.warn(fmt.Sprintf("targets[%d].keys", i), fmt.Errorf("%q is a target of %q, too, which comes first", key, c.out.variants[max(other, 0)].name))
		}
	}
}

func (c *compiler) rule(i int) {
	r := c.flag.Rules[i]
	path := fmt.Sprintf("rules[%d]", i)
	out := rule{id: r.ID, serve: c.serve(path, r.Serve)}
	if out.id == "" {
		out.id = strconv.Itoa(i + 1)
	}
	out.when = compileClauses(r.When, c.env, path+".when", c.fail)
	c.out.rules = append(c.out.rules, out)
}

func (c *compiler) serve(path string, s Serve) serve {
	out := serve{variant: none, by: cmp.Or(s.By, c.flag.By)}
	switch {
	case s.Variant != "" && s.Split != nil:
		c.fail(path, fmt.Errorf("both a variant and a split: give one"))
		return out
	case s.Variant != "":
		out.variant = c.named(path+".variant", s.Variant)
		return out
	case len(s.Split) == 0:
		c.fail(path, fmt.Errorf("neither a variant nor a split"))
		return out
	}
	var err error
	if out.draw, err = newDraw(c.flag.Hash, c.salt(s.Salt)); err != nil {
		c.fail("hash", err)
	}
	if c.flag.Hash == Java31 {
		c.warn("hash", fmt.Errorf("%s draws the same or the opposite people for every flag: use %s for new ones", Java31, Murmur3))
	}
	sum := Percent(0)
	for i, share := range s.Split {
		if share.Percent > Everybody {
			c.fail(fmt.Sprintf("%s.split[%d].percent", path, i), fmt.Errorf("%v is more than 100%%", share.Percent))
		}
		sum += share.Percent
		variant := c.named(fmt.Sprintf("%s.split[%d].variant", path, i), share.Variant)
		if share.Percent == Everybody {
			out.variant = variant
		}
		out.edges = append(out.edges, edge{sum, variant})
	}
	if sum != Everybody {
		c.fail(path+".split", fmt.Errorf("the shares sum to %v, not to 100%%", sum))
	}
	if out.variant != none { // one has all: nobody needs to be drawn
		out.edges = nil
	}
	return out
}

// salt is what a split is drawn with.
func (c *compiler) salt(own string) string {
	if own != "" {
		return own
	}
	if c.flag.Hash == LaunchDarkly {
		return c.flag.Key + "." + c.flag.Salt
	}
	return cmp.Or(c.flag.Salt, c.flag.Key)
}

// fallthru is what is served where no rule matches.
func (c *compiler) fallthru() serve {
	f := c.flag
	switch {
	case f.Default != nil && f.Rollout != nil:
		c.fail("rollout", fmt.Errorf("beside a default: give one of them"))
	case f.Rollout != nil && f.Variants != nil:
		c.fail("rollout", fmt.Errorf("is for booleans without variants: give a default with a split"))
	case f.Default != nil:
		return c.serve("default", *f.Default)
	case f.Variants != nil:
		return serve{variant: c.out.outcome.variant}
	case f.Rollout != nil:
		return c.rollout()
	}
	return serve{variant: c.names["on"]}
}

func (c *compiler) rollout() serve {
	r := c.flag.Rollout
	switch r.Type {
	case "", "all":
		return serve{variant: c.names["on"]}
	case "percentage":
		if r.Percentage > Everybody {
			c.fail("rollout.percentage", fmt.Errorf("%v is more than 100%%", r.Percentage))
			return serve{}
		}
		return c.serve("rollout", Serve{Split: []Share{{"on", r.Percentage}, {"off", Everybody - r.Percentage}}})
	case "users":
		if c.out.targets == nil {
			c.out.targets = newTable(len(r.Users))
		}
		for _, user := range r.Users {
			c.out.targets.add(user, c.names["on"])
		}
		return serve{variant: c.names["off"]}
	default:
		c.fail("rollout.type", fmt.Errorf("%q is none of all, percentage and users", r.Type))
		return serve{}
	}
}

// settle finds out whether there is but one outcome.
func (c *compiler) settle() {
	o := c.out
	if !c.flag.Enabled {
		o.constant, o.outcome.reason = true, Disabled
		return
	}
	if o.logic != nil || len(o.windows) > 0 || o.needs != nil || o.holdouts != nil || o.layer != nil || o.rest.edges != nil {
		return
	}
	if o.targets != nil && slices.ContainsFunc(o.targets.nums, func(variant int32) bool { return variant != o.rest.variant }) {
		return
	}
	for i := range o.rules {
		if o.rules[i].edges != nil || o.rules[i].variant != o.rest.variant {
			return
		}
	}
	o.constant, o.outcome = true, outcome{variant: o.rest.variant, reason: Static}
}
