// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// lint is the rules that a script of one transaction breaks.
func lint(t *testing.T, d sqltext.Dialect, whole bool, scripts ...string) []string {
	t.Helper()
	l := sqltext.NewLinter(d)
	var got []string
	for _, text := range scripts {
		all, err := sqltext.Split(text, d, 1)
		if err != nil {
			t.Fatal(err)
		}
		findings, err := l.Lint(all, whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Why == "" || f.Fix == "" || f.Op == "" || f.Line == 0 {
				t.Errorf("%+v says too little", f)
			}
			got = append(got, f.Rule)
		}
	}
	return got
}

// TestRules reads testdata/lint.txt: a line with the database, one with the rules that are
// broken, and the script, up to an empty line.
func TestRules(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/lint.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		head, script, _ := strings.Cut(block, "\n")
		names, rules, _ := strings.Cut(head, ":")
		want := strings.Fields(rules)
		for name := range strings.FieldsSeq(names) {
			base, outside := strings.CutSuffix(name, "-outside")
			got := lint(t, sqltext.Of(base), !outside, script)
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
				t.Errorf("%s:\n%s\n(-want +got)\n%s", name, script, diff)
			}
			for _, rule := range got {
				seen[rule] = true
			}
		}
	}
	for _, rule := range sqltext.Rules() {
		if !seen[rule] {
			t.Errorf("no script breaks the rule %s", rule)
		}
	}
}

func TestWhatTheBatchHasMadeCanBeChangedAtWill(t *testing.T) {
	t.Parallel()
	first := "CREATE TABLE public.Users (id int); ALTER TABLE orders ADD COLUMN note text;"
	second := "CREATE INDEX i ON users (id); ALTER TABLE \"users\" ADD COLUMN a int NOT NULL, DROP COLUMN b; UPDATE users SET a = 1; DROP TABLE users"
	if got := lint(t, sqltext.Postgres, true, first, second); len(got) > 0 {
		t.Errorf("got %v for a new table", got)
	}
	if got := lint(t, sqltext.Postgres, true, second); len(got) < 4 {
		t.Errorf("got %v for an old table", got)
	}
	if got := lint(t, sqltext.Postgres, true, first, "ALTER TABLE orders DROP COLUMN note"); len(got) > 0 {
		t.Errorf("got %v for a new column", got)
	}
	if got := lint(t, sqltext.Postgres, true, first, "DROP TABLE users", "DROP TABLE users"); len(got) != 1 {
		t.Errorf("got %v for a table that is not new any more", got)
	}
	if got := lint(t, sqltext.Postgres, true, "CREATE TABLE IF NOT EXISTS users (id int)", "DROP TABLE users"); len(got) != 1 {
		t.Errorf("got %v for a table that may be old", got)
	}
	if got := lint(t, sqltext.Postgres, true, "CREATE TABLE other.users (id int)", "DROP TABLE users"); len(got) != 1 {
		t.Errorf("got %v for a table of another schema", got)
	}
}

func TestNotNullAfterAValidatedCheckIsSafe(t *testing.T) {
	t.Parallel()
	add, validate, set := "ALTER TABLE users ADD CONSTRAINT c CHECK (email IS NOT NULL) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT c", "ALTER TABLE users ALTER email SET NOT NULL"
	if got := lint(t, sqltext.Postgres, true, add, validate, set); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := lint(t, sqltext.Postgres, true, add, set); !slices.Equal(got, []string{"set-not-null"}) {
		t.Errorf("without the validation: got %v", got)
	}
	if got := lint(t, sqltext.Postgres, true, add, validate, "ALTER TABLE users ALTER name SET NOT NULL"); !slices.Equal(got, []string{"set-not-null"}) {
		t.Errorf("of another column: got %v", got)
	}
	if got := lint(t, sqltext.Postgres, true, add+";"+validate); !slices.Equal(got, []string{"long-lock"}) {
		t.Errorf("in one transaction: got %v", got)
	}
}

