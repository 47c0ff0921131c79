// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package rheostat is the tour of a library for progressive delivery: it dials a
// new version in, watches it, and dials it back. There is nothing to import here;
// the packages below combine in programs of yours.
//
//	strategy.Canary, BlueGreen, Rings, Progressive, AllAtOnce, or yours
//	                     │ Plan: lanes of steps, plain data, JSON and YAML
//	                     ▼
//	now, State,    Machine.Step        pure: one transition, no I/O
//	Observation ─► ──────────────────► Decision{State, Effects, Wake}
//	     ▲                              │ 1 save the State, compare-and-swap
//	     │                              │ 2 make the Effects true, fenced
//	     │                              │ 3 tell the observers
//	traffic.Router · analysis.Judge · Task · Intent
//
// A rollout is carried out on one of three floors, which share one core:
//
//   - strategy.Runner.Run loops until the rollout has ended: for main and CI jobs.
//   - strategy.Runner.Reconcile does one turn and says when the next is due: for
//     controllers, queues and cron.
//   - strategy.Machine.Step is the pure transition function: for simulators and
//     for workflow engines that bring their own storage and clock.
//
// The packages:
//
//   - strategy: plans, the state machine, the runner, stores. Its subpackage
//     strategytest plays plans in simulated worlds, for your unit tests and ours.
//   - traffic: what is turned. traffic/proxy is an embedded weighted splitter;
//     traffic/haproxy, nginx, xds, grpc and aws turn the data planes of others;
//     Verify proves a split, Watch tells of drift, Drain waits for quiet, Fanout
//     makes one router of several. traffic.Memory is a router without a data
//     plane; traffictest the law for all of them and for routers of your own.
//   - analysis: who judges. Compare holds the candidate against stable by evidence
//     whose error is bounded; Threshold, Limit, Ratio and others gate on metrics, All
//     and Any combine judges, analysistest holds the law and doubles.
//   - flags: feature flags by typed handles, from files, HTTP, Redis and the formats
//     and clients of others. strategy/flagramp turns one like traffic.
//   - migrate: changes of a database under live traffic, kept the same for both versions
//     until the old side is dropped, for PostgreSQL, MariaDB, MySQL and SQLite.
//     strategy/migration makes one part of a rollout; migratetest is the law.
//   - rollback: the last-known-good ledger with quarantine, flap and fleet
//     budgets, and a rollback that always ends in a verdict.
//   - observe: events for people and machines; observe/prometheus exposes them.
//     strategy/observing connects the two.
//
// What the library promises, and the decisions behind it, are in DESIGN.md; how
// to add a backend is in CONTRIBUTING.md. To see it work, run
//
//	go run ./examples/quickstart
package rheostat
