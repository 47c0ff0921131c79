// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package postgres is the migrate.Database of PostgreSQL, 13 and later, through pgx.
//
// # Transactions and poolers
//
// A transaction is one message: the check of the fence, the guard, the statements, the state
// and the commit. No lock is held while a client thinks, is paused or is gone, apart from the
// transactions of Go functions, which the server ends when their client is silent for a
// lease. Nothing is prepared, and nothing is set or locked for longer than a transaction, so a
// pooler in transaction mode, such as PgBouncer, may stand before the server. The lease is a
// row with a number that rises, and no advisory lock, so that CREATE INDEX CONCURRENTLY
// never waits for its own kind.
//
// Statements that cannot be in a transaction have no lock_timeout: they wait for locks that
// stop neither readers nor writers. A process that is paused right before one, for longer than
// its lease, may still send it; what it makes is an index of that name once more.
//
// # What is in the catalog
//
// The schema "rheostat" holds the tables record, lease, cursor and instance, the functions that
// a transaction is made of, and the trigger functions of changes under way. A trigger is named
// zz_rheostat_…, to fire after others, which see a row before both sides are the same. What
// soaks is named _rh_old_…, and a column whose type changes _rh_new_… until it is exchanged.
//
// Setup needs the right to create a schema in the database, once. A change needs to own the
// tables that it changes, and to read what its expressions read: Compile has the server read
// each of them as part of a temporary view, whose transaction is rolled back. What a
// SplitTable keeps the same is written with the rights of whoever migrates. Instances that
// register need USAGE on the schema, EXECUTE on its functions, SELECT and UPDATE on record,
// and SELECT, INSERT, UPDATE and DELETE on instance. A connection whose application_name is
// app@version, with anything after a blank or a slash, counts as an instance that is alive.
//
// # Which side was written
//
// The trigger of a pair of columns tells from which of them changed, for any client. Where a
// statement changes both, and they do not agree, the new one holds; an insert that gives
// the new one is the new version's. Rows that agree, such as those a backfill writes, cost no
// call. Where session_replication_role is replica, no trigger fires; Verifying finds such rows.
//
// # Limits
//
// Refused, with what to do instead: columns of primary keys, identity and generated columns,
// and columns that views, policies, generated columns or other tables' foreign keys use;
// indexes and foreign keys of partitioned tables; a new type for a column with an index
// or a constraint; moving columns that have a default or must not be null. An autovacuum
// that works on a table holds changes of it up until it is done, as it is told to yield only
// after deadlock_timeout, which is longer than any lock_timeout here.
package postgres
