// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package monitor watches a revision for a time after it went out, and takes it back once
// if it does harm. It is for what was deployed without a rollout, by a pipeline or by
// hand: nothing is split, so all it can do is look, and return.
//
//	m, err := monitor.New(store, monitor.Watch{
//		Service: "shop", Target: target,
//		Judges: map[string]analysis.Judge{"errors": errors},
//	})
//	state, err := m.Begin(ctx) // what runs now is what is watched
//	state, err = m.Run(ctx)    // until it is over, and once more after a crash
//
// A watch ends in one of these ways, always, and says why in a sentence:
//
//   - Passed: it was healthy for all of Limits.For, and every judge let it pass. It is the
//     last known good revision from then on.
//   - RolledBack: a judge failed it, or it was stuck, and the last known good revision was
//     seen healthy in its place. RollbackFailed: that one was not.
//   - Refused: it should have gone back and could not: there is no revision that is known
//     to be good, the budget is used up, the last thing that happened was a rollback. A
//     person must look.
//   - Unknown: the time was over and nobody could tell: no data, no answer from the
//     target. It is neither a success nor a reason to go back.
//   - Superseded: another revision was deployed meanwhile, which nobody here watched.
//   - Aborted: an operator ended it.
//
// What is wanted is saved before it is done: a process that dies anywhere is followed by
// another, or by two, and the target is asked for one return. That return is
// [rollback.Do] with its ledger, budget and quarantine: it goes where the ledger says,
// never to "the previous one", and is watched until it is healthy.
//
// Step decides and does nothing; Monitor.Reconcile makes one turn, for a controller or a
// cron job; Monitor.Run is a loop around it.
package monitor
