// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package analysis decides from evidence whether a candidate may go on.
//
// A [Judge] is asked with a [Check] (which run, which step, since when) and
// answers with a [Finding]: a [Verdict], the numbers it rests on, and a sentence
// that a person on call understands. A judge never changes anything; what it must
// remember between two questions travels in the Finding and is saved with the
// rollout, so that a restart neither forgets nor counts twice.
//
// Not knowing is never a pass: no data, a value that is not a number and a source
// that is down are Pending or Inconclusive.
package analysis
