// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package wrap has wrappers.
package wrap

import "github.com/rheostat-go/rheostat/flags"

// Shop asks through a method.
type Shop struct{ Client *flags.Client }

// Enabled passes its key on.
func (s *Shop) Enabled(key string) bool { return s.Client.Bool(key, false, nil) } // want Enabled:"key 0 bool"

// On is a wrapper of a wrapper, and stands before what it calls.
func On(s *Shop, key string) bool { return Or(s, key, true) } // want On:"key 1 bool"

// Or has the fallback from its caller.
func Or(s *Shop, key string, fallback bool) bool { // want Or:"key 1 bool"
	return func() bool { return s.Client.Bool(key, fallback, nil) }()
}

// Changed does not pass on what it was given.
func Changed(s *Shop, key string) bool {
	key = "x-" + key
	return s.Client.Bool(key, false, nil) // want `the key is not constant`
}

// Many takes several.
func Many(s *Shop, keys ...string) {
	for _, key := range keys {
		s.Enabled(key) // want `the flag of this .*Enabled cannot be checked`
	}
}

// Both has two keys: the first is followed.
func Both(s *Shop, a, b string) bool { // want Both:"key 1 bool"
	return s.Enabled(a) && s.Enabled(b) // want `the key is not constant`
}

var first = flags.Bool("first", false)

func here(s *Shop) bool { return s.Enabled("first") }
