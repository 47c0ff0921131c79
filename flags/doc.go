// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flags evaluates feature flags: in nanoseconds, without heap, without a
// global, and without an error on the way.
//
// A program declares its flags as handles and asks them:
//
//	var newCheckout = flags.Bool("new-checkout", false)
//
//	client, err := flags.New(source, flags.Options{Cache: "/var/cache/shop/flags.json"})
//	go client.Run(ctx)
//
//	who := flags.User("user-42", flags.Str("plan", "pro"))
//	if newCheckout.On(client, &who) { … }
//
// What cannot be had is the fallback that the handle was given; [Handle.Eval] says why.
//
// # How a flag decides
//
// In this order, and the first that applies wins: a flag that is not enabled, is outside of its
// schedule or lacks a prerequisite serves Off. A target gets its variant. A unit in
// a holdout, or outside of the flag's slice of a layer, gets Off. Then the first rule all
// of whose clauses hold serves, and at last the default or the rollout. A rule with a split
// is passed over for a context that has no unit to draw for; a default with
// one serves it Off.
//
// A unit's place in a split depends on the flag's hash, its salt (its key, unless
// it has one) and the unit, and on nothing else. So raising a percentage only adds people, 0 %
// is nobody, 100 % is everybody, and two flags draw independently.
//
// # Where flags come from
//
// A [Source] hands over documents and changes; a [Store] can be written to as
// well, by compare-and-set. [Memory] is both. Whatever arrives is compiled at once into a
// snapshot that evaluations read without a lock. A flag that is not sound keeps its last sound
// form, and is reported as a [Problem] with the path of the field.
package flags
