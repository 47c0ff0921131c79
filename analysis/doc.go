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
//
// # Judges
//
// A [Threshold] holds one [Metric] against fixed [Bounds], measurement after
// measurement. The metric is an [ErrorRate] or the share of requests with a
// [LatencyAbove] a bound, both counted by a [Source], or any other [Value].
// [FromTotals] makes a source of a proxy in the same process.
//
// [Compare], [Limit] and [Ratio] weigh evidence and bound how often they fail a
// candidate that does no harm: beside stable, beside a fixed limit, and for events that
// are no share of requests. [Share] doubts a split that is not the one asked for, and
// [BurnRate] holds a rollout while the whole service burns its error budget; neither
// blames the candidate. [MannWhitney] is Kayenta's judge, [RequestSuccessRate] and
// [RequestDuration] are Flagger's gates.
//
// [All] and [Any] make one judge of several by their verdicts, [Mean] by their
// evidence, with one risk for all; [Discoveries] names those of a fleet.
//
// For a judge of your own, write a [JudgeFunc] and hold it to the law with
// analysistest.Run.
package analysis
