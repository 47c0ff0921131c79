// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// bench is a file with tables, on which a test tries changes.
type bench struct {
	*testing.T
	db *sqlite.Database
	m  *migrate.Migrator
}

func on(t *testing.T, statements ...string) *bench {
	t.Helper()
	return with(t, sqlite.Options{}, statements...)
}

func with(t *testing.T, o sqlite.Options, statements ...string) *bench {
	t.Helper()
	path := file(t)
	open(t, path) // and its journal mode
	db, err := sqlite.New(open(t, path).DB(), o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.New(db, migrate.Options{Throttle: migrate.Throttle{Duty: 1}, Poll: time.Millisecond})
	if err == nil {
		err = db.Setup(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, db, m}
	for _, s := range statements {
		b.exec(s)
	}
	return b
}

func (b *bench) exec(statement string) {
	b.Helper()
	if _, err := b.db.DB().ExecContext(b.Context(), statement); err != nil {
		b.Fatalf("%s: %v", statement, err)
	}
}

// fails wants a statement to fail with a text in its error.
func (b *bench) fails(statement, text string) {
	b.Helper()
	if _, err := b.db.DB().ExecContext(b.Context(), statement); err == nil || !strings.Contains(err.Error(), text) {
		b.Errorf("%s: got error %v, want one with %q", statement, err, text)
	}
}

// is wants a query of one text column to answer with these.
func (b *bench) is(query string, want ...string) {
	b.Helper()
	rows, err := b.db.DB().QueryContext(b.Context(), query)
	if err != nil {
		b.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var v any
		if err := rows.Scan(&v); err != nil {
			b.Fatal(err)
		}
		got = append(got, fmt.Sprint(v))
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s: (-want +got)\n%s", query, diff)
	}
}

func change(ops ...migrate.Op) migrate.Change {
	return migrate.Change{ID: "change", Unguarded: "a test", Soak: time.Nanosecond, Ops: ops}
}

func (b *bench) reach(p migrate.Phase, ops ...migrate.Op) {
	b.Helper()
	if err := b.m.Reach(b.Context(), change(ops...), p); err != nil {
		b.Fatalf("%v: %v", p, err)
	}
}

func (b *bench) rollback() {
	b.Helper()
	if err := b.m.Rollback(b.Context(), "change", "a test"); err != nil {
		b.Fatal(err)
	}
}

// shape is the schema, without how SQLite happens to write it.
func (b *bench) shape() string {
	b.Helper()
	text, err := catalog(b.db)(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func TestWhatSQLiteCannotDoIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	tables := []string{
		"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, u TEXT UNIQUE, g TEXT AS (a || b), c TEXT, viewed TEXT, fired TEXT, CHECK (c <> ''))",
		"CREATE TABLE child (id INTEGER PRIMARY KEY, t TEXT REFERENCES t (u), parent INTEGER, FOREIGN KEY (parent) REFERENCES t)",
		"CREATE TABLE loose (a TEXT)",
		"CREATE VIEW v AS SELECT viewed FROM t",
		"CREATE TRIGGER user AFTER UPDATE OF a ON t BEGIN UPDATE t SET fired = 'yes' WHERE id = NEW.id; END",
		"INSERT INTO t (b) VALUES ('b')",
	}
	replace := func(column string) migrate.Op {
		return migrate.ReplaceColumn{Table: "t", Old: column, New: "n", Type: "TEXT"}
	}
	for name, c := range map[string]struct {
		op   migrate.Op
		want string
	}{
		"no table":            {migrate.AddColumn{Table: "nowhere", Column: "x", Type: "TEXT"}, "no table nowhere"},
		"a view":              {migrate.AddColumn{Table: "v", Column: "x", Type: "TEXT"}, "v is a view"},
		"no column":           {replace("nothing"), "no column nothing"},
		"there already":       {migrate.AddColumn{Table: "t", Column: "A", Type: "TEXT"}, "already"},
		"not null":            {migrate.AddColumn{Table: "t", Column: "x", Type: "TEXT NOT NULL"}, "NOT NULL"},
		"a default in motion": {migrate.AddColumn{Table: "t", Column: "x", Type: "TEXT", Default: "CURRENT_TIMESTAMP"}, "non-constant default"},
		"key":                 {replace("id"), "primary key"},
		"referred to":         {replace("u"), "foreign key of child"},
		"unique":              {migrate.DropColumn{Table: "t", Column: "u"}, "foreign key of child"},
		"of a foreign key":    {migrate.DropColumn{Table: "child", Column: "parent"}, "_rh_old_parent"},
		"generated":           {replace("g"), "generated"},
		"generated from":      {replace("a"), "g"},
		"checked":             {replace("c"), "c"},
		"viewed":              {replace("viewed"), "view v"},
		"in a trigger":        {migrate.DropColumn{Table: "t", Column: "fired"}, "_rh_old_fired"},
		"a wrong expression":  {migrate.ReplaceColumn{Table: "t", Old: "b", New: "n", Type: "TEXT", Up: "no_such(b)", Down: "n"}, "no_such"},
		"nullable to not":     {migrate.ReplaceColumn{Table: "t", Old: "viewed", New: "n", Type: "TEXT", NotNull: true}, "may write null"},
		"no way back":         {migrate.ReplaceColumn{Table: "t", Old: "b", New: "n", Type: "TEXT", Up: "lower(b)", Loses: "case"}, "give Down"},
		"nobody fills":        {migrate.MakeNotNull{Table: "t", Column: "viewed"}, "Backfill"},
		"nothing to read":     {migrate.DropColumn{Table: "t", Column: "b"}, "Fill"},
		"a foreign key":       {migrate.AddForeignKey{Table: "t", Name: "f", Columns: []string{"a"}, To: "child", Refer: []string{"id"}}, "foreign key"},
		"a parent":            {migrate.DropTable{Table: "t"}, "child"},
		"no key to split by":  {migrate.SplitTable{Table: "loose", Into: "x", Columns: []string{"a"}}, "no primary key"},
		"a statement":         {migrate.SQL{Name: "wrong", Do: []string{"DROP TABLE nowhere"}, Undo: []string{"SELECT 1"}}, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := on(t, tables...)
			before := b.shape()
			_, err := b.m.Plan(t.Context(), change(c.op))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
			if diff := cmp.Diff(before, b.shape()); diff != "" {
				t.Errorf("the plan changed the schema: %s", diff)
			}
		})
	}
}

func TestAStallThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	b := with(t, sqlite.Options{Stall: time.Microsecond}, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", "INSERT INTO t (a) VALUES ('a'), ('b'), ('c')")
	for _, op := range []migrate.Op{
		migrate.AddIndex{Table: "t", Name: "i", Columns: []string{"a"}},
		migrate.DropColumn{Table: "t", Column: "a"},
		migrate.AddCheck{Table: "t", Name: "c", Holds: "a <> ''"},
		migrate.RenameColumn{Table: "t", Old: "a", New: "b"},
	} {
		_, err := b.m.Plan(t.Context(), change(op))
		var unsafe *migrate.UnsafeError
		if !errors.As(err, &unsafe) || !strings.Contains(unsafe.Fix, "Options.Stall") || unsafe.Unsupported {
			t.Errorf("%T: got error %v, want an *UnsafeError that names Options.Stall", op, err)
		}
	}
}

// everyTable are tables with the same columns and every kind of key.
var everyTable = map[string]string{
	"integer key":         "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL, w TEXT)",
	"text key":            "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT NOT NULL, w TEXT)",
	"without rowid":       "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT NOT NULL, w TEXT) WITHOUT ROWID",
	"composite key":       "CREATE TABLE t (id INTEGER, v TEXT NOT NULL, w TEXT, part TEXT DEFAULT 'x', PRIMARY KEY (part, id DESC)) WITHOUT ROWID",
	"no key":              "CREATE TABLE t (id INTEGER, v TEXT NOT NULL, w TEXT)",
	"strict":              "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL, w TEXT) STRICT",
	"a column _rowid_":    "CREATE TABLE t (id INTEGER, v TEXT NOT NULL, w TEXT, _rowid_ TEXT, rowid TEXT)",
	"indexes and a date":  "CREATE TABLE t (id DATE, v TEXT NOT NULL COLLATE NOCASE, w TEXT, PRIMARY KEY (id)) WITHOUT ROWID; CREATE INDEX i ON t (lower(v)) WHERE v <> ''; CREATE UNIQUE INDEX j ON t (v)",
	"a default":           "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL DEFAULT 'none', w TEXT)",
	"triggers of its own": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL, w TEXT, changed INTEGER DEFAULT 0); CREATE TRIGGER own AFTER UPDATE ON t WHEN NEW.changed IS OLD.changed BEGIN UPDATE t SET changed = changed + 1 WHERE id = NEW.id; END",
}

func TestBothSidesAreTheSameOnEveryKindOfTable(t *testing.T) {
	t.Parallel()
	for name, table := range everyTable {
		for _, recursive := range []string{"on", "off"} {
			t.Run(name+", recursive triggers "+recursive, func(t *testing.T) {
				t.Parallel()
				b := on(t, "PRAGMA recursive_triggers = "+recursive, table)
				b.db.DB().SetMaxOpenConns(1) // the pragma is the connection's
				for i := range 250 {
					b.exec(fmt.Sprintf("INSERT INTO t (id, v) VALUES (%d, 'Row %d')", i, i))
				}
				before := b.shape()
				ops := []migrate.Op{migrate.ReplaceColumn{Table: "t", Old: "v", New: "n", Type: "TEXT", Up: "'<' || v || '>'", Down: "substr(n, 2, length(n) - 2)", NotNull: true}}
				b.reach(migrate.Ready, ops...)
				b.is("SELECT count(*) FROM t WHERE n = '<' || v || '>'", "250")
				b.exec("INSERT INTO t (id, v) VALUES (1000, 'old')")
				b.exec("INSERT INTO t (id, n) VALUES (1001, '<new>')")
				b.exec("UPDATE t SET v = 'old again' WHERE id = 1")
				b.exec("UPDATE t SET n = '<new again>' WHERE id = 2")
				b.exec("INSERT INTO t (id, v, n) VALUES (1002, 'both', '<both new>')")
				b.exec("UPDATE t SET w = 'w' WHERE id = 3")
				b.is("SELECT v || n FROM t WHERE id IN (1, 2, 3, 1000, 1001, 1002) ORDER BY CAST(id AS INTEGER)",
					"old again<old again>", "new again<new again>", "Row 3<Row 3>", "old<old>", "new<new>", "both new<both new>")
				if !strings.Contains(table, "'none'") {
					b.fails("INSERT INTO t (id, w) VALUES (2000, 'w')", "NOT NULL constraint failed")
				}
				b.fails("UPDATE t SET v = NULL WHERE id = 1", "NOT NULL constraint failed")
				b.fails("UPDATE t SET n = NULL WHERE id = 1", "NOT NULL constraint failed")
				b.rollback()
				if diff := cmp.Diff(before, b.shape()); diff != "" {
					t.Errorf("after the rollback (-before +after)\n%s", diff)
				}
				b.is("SELECT v FROM t WHERE id IN (2, 1001) ORDER BY length(v)", "new", "new again")
				b.reach(migrate.Done, ops...)
				b.is("SELECT n FROM t WHERE id IN (2, 1001) ORDER BY length(n)", "<new>", "<new again>")
				b.fails("INSERT INTO t (id, w) VALUES (2000, 'w')", "NOT NULL constraint failed")
			})
		}
	}
}

func TestAWordThatDoesNotComeBackTheSameIsKept(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, first TEXT, last TEXT)", "INSERT INTO t VALUES (1, 'Ann', 'Lee')")
	b.reach(migrate.Ready, migrate.ReplaceColumn{Table: "t", Old: "first", New: "name", Type: "TEXT", Up: "upper(first || ' ' || last)", Down: "substr(name, 1, instr(name, ' ') - 1)"})
	b.is("SELECT first || '/' || last || '/' || name FROM t", "Ann/Lee/ANN LEE") // not ANN/Lee
	b.exec("UPDATE t SET last = 'Roe'")
	b.is("SELECT first || '/' || name FROM t", "Ann/ANN ROE")
	b.exec("UPDATE t SET name = 'Bob Roe'")
	b.is("SELECT first || '/' || name FROM t", "Bob/Bob Roe") // not BOB ROE
	b.exec("UPDATE t SET first = 'Cid'")
	b.is("SELECT first || '/' || name FROM t", "Cid/CID ROE")
	b.exec("INSERT INTO t (id, name) VALUES (2, 'Dan Poe')")
	b.is("SELECT first || '/' || name FROM t WHERE id = 2", "Dan/Dan Poe")
}

