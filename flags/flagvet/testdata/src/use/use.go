// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package use has wrappers of another package, and no flags of its own.
package use

import "github.com/rheostat-go/rheostat/flags/flagvet/testdata/src/wrap"

func use(s *wrap.Shop, key string) { // want use:"key 1 bool"
	s.Enabled("second")
	wrap.On(s, "second") // want `flag "second" falls back to true here and to false at .*use.go:10:12`
	wrap.Or(s, "first", false)
	wrap.Or(s, "first", true) // want `flag "first" falls back to true here and to false at github.com/.*/testdata/src/wrap/wrap.go:41:24`
	wrap.On(s, key)
	f := wrap.On // want `it is used as a value`
	f(s, "unseen")
	use(s, "third")
}
