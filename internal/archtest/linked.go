// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Linked lists the modules that a program links when it imports a package, beside this one
// and the standard library: packages that link the same ones together, fewest first. all are
// the packages and whatever they depend on.
func Linked(packages, all []Package) string {
	module := map[string]string{}
	for _, p := range all {
		if p.Module != nil {
			module[p.ImportPath] = p.Module.Path
		}
	}
	importers := map[string][]string{} // by the modules, a line each
	for _, p := range packages {
		linked := map[string]bool{}
		for _, dep := range p.Deps {
			if _, own := Rel(dep); !own && module[dep] != "" {
				linked[module[dep]] = true
			}
		}
		modules := strings.Join(slices.Sorted(maps.Keys(linked)), "\n")
		rel, _ := Rel(p.ImportPath)
		importers[modules] = append(importers[modules], rel)
	}
	count := func(modules string) int { return len(strings.Fields(modules)) }
	var text strings.Builder
	for _, modules := range slices.SortedFunc(maps.Keys(importers), func(a, b string) int {
		return cmp.Or(count(a)-count(b), strings.Compare(a, b))
	}) {
		slices.Sort(importers[modules])
		fmt.Fprintf(&text, "\n%d modules: %s\n", count(modules), strings.Join(importers[modules], " "))
		for m := range strings.FieldsSeq(modules) {
			fmt.Fprintf(&text, "\t%s\n", m)
		}
	}
	return text.String()
}