func TestARenamedColumnKeepsItsPlaceAndAllThatIsOnIt(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'x' UNIQUE COLLATE NOCASE CHECK (a <> ''), z TEXT)", "INSERT INTO t (a) VALUES ('a'), ('b')", "CREATE INDEX i ON t (a, z)")
	b.reach(migrate.Ready, migrate.RenameColumn{Table: "t", Old: "a", New: "b"})
	b.is("SELECT b FROM t WHERE b = 'A'", "a")
	b.fails("INSERT INTO t (b) VALUES ('B')", "UNIQUE constraint failed")
	b.reach(migrate.Done, migrate.RenameColumn{Table: "t", Old: "a", New: "b"})
	b.is("SELECT name FROM pragma_table_info('t')", "id", "b", "z")
	b.is("SELECT sql FROM sqlite_schema WHERE name = 'i'", "CREATE INDEX i ON t (\"b\", z)")
	b.fails("INSERT INTO t (b) VALUES ('B')", "UNIQUE constraint failed")
	b.fails("UPDATE t SET b = NULL", "NOT NULL constraint failed")
}

func TestAChangedTypeRefusesWhatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT NOT NULL)", "INSERT INTO t VALUES (1, '12'), (2, '-7')")
	before := b.shape()
	op := migrate.ChangeType{Table: "t", Column: "n", Type: "INTEGER"}
	b.reach(migrate.Switched, op)
	b.exec("INSERT INTO t (id, n) VALUES (3, '5')")
	b.fails("INSERT INTO t (id, n) VALUES (4, 'five')", "does not convert")
	b.fails("UPDATE t SET n = '007'", "does not convert")
	b.rollback()
	if diff := cmp.Diff(before, b.shape()); diff != "" {
		t.Errorf("after the rollback (-before +after)\n%s", diff)
	}
	b.reach(migrate.Done, op)
	b.is("SELECT typeof(n) || n FROM t ORDER BY id", "integer12", "integer-7", "integer5")
	b.fails("UPDATE t SET n = NULL", "NOT NULL constraint failed")
}

