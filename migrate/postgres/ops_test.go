// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

const catalogSchema = `
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, age int NOT NULL, note text DEFAULT 'none', total int GENERATED ALWAYS AS (age * 2) STORED, doc json);
CREATE VIEW adults AS SELECT email FROM users WHERE age > 17;
CREATE INDEX users_note ON users (lower(note));
ALTER TABLE users ADD CONSTRAINT users_note_short CHECK (length(note) < 1000);
CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users, code text UNIQUE, plain text);
CREATE TABLE lines (id int PRIMARY KEY, code text REFERENCES orders (code));
CREATE TABLE events (id int, at date, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE SCHEMA sales;
CREATE TABLE sales."Ledger Book" ("Id" int PRIMARY KEY, "a""b" text, "select" text);
INSERT INTO users (age) VALUES (1);
INSERT INTO orders VALUES (1, 1, 'a', 'b')`

// TestWhatIsUnsafeIsRefused names, for each operation, a part of the reason.
func TestWhatIsUnsafeIsRefused(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	if _, err := p.Exec(t.Context(), catalogSchema); err != nil {
		t.Fatal(err)
	}
	sql := func(do string) migrate.SQL {
		return migrate.SQL{Name: "raw", Do: []string{do}, Undo: []string{"SELECT 1"}}
	}
	for _, c := range []struct {
		op  migrate.Op
		why string // empty is safe
	}{
		{migrate.AddColumn{Table: "nowhere", Column: "a", Type: "int"}, "no table nowhere"},
		{migrate.AddColumn{Table: "adults", Column: "a", Type: "int"}, "not a table"},
		{migrate.AddColumn{Table: "events_2026", Column: "a", Type: "int"}, "inherits"},
		{migrate.AddColumn{Table: "users", Column: "email", Type: "int"}, "already"},
		{migrate.AddColumn{Table: "users", Column: "a", Type: "int NOT NULL"}, "syntax error"},
		{migrate.AddColumn{Table: "users", Column: "a", Type: "sometype"}, "does not exist"},
		{migrate.AddColumn{Table: "users", Column: "a", Type: "float8", Default: "random()"}, "not constant"},
		{migrate.AddColumn{Table: "users", Column: "a", Type: "int", Default: "1); DROP TABLE users; --"}, "syntax error"},
		{migrate.AddColumn{Table: "sales.Ledger Book", Column: "a b", Type: "numeric(10, 2)", Default: "0"}, ""},
		{migrate.RenameColumn{Table: "users", Old: "id", New: "key"}, "primary key"},
		{migrate.RenameColumn{Table: "users", Old: "email", New: "mail"}, "view public.adults"},
		{migrate.RenameColumn{Table: "users", Old: "total", New: "sum"}, "generated"},
		{migrate.RenameColumn{Table: "users", Old: "age", New: "years"}, "total"},
		{migrate.RenameColumn{Table: "orders", Old: "code", New: "name"}, "lines_code_fkey"},
		{migrate.RenameColumn{Table: "users", Old: "doc", New: "document"}, ""},
		{migrate.RenameColumn{Table: "events", Old: "what", New: "kind"}, ""},
		{migrate.RenameColumn{Table: "sales.Ledger Book", Old: `a"b`, New: "limit"}, ""},
		{migrate.ReplaceColumn{Table: "users", Old: "note", New: "memo", Type: "text", Up: "note || random()", Down: "memo"}, "another value each time"},
		{migrate.ReplaceColumn{Table: "users", Old: "note", New: "memo", Type: "text", Up: "max(note)", Down: "memo"}, "aggregate"},
		{migrate.ReplaceColumn{Table: "users", Old: "note", New: "memo", Type: "text", Up: "nothing", Down: "memo"}, "does not exist"},
		{migrate.ReplaceColumn{Table: "users", Old: "note", New: "memo", Type: "text", NotNull: true}, "old clients go on to write null"},
		{migrate.ReplaceColumn{Table: "users", Old: "note", New: "memo", Type: "text", Up: "coalesce(note, '')", Down: "memo", NotNull: true}, ""},
		{migrate.ReplaceColumn{Table: "orders", Old: "plain", New: "rich", Type: "text", Up: "upper(plain)", Loses: "upper case"}, ""},
		{migrate.ChangeType{Table: "orders", Column: "code", Type: "int"}, "lines_code_fkey"},
		{migrate.ChangeType{Table: "users", Column: "note", Type: "varchar(20)"}, "users_note"},
		{migrate.ChangeType{Table: "users", Column: "doc", Type: "int"}, "cannot cast"},
		{migrate.ChangeType{Table: "orders", Column: "plain", Type: "int"}, ""},
		{migrate.Backfill{Table: "users", Column: "note", Value: "random()::text", Where: "age > 3"}, "each time"},
		{migrate.Backfill{Table: "users", Column: "note", Value: "gen_random_uuid()::text"}, ""},
		{migrate.Backfill{Table: "orders", Column: "plain", Value: "(SELECT max(note) FROM users WHERE users.id = user_id)"}, ""},
		{migrate.Backfill{Table: "users", Column: "note", Value: "1", Where: "age"}, "not boolean"},
		{migrate.MakeNotNull{Table: "users", Column: "email"}, "without email"},
		{migrate.MakeNotNull{Table: "users", Column: "age"}, ""},
		{migrate.AddIndex{Table: "users", Name: "users_note", Columns: []string{"note"}}, "already"},
		{migrate.AddIndex{Table: "users", Name: "i", Columns: []string{"nothing"}}, "does not exist"},
		{migrate.AddIndex{Table: "users", Name: "i", Columns: []string{"(now())"}}, "IMMUTABLE"},
		{migrate.AddIndex{Table: "events", Name: "i", Columns: []string{"what"}}, "partitioned"},
		{migrate.AddIndex{Table: "sales.Ledger Book", Name: "An Index", Columns: []string{"select", `lower("a""b")`}, Where: `"Id" > 3`}, ""},
		{migrate.AddForeignKey{Table: "orders", Name: "f", Columns: []string{"plain"}, To: "users", Refer: []string{"email"}}, "unique"},
		{migrate.AddForeignKey{Table: "events", Name: "f", Columns: []string{"id"}, To: "users", Refer: []string{"id"}}, "partitioned"},
		{migrate.AddForeignKey{Table: "orders", Name: "orders_user_id_fkey", Columns: []string{"user_id"}, To: "users", Refer: []string{"id"}}, "already"},
		{migrate.AddCheck{Table: "users", Name: "users_note_short", Holds: "true"}, "already"},
		{migrate.AddCheck{Table: "users", Name: "c", Holds: "age > (SELECT 1)"}, "from the row alone"},
		{migrate.AddCheck{Table: "users", Name: "c", Holds: "age"}, "not boolean"},
		{migrate.SplitTable{Table: "users", Into: "orders", Columns: []string{"doc"}}, "already"},
		{migrate.SplitTable{Table: "users", Into: "notes", Columns: []string{"note"}}, "default"},
		{migrate.DropColumn{Table: "users", Column: "email"}, "view public.adults"},
		{migrate.DropColumn{Table: "users", Column: "total"}, ""},
		{migrate.DropTable{Table: "users"}, "view public.adults"},
		{migrate.DropTable{Table: "orders"}, "lines_code_fkey"},
		{migrate.DropTable{Table: "lines"}, ""},
		{sql("CREATE INDEX i ON users (note)"), "CREATE INDEX"},
		{sql("ALTER TABLE orders ALTER COLUMN plain TYPE int USING plain::int"), "ALTER TABLE"},
		{sql("CREATE TABLE fresh (id int)"), ""},
	} {
		_, err := db.Compile(t.Context(), migrate.Change{ID: "c", Ops: []migrate.Op{c.op}})
		var unsafe *migrate.UnsafeError
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%T%+v: %v", c.op, c.op, err)
		case c.why == "":
		case !errors.As(err, &unsafe) || unsafe.Op == "" || unsafe.Why == "":
			t.Errorf("%T%+v: got %v, want an *UnsafeError", c.op, c.op, err)
		case !strings.Contains(err.Error(), c.why):
			t.Errorf("%T%+v: got %q, want %q in it", c.op, c.op, err, c.why)
		}
	}
}

