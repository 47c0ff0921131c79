// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package migratetest holds the law that every [migrate.Database] must keep.
//
// [Run] tries a database, case by case, against what the interface promises:
//
//	func TestConformance(t *testing.T) {
//		migratetest.Run(t, func(t *testing.T) migratetest.Subject {
//			dsn := emptyDatabase(t)
//			return migratetest.Subject{
//				Database: acme.New(open(t, dsn)),
//				Another:  func() migrate.Database { return acme.New(open(t, dsn)) },
//				DB:       open(t, dsn),
//			}
//		})
//	}
//
// Each case begins with a fresh subject. What the [Subject] gives no hook for is
// skipped, and the skip names what is missing. The more hooks a Subject has, the more
// is proven:
//
//   - Database alone: records, orders, leases and fences, guards and registration,
//     ended contexts.
//   - Another: two processes on the same data exclude each other.
//   - DB: operations are carried out on real tables, beside clients of the old and the
//     new version that read and write in every phase; taken back from every step; and
//     no acknowledged write is lost.
//   - Catalog: after a rollback nothing is left behind.
//   - Restart: what was acknowledged outlives the death of the server.
package migratetest
