// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import "testing"

func TestAServerOnAPortOfAnotherIsNotTakenForReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func() *Server
	}{
		{"Postgres", func() *Server { return Postgres(t, Options{Fast: true}) }},
		{"MariaDB", func() *Server { return MariaDB(t, Options{Fast: true}) }},
		{"PgBouncer", func() *Server { return PgBouncer(t, Postgres(t, Options{Fast: true}), "transaction") }},
	} {
		first, second := c.start(), c.start()
		second.Kill()
		second.port = first.port
		if err := second.begin(); err == nil {
			t.Errorf("%s: it takes the server on port %d for itself", c.name, first.port)
		}
		first.Kill()
		second.Kill()
	}
}
