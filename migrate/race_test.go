// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/internal/race"
)

// unraced skips a test under the race detector: it changes Memory's hooks, or what they
// read, between two moments at which its bubble is idle, which the detector cannot know.
// The tests run without it, too.
func unraced(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("its hooks change while it runs")
	}
}
