// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/rheostat-go/rheostat/internal/kube"
)

// difference is the smallest JSON merge patch that makes b of a: lists as a whole, null
// for what goes.
func difference(a, b map[string]any) map[string]any {
	patch := map[string]any{}
	for k, have := range a {
		want, ok := b[k]
		if !ok {
			patch[k] = nil
			continue
		}
		x, isMap := have.(map[string]any)
		y, areMaps := want.(map[string]any)
		switch {
		case isMap && areMaps:
			if below := difference(x, y); len(below) > 0 {
				patch[k] = below
			}
		case !reflect.DeepEqual(have, want):
			patch[k] = want
		}
	}
	for k, want := range b {
		if _, ok := a[k]; !ok {
			patch[k] = want
		}
	}
	return patch
}

// outside is the first path of a patch that none of the fields holds, or nil.
func outside(patch map[string]any, fields [][]string, path ...string) []string {
	for name, value := range patch {
		here := append(slices.Clone(path), name)
		if slices.ContainsFunc(fields, func(f []string) bool { return holds(f, here) }) {
			continue
		}
		below, ok := value.(map[string]any)
		if !ok {
			return here
		}
		if out := outside(below, fields, here...); out != nil {
			return out
		}
	}
	return nil
}

// holds says whether path is the field or lies below it.
func holds(field, path []string) bool {
	return len(path) >= len(field) && slices.Equal(path[:len(field)], field)
}

// onlyFields refuses a patch that changes more than the codec has said it would.
func onlyFields(patch map[string]any, fields [][]string) error {
	if out := outside(patch, fields); out != nil {
		return fmt.Errorf("the codec changed %s, which is none of its fields", kube.Pointer(out...))
	}
	return nil
}
