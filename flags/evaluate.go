// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"slices"
	"time"
)

// decide is what the flag serves who.
func (f *compiled) decide(s *snapshot, who *Context) outcome {
	if f.constant {
		return f.outcome
	}
	if len(f.windows) > 0 && !during(f.windows, time.Now()) {
		return f.off(Scheduled)
	}
	for i := range f.needs {
		if !s.meets(&f.needs[i], who) {
			return f.off(Prerequired)
		}
	}
	if f.targets != nil {
		if variant, ok := f.targets.find(who.key); ok {
			return outcome{variant: variant, reason: Targeted}
		}
	}
	return f.draw(who)
}

// off is the outcome of whoever is not let in.
func (f *compiled) off(reason Reason) outcome {
	return outcome{variant: f.outcome.variant, reason: reason}
}

func during(windows []Window, now time.Time) bool {
	for i := range windows {
		w := &windows[i]
		if !now.Before(w.From) && (w.Until.IsZero() || now.Before(w.Until)) {
			return true
		}
	}
	return false
}

// draw decides for a unit that is no target.
func (f *compiled) draw(who *Context) outcome {
	for _, h := range f.holdouts {
		if place, ok := h.place(who); ok && place < h.part {
			return f.off(HeldOut)
		}
	}
	if f.layer != nil {
		place, ok := f.layer.place(who)
		if !ok {
			return f.off(Anonymous)
		}
		if place < f.from || place >= f.to {
			return f.off(Excluded)
		}
	}
	if f.logic != nil {
		return f.reckon(*who)
	}
	for i := range f.rules {
		r := &f.rules[i]
		if !all(r.when, who) {
			continue
		}
		if variant, ok := r.pick(who); ok {
			reason := Matched
			if r.edges != nil {
				reason = Split
			}
			return outcome{variant: variant, rule: int32(i) + 1, reason: reason} //nolint:gosec // a handful
		}
	}
	variant, ok := f.rest.pick(who)
	switch {
	case !ok:
		return f.off(Anonymous)
	case f.rest.edges != nil:
		return outcome{variant: variant, reason: Split}
	default:
		return outcome{variant: variant, reason: Fallthrough}
	}
}

// reckon asks the flag's logic. It gets a copy of the context, so that callers'
// contexts may stay on their stacks whatever a Logic does with it.
func (f *compiled) reckon(who Context) outcome {
	name, reason, err := f.logic.Decide(who)
	if err != nil {
		return outcome{variant: none, reason: Failed}
	}
	if name == "" {
		return outcome{variant: none, reason: reason}
	}
	for i := range f.variants {
		if f.variants[i].name == name {
			return outcome{variant: int32(i), reason: reason} //nolint:gosec // a handful
		}
	}
	return outcome{variant: none, reason: Failed}
}

// meets reports whether the flag that is needed serves who one of the variants.
func (s *snapshot) meets(n *need, who *Context) bool {
	f := s.find(n.flag)
	if f == nil {
		return false
	}
	// A flag that is not enabled meets nothing, whatever its Off is called.
	o := f.decide(s, who)
	if o.variant < 0 || o.reason == Disabled {
		return false
	}
	return slices.Contains(n.variants, f.variants[o.variant].name)
}
