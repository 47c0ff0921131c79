// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flagstest has what tests of flags need.
//
// For programs that use flags: a [Fake] is a client whose flags a test sets, whole or
// unit by unit, [AlwaysOn] is a client that has every boolean on, and a [Recorder] keeps
// exposures to be looked at.
//
// For packages that bring flags from somewhere: [Run] tries a flags.Source, and a flags.Store
// where it is one, against the whole contract of those interfaces.
package flagstest
