// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/migrate"
)

func files(of map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range of {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestAFolderIsReadInTheOrderOfItsVersions(t *testing.T) {
	t.Parallel()
	set, err := migrate.ReadDir(files(map[string]string{
		"m/10-pair.up.sql":          "CREATE TABLE a (x int);\r\n",
		"m/10-pair.down.sql":        "-- migrate:down transaction:false\nDROP TABLE a;",
		"m/9-first.up.sql":          "-- nothing",
		"m/0011_goose.sql":          "-- goose's\n-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX i;\n-- +goose Down\nDROP INDEX i;\n",
		"m/12-dbmate.sql":           "-- migrate:up transaction:false\n\nVACUUM;\n-- migrate:down\n",
		"m/13-seed-up.sql":          "SELECT 1;",
		"m/13-seed-down.sql":        "SELECT 2;",
		"m/14-clean-up.sql":         "-- migrate:up\nSELECT 3;\n",
		"m/20240312000000-prefs.js": "exports.up = null",
		"m/deeper/1-x.up.sql":       "nobody reads it",
	}), "m")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range set.All() {
		show := func(p migrate.Part) string {
			text := strings.TrimSpace(p.SQL)
			if p.Alone {
				text += " (alone)"
			}
			return text
		}
		got = append(got, m.ID+": "+show(m.Up)+" | "+show(m.Down))
	}
	want := []string{
		"9-first: -- nothing | ",
		"10-pair: CREATE TABLE a (x int); | DROP TABLE a; (alone)",
		"0011_goose: CREATE INDEX i; (alone) | DROP INDEX i; (alone)",
		"12-dbmate: VACUUM; (alone) | ",
		"13-seed: SELECT 1; | SELECT 2;",
		"14-clean-up: SELECT 3; | ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrongInAFolderIsNamedByFileAndLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why   string
		files map[string]string
		want  string
	}{
		{"two of one version", map[string]string{"m/1-a.up.sql": "a", "m/001-b.up.sql": "b"}, "migrate: m/1-a.up.sql:1: m/001-b.up.sql has version 1 too"},
		{"down without up", map[string]string{"m/1-a.down.sql": "a"}, "migrate: m/1-a.down.sql:1: it takes 1-a back, which is not there"},
		{"unknown directive", map[string]string{"m/1-a.up.sql": "a;\n-- +goose Sideways"}, `migrate: m/1-a.up.sql:2: unknown directive "+goose Sideways"`},
		{"unknown option", map[string]string{"m/1-a.sql": "-- migrate:up transaction:maybe"}, "m/1-a.sql:1: unknown directive"},
		{"no section", map[string]string{"m/1-a.sql": "-- SELECT 1;"}, "m/1-a.sql:1: it has neither"},
		{"a statement before", map[string]string{"m/1-a.sql": "\nSELECT 1;\n-- migrate:up"}, "m/1-a.sql:2: a statement before"},
		{"two sections up", map[string]string{"m/1-a.sql": "-- migrate:up\n-- migrate:down\n-- migrate:up"}, "m/1-a.sql:3: a second section up: the first begins on line 1"},
		{"the wrong section", map[string]string{"m/1-a.up.sql": "\n-- +goose Down"}, "m/1-a.up.sql:2: a section down in a file whose name says up"},
		{"no version", map[string]string{"m/a.up.sql": "a"}, "m/a.up.sql:1: its name does not begin with a version"},
		{"one file twice", map[string]string{"m/1-a.up.sql": "a", "m/1-a.sql": "-- migrate:up"}, "says what it does already"},
		{"no folder", map[string]string{}, "migrate: open m"},
	} {
		set, err := migrate.ReadDir(files(c.files), "m")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.why, err, c.want)
		}
		if n := len(set.All()); n != 0 {
			t.Errorf("%s: %d migrations beside the error", c.why, n)
		}
	}
}

func TestASetRefusesWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *sql.Tx) error { return nil }
	var set migrate.Set
	if err := set.Add(migrate.Migration{ID: "1-a", Up: migrate.Part{Func: nothing}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []migrate.Migration{
		{ID: "2-nothing"},
		{ID: "b", Up: migrate.Part{SQL: "x"}},
		{ID: "01-again", Up: migrate.Part{SQL: "x"}},
		{ID: "2-" + strings.Repeat("x", 255), Up: migrate.Part{SQL: "x"}},
		{ID: "2-func-alone", Up: migrate.Part{Func: nothing, Alone: true}},
	} {
		if err := set.Add(m); err == nil {
			t.Errorf("%s is added", m.ID)
		}
	}
	if n := len(set.All()); n != 1 {
		t.Errorf("%d migrations, want the one that was added", n)
	}
}
