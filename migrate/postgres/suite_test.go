// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	migratetest.Run(t, func(t *testing.T) migratetest.Subject {
		t.Parallel()
		if !strings.Contains(t.Name(), "server") {
			return subject(t, database(t))
		}
		server := dbtest.Postgres(t, dbtest.Options{}) // one to kill
		s := subject(t, databaseOn(t, server))
		s.Restart = func(context.Context) error {
			server.Kill()
			server.Start()
			return nil
		}
		return s
	})
}

// TestConformanceThroughAPooler has a PgBouncer in transaction mode between the Database and the
// server: nothing is prepared, and nothing is set or locked for longer than a transaction.
func TestConformanceThroughAPooler(t *testing.T) {
	t.Parallel()
	database(t)
	bouncer := dbtest.PgBouncer(t, shared.server, "transaction")
	migratetest.Run(t, func(t *testing.T) migratetest.Subject {
		if strings.Contains(t.Name(), "process_died") {
			t.Skip("lived through without the pooler")
		}
		t.Parallel()
		direct := database(t)
		s := subject(t, bouncer.URL(direct[strings.LastIndexByte(direct, '/')+1:strings.LastIndexByte(direct, '?')]))
		s.Rows, s.Races = 60, 100
		return s
	})
}
