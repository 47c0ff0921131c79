// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import "go/types"

// KeyOf is which parameter of a function of package flags is its key.
func KeyOf(fn *types.Func) (int, bool) {
	k := builtin(fn)
	if k == nil {
		return none, false
	}
	return k.Key, true
}

// Known is how many functions are known.
func Known() int { return len(constructors) + len(methods) }
