// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package launchdarkly has LaunchDarkly's flags behind our handles, and cleans up the
// flags there that have had their day.
//
//	evaluator, err := launchdarkly.New(sdk, launchdarkly.Options{})
//	client, err := flags.NewWith(evaluator, flags.Options{})
//	on := newCheckout.On(client, &who)
//
// LaunchDarkly's own SDK evaluates: rules, segments, experiments and events are as they
// are everywhere else that it is used. The SDK's client is the caller's to make and to close.
//
// # What it costs
//
// The SDK takes 309 to 672 ns for an evaluation with a context that is there already. To
// make one from a flags.Context comes on top each time: next to nothing for a key alone, about
// 0.7 µs and 2 allocations for three attributes, some 3 µs and 13 for nested ones.
//
// # Contexts
//
// A flags.Context becomes a LaunchDarkly context of kind "user", or Options.Kind. A name
// that is given several times becomes an array, of which a clause matches any. A name
// with dots becomes nested objects, as flags.FromMap has them: address.city is what
// rules call /address/city; with Options.Flat it stays a name with dots. A time is a string
// in RFC 3339. Attributes called key, kind and _meta are left out, since they would
// make it a context of somebody else; name and anonymous count if they are of the
// type that LaunchDarkly wants, a string and a boolean.
//
// LaunchDarkly serves nobody who has no key. Such a context gets the fallback with the
// reason Anonymous, unless Options.Nobody says otherwise.
//
// # Reasons
//
// OFF is Disabled, TARGET_MATCH Targeted, RULE_MATCH Matched with the rule's ID,
// PREREQUISITE_FAILED Prerequired, FALLTHROUGH Fallthrough; what an experiment decided is Split. A
// percentage rollout that is no experiment is not told apart by LaunchDarkly: it is Fallthrough
// or Matched. Of errors, CLIENT_NOT_READY is NotReady, FLAG_NOT_FOUND NotFound,
// WRONG_TYPE TypeMismatch, and the rest Failed. The variant is the variation's index; the
// flag's version is not told.
//
// # Cleaning up
//
// [Project] finds the temporary flags that have served everybody one variation for long, and
// archives those that nothing asks for any more. It never turns a flag off: that
// would take the feature, which by then is everybody's, away from everybody. An archived
// flag serves each caller its fallback, in all environments, so what asks for it must be
// gone first.
package launchdarkly
