// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t, dbtest.Options{Fast: true})
	migratetest.RunFiles(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		again := open(t, server)
		db := again()
		return migratetest.Subject{
			Database: database(t, again()), Another: func() migrate.Database { return database(t, again()) }, DB: db,
			Quote:     func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" },
			Transient: transient, Piecemeal: true,
		}
	})
}
