// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/dbtest"
)

// env has one variable.
func env(url string) func(string) string {
	return func(name string) string {
		if name == "DATABASE_URL" {
			return url
		}
		return ""
	}
}

// do runs the command as one would type it.
func do(t *testing.T, url, line string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), &out, env(url), strings.Fields(line)...); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, &out)
	}
	return out.String()
}

func has(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// story is the same for every database.
func story(t *testing.T, url string) {
	t.Helper()
	const create, prefs, view = "20240301000000-create-users", "20240312000000-add-user-preferences", "20240320000000-newest-users"
	has(t, do(t, url, "plan"), create, "    ALTER TABLE users ADD COLUMN preferences json DEFAULT '{}';", view)
	has(t, do(t, url, "status"), "pending", create)
	has(t, do(t, url, "up --verbose -c 2"), "[sql] CREATE TABLE users (", "[sql] ALTER TABLE users ADD COLUMN preferences", "[ran] in ", "[done] "+prefs+" up in ", "up   "+prefs)
	if out := do(t, url, "status"); strings.Count(out, "applied ") != 2 || strings.Count(out, "pending ") != 1 {
		t.Errorf("after two\n%s", out)
	}
	has(t, do(t, url, "up"), "up   "+view)
	has(t, do(t, url, "up"), "up to date")
	has(t, do(t, url, "down --verbose"), "[sql] DROP VIEW newest_users", "down "+view)
	has(t, do(t, url, "down -c 9"), "down "+prefs, "down "+create)
	if out := do(t, url, "status"); strings.Count(out, "pending ") != 3 {
		t.Errorf("after all were taken back\n%s", out)
	}
	has(t, do(t, url, "down"), "nothing was applied")
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	story(t, "sqlite:"+filepath.Join(t.TempDir(), "dev.db"))
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	story(t, dbtest.Postgres(t, dbtest.Options{Fast: true}).URL("postgres"))
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	// dbtest gives what the driver reads; a DATABASE_URL is a URL.
	user, rest, _ := strings.Cut(dbtest.MariaDB(t, dbtest.Options{Fast: true}).URL("test"), "@tcp(")
	story(t, "mysql://"+user+"@"+strings.Replace(rest, ")", "", 1))
}

func TestDatabaseJSONSaysWhere(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := run(t.Context(), &out, env(""), "status", "-e", "staging")
	if err == nil || !strings.Contains(err.Error(), `no environment "staging", but dev, prod`) {
		t.Errorf("%v\n%s", err, &out)
	}
	err = run(t.Context(), &out, env("postgres://app:secret@127.0.0.1:1/app"), "status")
	if err == nil || !strings.Contains(err.Error(), "postgres://app@127.0.0.1:1/app") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	for _, line := range []string{"", "sideways", "resolve x", "adopt"} {
		if err := run(t.Context(), &out, env("sqlite:"+filepath.Join(t.TempDir(), "x.db")), strings.Fields(line)...); err == nil || err.Error() != usage {
			t.Errorf("%q: %v", line, err)
		}
	}
}