// TestAnExpressionMeansTheSameUnderAnySearchPath freezes names as they were when it was planned.
func TestAnExpressionMeansTheSameUnderAnySearchPath(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	if _, err := p.Exec(t.Context(), `
CREATE TABLE users (id int PRIMARY KEY, email text);
CREATE FUNCTION normal(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.lower($1)';
CREATE SCHEMA evil;
CREATE FUNCTION evil.normal(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''evil''';
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''evil'''`); err != nil {
		t.Fatal(err)
	}
	script, err := db.Compile(t.Context(), migrate.Change{ID: "path", Ops: []migrate.Op{
		migrate.ReplaceColumn{Table: "users", Old: "email", New: "mail", Type: "text", Up: "normal(email) || lower('X')", Down: "rtrim(mail, 'x')"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	run := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	for _, s := range script.Steps {
		if s.Phase <= migrate.Syncing {
			run(s.Do...)
		}
	}
	run("SET search_path = evil, public", "INSERT INTO users VALUES (1, 'Ann')")
	var mail string
	if err := conn.QueryRow(t.Context(), "SELECT mail FROM public.users").Scan(&mail); err != nil || mail != "annx" {
		t.Errorf("the new column is %q (%v), want annx", mail, err)
	}
	run("UPDATE users SET mail = 'bobx'", "RESET search_path")
	var email string
	if err := conn.QueryRow(t.Context(), "SELECT email FROM users").Scan(&email); err != nil || email != "bob" {
		t.Errorf("the old column is %q (%v), want bob", email, err)
	}
}

// TestAPlanTellsWhatDoesNotComeAlong looks for what whoever approves a change has to know.
func TestAPlanTellsWhatDoesNotComeAlong(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	if _, err := p.Exec(t.Context(), catalogSchema+`;
CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER loud BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION quiet();
GRANT SELECT (note) ON users TO PUBLIC;
INSERT INTO users (age) SELECT 1 FROM generate_series(1, 20000); ANALYZE users`); err != nil {
		t.Fatal(err)
	}
	script, err := db.Compile(t.Context(), migrate.Change{ID: "notes", Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: "note", New: "memo"}}})
	if err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprint(script.Notes)
	for _, want := range []string{"users_note ", "users_note_short", "loud", "rights on column note"} {
		if !strings.Contains(told, want) {
			t.Errorf("nothing says %q: %s", want, told)
		}
	}
	i := slices.IndexFunc(script.Steps, func(s migrate.Step) bool { return s.Walk != nil && !s.Walk.Verify })
	if s := script.Steps[i]; s.Rows < 19_000 || s.Log == 0 || s.Grows == 0 || s.Takes == 0 {
		t.Errorf("the backfill is estimated at %+v", s)
	}
	// The default, and nothing else, comes along by itself.
	last := script.Steps[len(script.Steps)-1]
	if !slices.ContainsFunc(last.Do, func(s string) bool { return strings.Contains(s, "memo SET DEFAULT ('none'::text)") }) {
		t.Errorf("the default is lost: %q", last.Do)
	}
}
