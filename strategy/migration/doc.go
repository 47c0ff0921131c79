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
//   - The task "switched" notes in the database that the candidate has everything.
//   - The task "contract", in a step that is OneWay, hides the old side, lets it soak, and
//     drops it. It waits while an instance or a connection of an old version is alive.
//
// The way home takes the schema back by itself, up to the contract. Three things stay: what
// Options.Keep keeps, what stable needs because an earlier rollout has brought it, and what
// is contracted. Once the contract has been ordered a person decides. While the old side is
// hidden, stable cannot even start: [migrate.Migrator.Rollback] brings it back first, the
// traffic staying where it is; then start stable, and abort the rollout.
//
// A rollout's Explain says what the change does or waits for, and for which instances.
//
// Orders carry the rollout's fence: a runner that was paused, and whose rollout is over,
// cannot take back what the next one has begun.
package migration