func TestRowsThatDoNotConvertAreFoundBeforeTheNewVersionHasTraffic(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)", "INSERT INTO t VALUES (1, '12'), (2, 'twelve')")
	err := b.m.Reach(t.Context(), change(migrate.ChangeType{Table: "t", Column: "n", Type: "INTEGER"}), migrate.Ready)
	var diverged *migrate.DivergedError
	if !errors.As(err, &diverged) || diverged.Rows != 1 || !cmp.Equal(diverged.Sample, []string{"id=2"}) {
		t.Errorf("got error %v, want a *DivergedError of id=2", err)
	}
	b.rollback()
}

func TestSplitTablesAreWrittenInAnyOrder(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, street TEXT, city TEXT NOT NULL DEFAULT '?')", "INSERT INTO t VALUES (1, 'a', 's1', 'c1'), (2, 'b', NULL, '?')")
	before := b.shape()
	b.reach(migrate.Ready, migrate.SplitTable{Table: "t", Into: "address", Columns: []string{"street", "city"}})
	b.is("SELECT id || coalesce(street, '-') || city FROM address ORDER BY id", "1s1c1", "2-?")
	same := func(want ...string) {
		t.Helper()
		b.is("SELECT id || coalesce(street, '-') || city FROM t ORDER BY id", want...)
		b.is("SELECT id || coalesce(street, '-') || city FROM address ORDER BY id", want...)
	}
	b.exec("INSERT INTO t VALUES (3, 'old', 's3', 'c3')")
	b.exec("INSERT INTO t (id, name) VALUES (4, 'new')")
	b.exec("INSERT INTO address VALUES (4, 's4', 'c4')")
	b.exec("INSERT INTO address VALUES (5, 's5', 'c5')")
	b.exec("INSERT INTO t (id, name) VALUES (5, 'new, the other first')")
	b.exec("UPDATE t SET city = 'C1' WHERE id = 1")
	b.exec("UPDATE address SET street = 'S2' WHERE id = 2")
	b.exec("INSERT OR REPLACE INTO t VALUES (3, 'old again', 's33', 'c33')")
	same("1s1C1", "2S2?", "3s33c33", "4s4c4", "5s5c5")
	b.exec("DELETE FROM t WHERE id = 1")
	b.exec("UPDATE t SET id = 20 WHERE id = 2")
	same("3s33c33", "4s4c4", "5s5c5", "20S2?")
	b.exec("DELETE FROM address WHERE id = 5")
	b.is("SELECT coalesce(street, '-') || city FROM t WHERE id = 5", "-?")
	b.rollback()
	if diff := cmp.Diff(before, b.shape()); diff != "" {
		t.Errorf("after the rollback (-before +after)\n%s", diff)
	}
	b.is("SELECT street FROM t WHERE id = 4", "s4")
}

