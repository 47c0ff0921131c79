// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Clone is a copy that shares nothing with f but its Logic. It takes any flag, sound or not.
func (f *Flag) Clone() *Flag {
	c := *f
	if f.Rollout != nil {
		r := *f.Rollout
		r.Users, r.Extra = slices.Clone(r.Users), cloneRaw(r.Extra)
		c.Rollout = &r
	}
	c.Variants, c.Extra = cloneRaw(f.Variants), cloneRaw(f.Extra)
	c.Prerequisites = slices.Clone(f.Prerequisites)
	for i := range c.Prerequisites {
		c.Prerequisites[i].Variants = slices.Clone(c.Prerequisites[i].Variants)
	}
	c.Schedule = slices.Clone(f.Schedule)
	c.Targets = slices.Clone(f.Targets)
	for i := range c.Targets {
		c.Targets[i].Keys = slices.Clone(c.Targets[i].Keys)
	}
	c.Holdouts = slices.Clone(f.Holdouts)
	if f.Layer != nil {
		layer := *f.Layer
		c.Layer = &layer
	}
	c.Rules = slices.Clone(f.Rules)
	for i := range c.Rules {
		r := &c.Rules[i]
		r.Split, r.When = slices.Clone(r.Split), slices.Clone(r.When)
		for j := range r.When {
			r.When[j].Values = slices.Clone(r.When[j].Values)
		}
	}
	if f.Default != nil {
		serve := *f.Default
		serve.Split = slices.Clone(serve.Split)
		c.Default = &serve
	}
	c.Annotations = maps.Clone(f.Annotations)
	return &c
}

func cloneRaw(m map[string]json.RawMessage) map[string]json.RawMessage {
	c := maps.Clone(m)
	for key, raw := range c {
		c[key] = bytes.Clone(raw)
	}
	return c
}
