// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package mysql makes changes to MariaDB, and to MySQL as far as the two agree.
//
// It is tested with MariaDB 10.11. It uses nothing that MySQL 8.0.29 does not document.
//
// Here a change of the schema commits by itself, and its statement cannot be one
// transaction with the record of it. Each such step is therefore recorded as begun, run,
// read back from information_schema, and recorded as done; a crash between leaves a step
// that the next process reads from the catalog. Walks and records are transactions.
//
// Every ALTER TABLE says ALGORITHM and LOCK, so that the server refuses what it could only
// do by stopping writers. The server bounds the wait for a metadata lock in whole seconds:
// this package watches a statement that waits from a second connection, and kills it when
// the LockTimeout is over, so that nobody queues behind it for longer. It needs the right
// to see and kill its own account's statements, which every account has.
//
// Columns are kept the same by BEFORE triggers. When the old column is hidden, or comes
// back, or changes its type, its triggers are exchanged under LOCK TABLES: if the process dies
// between the two statements, writes to the table fail until another has taken over, and none
// is lost. When it is dropped, its triggers go first: if the process dies then, inserts fail
// until another has taken over if that column is not null and has no default.
//
// What cannot be done without stopping writers is refused: a CHECK constraint (the server
// copies the table), a partial index, a table without a primary key.
package mysql
