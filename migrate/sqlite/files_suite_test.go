// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	migratetest.RunFiles(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		t.Parallel()
		path := file(t)
		return migratetest.Subject{Database: open(t, path), Another: func() migrate.Database { return open(t, path) }, DB: open(t, path).DB()}
	})
}
