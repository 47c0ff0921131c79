// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"math"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// split is fractional: whom to draw for, and the parts.
type split struct {
	args []node // an argument that is not among the parts names whom to draw for
	// parts is nil where an argument is computed that could be a part, or whom to draw
	// for; they are found out then while running.
	parts []part
	// total is the sum of the weights if all are known, else -1.
	total int64
}

// part is a variant and its weight.
type part struct {
	variant, weight node
	bare            bool // it has no weight, which is 1
}

// distribute draws. Whatever is wrong is null, and so the default variant.
func (r *run) distribute(s *split) value {
	args := s.args
	parts := s.parts
	var h murmur3.Hash
	drawn := false
	if len(args) > 0 && args[0].op != opArray {
		var first value
		if h, drawn, first = r.hash(&args[0]); !drawn && first.kind != null && first.kind != list {
			return value{}
		} else if drawn || first.kind == null {
			args = args[1:]
		} else { // it is a part itself
			parts = nil
		}
	}
	if !drawn {
		key := r.find(targetingKey)
		if key.kind != text || key.text == "" {
			return value{}
		}
		h = h.Add(r.p.key).Add(key.text)
	}
	if parts != nil {
		return r.pick(parts, s.total, h.Sum())
	}
	parts = make([]part, 0, len(args))
	for i := range args {
		p, ok := r.part(&args[i])
		if !ok {
			return value{}
		}
		parts = append(parts, p)
	}
	return r.pick(parts, -1, h.Sum())
}

// hash is the hash of a text, if the node is one. A text that is put together is
// hashed piece by piece.
func (r *run) hash(n *node) (h murmur3.Hash, ok bool, v value) {
	if n.op != opCat {
		v = r.eval(n)
		return h.Add(v.text), v.kind == text, v
	}
	r.spend(1)
	var room [32]byte
	for i := range n.args {
		switch v := r.eval(&n.args[i]); v.kind {
		case text:
			r.spend(len(v.text) / long)
			h = h.Add(v.text)
		case number:
			h = h.Add(string(appendNumber(room[:0], v.num)))
		case null:
		default:
			h = h.Add(r.string(&v))
		}
	}
	return h, true, value{kind: text}
}

// part computes an argument that was not written as a list.
func (r *run) part(n *node) (part, bool) {
	v := r.eval(n)
	if v.kind != list || len(v.in.items) == 0 {
		return part{}, false
	}
	p := part{variant: node{value: v.in.items[0]}, bare: len(v.in.items) < 2}
	if !p.bare {
		p.weight.value = v.in.items[1]
	}
	return p, true
}

// pick is the variant of the part that the hash falls into.
func (r *run) pick(parts []part, total int64, hash uint32) value {
	known := total >= 0
	var few [16]int64
	weights := few[:0]
	if !known {
		total = 0
		for i := range parts {
			w, ok := r.weigh(&parts[i])
			if !ok {
				return value{}
			}
			weights = append(weights, w)
			total += w
		}
	}
	if total <= 0 || total > math.MaxInt32 {
		return value{}
	}
	place := int64(uint64(hash) * uint64(total) >> 32) //nolint:gosec // below total
	for i := range parts {
		if known {
			place -= parts[i].known()
		} else {
			place -= weights[i]
		}
		if place < 0 {
			return r.eval(&parts[i].variant)
		}
	}
	return value{}
}

// known is the weight of a part that is not computed.
func (p *part) known() int64 {
	w, _ := weight(p.bare, &p.weight.value)
	return w
}

// weigh is the weight of a part, and whether it and the variant can be used.
func (r *run) weigh(p *part) (int64, bool) {
	if v := r.eval(&p.variant); v.kind == list || v.kind == object {
		return 0, false
	}
	v := r.eval(&p.weight)
	return weight(p.bare, &v)
}

// weight is a whole number; null is 1, and less than nothing is nothing.
func weight(bare bool, v *value) (int64, bool) {
	switch {
	case bare || v.kind == null:
		return 1, true
	case v.kind != number || v.num > math.MaxInt32 || v.num != math.Trunc(v.num):
		return 0, false
	case v.num < 0:
		return 0, true
	}
	return int64(v.num), true
}