func TestAVacuumInTheMiddleLosesNoRow(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (v TEXT)",
		"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 2000) INSERT INTO t SELECT 'row ' || i FROM r", "DELETE FROM t WHERE rowid <= 1000")
	op := migrate.RenameColumn{Table: "t", Old: "v", New: "w"}
	vacuumed := false
	m, err := migrate.New(b.db, migrate.Options{Throttle: migrate.Throttle{Duty: 1, Batch: time.Nanosecond}, Observe: func(ctx context.Context, e migrate.Event) {
		if e.Kind == migrate.Advanced && e.Phase == migrate.Backfilling && !vacuumed {
			vacuumed = true
			b.exec("VACUUM")
		}
	}})
	if err == nil {
		err = m.Reach(t.Context(), change(op), migrate.Ready)
	}
	if err != nil || !vacuumed {
		t.Fatalf("vacuumed %v, %v", vacuumed, err)
	}
	b.is("SELECT count(*) FROM t WHERE w IS v", "1000")
}

func TestAPlanNamesTheOneLockAndTheIndexesThatGo(t *testing.T) {
	t.Parallel()
	b := on(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL)", "CREATE INDEX by_v ON t (v)", "INSERT INTO t (v) VALUES ('v')")
	p, err := b.m.Plan(t.Context(), change(migrate.ReplaceColumn{Table: "t", Old: "v", New: "w", Type: "TEXT"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"EXCLUSIVE on the whole file: stops writers", "index by_v goes with t.v", "DROP INDEX \"by_v\"", "rolling back"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("the plan does not say %q:\n%s", want, p)
		}
	}
}
