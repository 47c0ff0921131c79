// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flagd reads and writes flags as flagd has them: JSON with JSONLogic for the
// targeting. What was written for flagd is decided as flagd decides it, to the same people.
//
//	doc, err := flagd.Parse(text)
//	store.Replace(doc)
//
// A targeting is compiled once, when it is read, to a tree that is run without heap for
// all operators but those that make strings, lists or objects. What cannot be compiled is a
// Problem of the document with its path, and the flag keeps its last sound form.
//
// # What is understood
//
// Flags as an object or a list; state, variants, defaultVariant (null and absent, too:
// the caller's default), metadata, $evaluators with $ref; all operators of JSONLogic with
// its truthiness and JavaScript's conversions; flagd's fractional, in its short and its
// long form and with computed variants and weights, starts_with, ends_with and sem_ver;
// $flagd.flagKey, $flagd.timestamp and targetingKey, which is the context's key.
//
// The reasons are Static of a flag without targeting, Matched where the targeting named
// a variant, Fallthrough where it computed null (the default variant, or the caller's
// default), Disabled with the caller's default, and Failed where it named something that
// is no variant.
//
// # What is different
//
// A context is flat. A nested object is names with dots (customer.country) and a list is
// a name given several times, see flags.FromMap. So a list of one item is that
// item, and an empty list or object, or a null, is not there. Numbers are float64, and text
// is counted and compared in Unicode code points where JavaScript has UTF-16. A var
// within map, filter, reduce, all, some and none sees the item only, as JSONLogic says. A
// targeting may be 100 levels deep and have 2^20 values, and a run that takes more than
// 2^17 steps beyond one for each value is Failed: only loops can.
//
// flagd's evaluators of different languages do not agree on the rims of JSONLogic: arithmetic
// with null or with text, lists in cat, == between a list and a text, missing of "". There
// the reference implementation is followed, which is JavaScript.
//
// A Logic is not part of a flag's JSON. A program that keeps flags in JSON of its own, or
// uses Options.Cache, calls [Restore] on each flag that it reads back; until then such
// a flag serves the caller's default. A flag of this package cannot be dialled by
// flags.Ramp, but can be killed. What is of another kind in flags.Flag, such as
// prerequisites and layers, is [errors.ErrUnsupported] for [Marshal].
package flagd
