// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package sqlite is a migrate.Database for SQLite, with the driver modernc.org/sqlite, which
// is all Go. It needs nothing but a file, and is the embedded default:
//
//	db, err := sqlite.Open("app.db", sqlite.Options{})
//	if err == nil {
//		err = db.Setup(ctx)
//	}
//	m, err := migrate.New(db, migrate.Options{})
//	// the program's own queries go through db.DB(), or through any other connection,
//	// of this process or another
//
// # What is atomic
//
// Changes of the schema are transactional: each step, the guard, the fence and the record
// of the step are one transaction, and so are a batch and its cursor. A process that dies
// leaves nothing half done, and there is nothing to look up in a catalog afterwards.
//
// # Locks
//
// SQLite has one lock for writing, on the whole file. In WAL mode readers go on beside it.
// It has no queue: a writer that waits polls, so the backfill holds the lock for some 8 ms
// and then leaves it alone for as long, see [Database.DefaultThrottle]. More Workers than
// one walk no faster. What waits for us holds nothing up, so LockTimeout protects nobody
// here; a short one only makes a step be tried more often.
//
// Adding and renaming a column, and making one nullable, are moments. Making one not null
// and adding a check look at every row, an index is built, and dropping a column rewrites
// the table, all under that lock: about 0.4, 1 and 2.5 seconds for a million rows of 200
// bytes on an idle machine. They are refused where that is longer than Options.Stall. That
// includes the end of a ReplaceColumn, and its way back, both of which drop a column.
//
// A process that is stopped (SIGSTOP), not killed, in the middle of a transaction keeps the
// lock as long as it is stopped, and nobody else writes to the file: no lease can help,
// because taking it over is a write. The lock is held for the few milliseconds of a batch
// and not between batches; whoever is stopped there is fenced when it wakes. The operating
// system takes the lock from a process that dies.
//
// # How two sides are kept the same
//
// Triggers write the other side after the row was written, so
//
//   - RETURNING does not show what they wrote; select the row again;
//   - a column cannot be not null while one version does not write it. The old one is made
//     nullable and the new one is made not null when the change is contracted. In between
//     triggers refuse nulls with SQLite's own words, and the code is
//     SQLITE_CONSTRAINT_TRIGGER, not SQLITE_CONSTRAINT_NOTNULL;
//   - the program's own UPDATE triggers fire for that write too.
//
// A row that is inserted with both sides given has the new version's word. INSERT without
// names of columns does not survive an added column, in any version of any schema.
//
// Functions, collations and modules that schemas or expressions use must be registered with
// the driver, and not with a connection: a change is rehearsed on a connection of its own.
//
// # What SQLite cannot do
//
// Foreign keys cannot be added to a table that exists, defaults cannot be changed, and a
// column that is in the primary key, is unique by its definition, has or is the end of a
// foreign key, or is read by a view or a trigger cannot be dropped. Such operations are a
// *migrate.UnsafeError, before anything is done: [Database.Compile] rehearses the whole
// script, there, back and there again, on an empty copy of the schema in memory.
//
// VACUUM numbers the rows anew where no column is the INTEGER PRIMARY KEY. A walk of such a
// table begins again after one, and after any other change of the schema, and passes over
// what is right already.
package sqlite
