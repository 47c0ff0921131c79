// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package migration makes a change of the database part of a rollout: the schema is
// expanded before the candidate has any traffic, and contracted after the bake, in one
// plan with one way home.
//
//	m, _ := migrate.New(db, migrate.Options{})
//	change, _ := migration.New(m, migrate.Change{…}, migration.Options{})
//	plan, _ := change.Plan(strategy.BlueGreen{Target: "web", Before: []string{"deploy"}})
//	wiring := strategy.Wiring{Tasks: change.Tasks(), Judges: change.Judges(), …}
//	go m.Work(ctx)
//
// The tasks only order. Whoever runs [migrate.Migrator.Work], in this process or another,
// does what is ordered; a process that dies anywhere is followed by the next one.
//
//   - The task "expand" is done when the change is Ready, and not before: rows filled in,
//     verified, constraints valid. On the way home it is taken back, after the traffic.
//   - The judge "schema" watches from the first request of the candidate on, and fails the
//     rollout if somebody takes the change back under it.
//   - The task "contract", in a step that is OneWay, hides the old side, lets it soak, and
//     drops it. It waits while an instance or a connection of an old version is alive.
//
// Orders carry the rollout's fence: a runner that was paused, and whose rollout is over,
// cannot take back what the next one has begun.
package migration
