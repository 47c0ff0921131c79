// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/migrate/migratetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	migratetest.Run(t, func(t *testing.T) migratetest.Subject { return subject(t, database(t)) })
}
