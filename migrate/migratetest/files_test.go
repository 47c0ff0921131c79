// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"testing"
)

func TestMemoryTakesFilesUpAndDown(t *testing.T) {
	t.Parallel()
	for _, c := range fileCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.try(t, memory(t))
		})
	}
}