func TestACommentAllowsOneRuleForOneStatement(t *testing.T) {
	t.Parallel()
	if got := lint(t, sqltext.Postgres, true, "-- migrate:allow drop-column nobody has read it since v41\nALTER TABLE users DROP COLUMN email"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := lint(t, sqltext.Postgres, true, "-- migrate:allow drop-table because\nALTER TABLE users DROP COLUMN email"); len(got) != 1 {
		t.Errorf("another rule: got %v", got)
	}
	if got := lint(t, sqltext.Postgres, true, "-- migrate:allow drop-column because\nALTER TABLE users DROP COLUMN email;\nALTER TABLE users DROP COLUMN name"); len(got) != 1 {
		t.Errorf("another statement: got %v", got)
	}
	for text, want := range map[string]string{
		"\n-- migrate:allow\nSELECT 1":                       "line 2: migrate:allow names no rule",
		"\n-- migrate:allow everything please\nSELECT 1":     `there is no rule "everything"`,
		"\n/* migrate:allow drop-table */\nDROP TABLE users": "gives no reason",
	} {
		all, err := sqltext.Split(text, sqltext.Postgres, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sqltext.NewLinter(sqltext.Postgres).Lint(all, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", text, err, want)
		}
	}
}

func TestTheShortFormHasNoLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ALTER ROLE app PASSWORD 'secret' VALID":             "ALTER ROLE app PASSWORD …",
		"ALTER ROLE app PASSWORD $$secret$$":                 "ALTER ROLE app PASSWORD …",
		"SELECT\n  a . b -- c\n FROM t":                      "SELECT a . b FROM t",
		"SELECT " + strings.Repeat("x", 100):                 "SELECT …",
		"CREATE TABLE a(b int, c varchar(10) DEFAULT E'pw')": "CREATE TABLE a(b int, c varchar(10) DEFAULT E …",
	} {
		all, err := sqltext.Split(text, sqltext.Postgres, 1)
		if err != nil || len(all) != 1 {
			t.Fatal(err)
		}
		if got := all[0].Short(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestHowADoubtIsSettled(t *testing.T) {
	t.Parallel()
	const pg, my = sqltext.Postgres, sqltext.MySQL
	schema := " FROM information_schema."
	for _, test := range []struct {
		d    sqltext.Dialect
		text string
		want sqltext.Recheck
	}{
		{pg, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS Some_Index ON app.Users (x)", sqltext.Recheck{
			Holds: `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"app"."some_index"') AND indisvalid)`,
			Clean: []string{`DROP INDEX CONCURRENTLY IF EXISTS "app"."some_index"`}, Again: true,
		}},
		{pg, "CREATE INDEX CONCURRENTLY ON users (x)", sqltext.Recheck{}},
		{pg, `CREATE INDEX CONCURRENTLY "It's" ON users (x)`, sqltext.Recheck{
			Holds: `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"It''s"') AND indisvalid)`,
			Clean: []string{`DROP INDEX CONCURRENTLY IF EXISTS "It's"`},
		}},
		{pg, "DROP INDEX CONCURRENTLY i", sqltext.Recheck{Holds: `SELECT to_regclass('"i"') IS NULL`}},
		{pg, "VACUUM users", sqltext.Recheck{Again: true}},
		{pg, "CALL refill()", sqltext.Recheck{}},
		{my, "CREATE TABLE Users (id int)", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "tables WHERE table_schema = DATABASE() AND table_name = 'Users')"}},
		{my, "CREATE TABLE IF NOT EXISTS `app`.`t` (id int)", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "tables WHERE table_schema = 'app' AND table_name = 't')", Again: true}},
		{my, "DROP TABLE t", sqltext.Recheck{Holds: "SELECT NOT EXISTS (SELECT 1" + schema + "tables WHERE table_schema = DATABASE() AND table_name = 't')"}},
		{my, "ALTER TABLE t ADD COLUMN c int, ADD d int, ALGORITHM=INSTANT", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "columns WHERE table_schema = DATABASE() AND table_name = 't' AND column_name = 'c')"}},
		{my, "ALTER TABLE t DROP c", sqltext.Recheck{Holds: "SELECT NOT EXISTS (SELECT 1" + schema + "columns WHERE table_schema = DATABASE() AND table_name = 't' AND column_name = 'c')"}},
		{my, "ALTER TABLE t RENAME COLUMN a TO b", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "columns WHERE table_schema = DATABASE() AND table_name = 't' AND column_name = 'b')"}},
		{my, "ALTER TABLE t ADD UNIQUE KEY k (a)", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "statistics WHERE table_schema = DATABASE() AND table_name = 't' AND index_name = 'k')"}},
		{my, "CREATE INDEX i ON a.t (x)", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "statistics WHERE table_schema = 'a' AND table_name = 't' AND index_name = 'i')"}},
		{my, "ALTER TABLE t MODIFY a bigint, ALGORITHM=COPY", sqltext.Recheck{Again: true}},
		{my, "ALTER TABLE t CHANGE a a bigint", sqltext.Recheck{}},
		{my, "ALTER TABLE t DROP a, ADD a int", sqltext.Recheck{}},
		{my, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int", sqltext.Recheck{Again: true}},
		{my, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD INDEX b (a)", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "statistics WHERE table_schema = DATABASE() AND table_name = 't' AND index_name = 'b')"}},
		{my, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD CHECK (a > 0)", sqltext.Recheck{}},
		{my, "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (a)", sqltext.Recheck{}},
		{my, "RENAME TABLE a TO b", sqltext.Recheck{Holds: "SELECT EXISTS (SELECT 1" + schema + "tables WHERE table_schema = DATABASE() AND table_name = 'b')"}},
		{my, "CREATE OR REPLACE VIEW v AS SELECT 1", sqltext.Recheck{Again: true}},
		{my, "DROP TRIGGER IF EXISTS g", sqltext.Recheck{Again: true}},
		{my, "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1", sqltext.Recheck{}},
	} {
		all, err := sqltext.Split(test.text, test.d, 1)
		if err != nil || len(all) != 1 {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, all[0].Recheck(test.d)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.text, diff)
		}
	}
}

func TestWhichStatementsStandAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		d    sqltext.Dialect
		text string
		want bool
	}{
		{sqltext.Postgres, "ALTER TABLE t ADD c int", false},
		{sqltext.Postgres, "CREATE INDEX i ON concurrently (c)", false},
		{sqltext.Postgres, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (c)", true},
		{sqltext.Postgres, "ALTER TABLE t DETACH PARTITION p CONCURRENTLY", true},
		{sqltext.Postgres, "VACUUM t", true},
		{sqltext.MySQL, "ALTER TABLE t ADD c int", true},
		{sqltext.MySQL, "UPDATE t SET c = 1", false},
		{sqltext.MySQL, "CALL p()", true},
		{sqltext.SQLite, "ALTER TABLE t ADD c int", false},
		{sqltext.SQLite, "VACUUM", true},
	} {
		all, err := sqltext.Split(test.text, test.d, 1)
		if err != nil || len(all) != 1 {
			t.Fatal(err)
		}
		if got := all[0].Alone(test.d); got != test.want {
			t.Errorf("%s: got %v", test.text, got)
		}
	}
}

func TestATransactionAroundTheWholeScriptIsOurs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"BEGIN; SELECT 1; SELECT 2; COMMIT;": 2, "BEGIN TRANSACTION; SELECT 1; END": 1, "START TRANSACTION; COMMIT": 0,
		"SELECT 1; COMMIT": 2, "BEGIN; SELECT 1": 2, "BEGIN": 1, "": 0,
	} {
		all, err := sqltext.Split(text, sqltext.Postgres, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(sqltext.Unwrap(all)); got != want {
			t.Errorf("%q: %d statements are left, want %d", text, got, want)
		}
	}
}

func FuzzLint(f *testing.F) {
	text, err := os.ReadFile("testdata/lint.txt")
	if err != nil {
		f.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		_, script, _ := strings.Cut(block, "\n")
		for d := range 4 {
			f.Add(script, uint8(d))
		}
	}
	f.Fuzz(func(_ *testing.T, text string, d uint8) {
		all, err := sqltext.Split(text, sqltext.Dialect(d%4), 1)
		if err != nil {
			return
		}
		for _, s := range all {
			_, _ = s.Recheck(sqltext.Dialect(d%4)), s.Short()
		}
		_, _ = sqltext.NewLinter(sqltext.Dialect(d%4)).Lint(sqltext.Unwrap(all), d < 8)
	})
}

func TestWhatStandsBetweenGoosesAnnotationsIsReadToo(t *testing.T) {
	t.Parallel()
	text := "-- +goose StatementBegin\nSELECT 1;\n-- migrate:allow drop-table it is empty\nDROP TABLE b\n-- +goose StatementEnd"
	if got := lint(t, sqltext.Postgres, true, text); len(got) > 0 {
		t.Errorf("an allowance within: got %v", got)
	}
	text = strings.Replace(text, "-- migrate:allow drop-table it is empty\n", "", 1)
	if got := lint(t, sqltext.Postgres, true, text); !slices.Equal(got, []string{"drop-table"}) {
		t.Errorf("got %v", got)
	}
	routine := "-- +goose StatementBegin\nCREATE PROCEDURE p() BEGIN DROP TABLE a; COMMIT; END;\n-- +goose StatementEnd"
	if got := lint(t, sqltext.MySQL, true, routine); len(got) > 0 {
		t.Errorf("a routine's body: got %v", got)
	}
}

func TestWhatTheDatabaseMayAnswerForItself(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		d    sqltext.Dialect
		text string
		want []string
	}{
		{sqltext.Postgres, `ALTER TABLE Shop."Users" ALTER Email SET NOT NULL`, []string{
			`SELECT to_regclass('"shop"."Users"') IS NULL`,
			`SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('"shop"."Users"') AND convalidated AND pg_get_constraintdef(oid) = 'CHECK ((email IS NOT NULL))')`,
			`SELECT NOT EXISTS (SELECT 1 FROM "shop"."Users")`,
		}},
		{sqltext.Postgres, "DROP TABLE users", []string{`SELECT to_regclass('"users"') IS NULL`}},
		{sqltext.MySQL, "ALTER TABLE Users MODIFY a int, ALGORITHM=INPLACE", []string{
			"SELECT NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'Users')", "SELECT NOT EXISTS (SELECT 1 FROM `Users`)",
		}},
		{sqltext.SQLite, "DELETE FROM users", []string{"SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'users' COLLATE NOCASE)", `SELECT NOT EXISTS (SELECT 1 FROM "users")`}},
		{sqltext.Postgres, "COMMIT", nil},
		{sqltext.Postgres, "VACUUM FULL", nil},
	} {
		all, err := sqltext.Split(test.text, test.d, 1)
		if err != nil {
			t.Fatal(err)
		}
		findings, err := sqltext.NewLinter(test.d).Lint(all, false)
		if err != nil || len(findings) != 1 {
			t.Fatal(findings, err)
		}
		if diff := cmp.Diff(test.want, findings[0].Unless(test.d)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.text, diff)
		}
	}
}
