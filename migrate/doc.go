// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package migrate changes a database under live traffic, in step with a rollout.
//
// A [Change] says what is to be different: a column replaced by another, an index, a
// table split. [Database.Compile] turns it, against the live catalog, into a [Script]:
// every statement with the lock it takes, whom that lock stops, and how it is taken
// back. [Plan] prints it before anything runs. A [Migrator] carries it out, one
// [Phase] after another:
//
//	planned → expanding → syncing → backfilling → verifying → ready
//	                                                            │ traffic moves to the new version
//	        done ← contracting ← soaking ←────────────────── switched
//
// and back from anywhere before contracting, to rolledBack. The promises:
//
//   - Before Ready the new version has nothing to read, and a rollout waits for it.
//   - From Syncing to Contracting both versions may write. Each sees what the other
//     wrote, so rolling back loses no acknowledged write of the new version.
//   - The old column is hidden first and dropped after a soak. Both are refused while
//     an instance or a connection of a version that needs it is alive, in the same
//     transaction that would do it. Going back from the soak brings it back at once,
//     while the new version still runs, so that the old one can start and take over.
//   - No statement waits longer than LockTimeout for a lock, and none holds one across
//     a round trip. A batch of a backfill is sized by time.
//   - The process may die anywhere, or be paused past its lease and woken: whoever
//     comes next goes on where the database says it is, and the late one is fenced.
//
// Versioned migrations, files and Go functions that go up and down, share the same
// history, lease, fence, lint and observer.
//
// The databases are nested modules: migrate/postgres, migrate/mysql and migrate/sqlite.
// [Memory] is a Database without data, for tests of what is built on this package.
package migrate
