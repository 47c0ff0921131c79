// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

func TestMemoryPasses(t *testing.T) {
	t.Parallel()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.try(t, memory(t))
		})
	}
}

// memory is the right Database, in two processes.
func memory(t *testing.T) Subject {
	t.Helper()
	db := migrate.NewMemory()
	return Subject{Database: db, Another: func() migrate.Database { return db }}
}
