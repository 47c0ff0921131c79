// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"iter"
	"reflect"
	"slices"
)

// Updates yields, each time that flags have changed, the keys of those that are new,
// different or gone, in order, until ctx ends or the loop is left. A flag is
// different, too, when a segment, layer or holdout has changed, whatever it refers to.
// Updates that come faster than the loop goes round are seen as one. It begins with the
// flags of when the loop begins, and yields nothing for those.
func (c *Client) Updates(ctx context.Context) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		before := c.snapshot()
		for before != nil {
			select {
			case <-ctx.Done():
				return
			case <-before.replaced:
			}
			now := c.snapshot()
			if keys := now.differs(before); len(keys) > 0 && !yield(keys) {
				return
			}
			before = now
		}
	}
}

// differs are the keys of the flags that are not as they were before, in order.
func (s *snapshot) differs(before *snapshot) []string {
	var keys []string
	for _, key := range s.index.all() {
		if now, was := s.find(key), before.find(key); now != was && !now.same(was, s.env == before.env) {
			keys = append(keys, key)
		}
	}
	for _, key := range before.index.all() {
		if !s.index.has(key) && before.find(key) != nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// same reports whether the flag is written as the other is, and refers to the same. A
// source that reads everything again makes all flags new, though they are the same.
func (f *compiled) same(other *compiled, environment bool) bool {
	return f != nil && other != nil && environment && reflect.DeepEqual(f.source, other.source)
}
