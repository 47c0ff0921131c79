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
//
// # What is guaranteed
//
// Choose how much worse a candidate may be with [Default], [Strict] or [Tolerant]; all
// three fail one rollout in a hundred, at most, of candidates that are no worse than that.
// This holds for [Compare], and in their own terms for [Limit] and [Ratio], however
// often they are asked, after a restart, at any split, and while the split changes. What
// befalls both arms alike does no harm: rates that drift through the day, an outage of
// what both rest on. It is proven, under one condition: within a block of ten seconds,
// given how good each arm is then, requests fail independently of each other.
//
// Real traffic breaks the condition in three ways.
//
//   - Bursts: a replica restarts, and a hundred requests fail together. On one arm alone
//     they look like a worse version. A source that can tell two halves of stable's
//     replicas apart ([Halves], [History]) shows how large such bursts are when nothing
//     is wrong, and what fails together then counts as the burst that it is. In
//     simulations this keeps the promise; it is not proven, and bursts that stable
//     never had cannot be learned.
//   - Sticky sessions: a user whose requests all fail counts as many, and is one. The same
//     remedy helps, as far as halves of stable have such users too. Counting users that
//     had a failure, and not requests, does away with the cause.
//   - A candidate that is worse for a while, with cold caches or code that is not compiled
//     yet, is worse. Leave that time out with [CompareOptions.Warmup].
//
// Nothing is proven where there is nothing to compare with: at a weight of 100% the candidate is
// held against what stable did last, by a rule of thumb. Keep a small share on stable
// through the last step if that matters.
//
// Nor is it promised that harm is found. What lies within the margin is let through by
// design, and few requests show little: [CompareOptions.Needed] says how many a
// regression takes, and [CompareOptions.Worth] waits for them. Safe is wrong, for
// a candidate that is worse than the wider margin, in one step of twenty at most.
// [Threshold], [BurnRate] and [MannWhitney] bound no error at all.
package analysis
