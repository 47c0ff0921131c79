// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package observe says what is told about rollouts, and to whom.
//
// An [Event] is the neutral record of everything that a rollout, a rollback or a
// flag ramp tells: plain data that knows no other package. An [Observer] takes
// events: a log ([Slog]), metrics (package prometheus below this one), a chat
// channel, your own.
//
// Events are told after the fact, at least once. Nothing waits for an observer:
// a rollout is decided by what its targets show, never by who has heard of it.
// [Multi] keeps a slow or failing observer from the others, [Dedupe] makes "at
// least once" into once, and [Async] puts a bounded queue in between.
//
// [Secret] keeps tokens and webhook addresses out of logs and events.
package observe
