// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

const (
	any4   = -1 // every dialect
	proc   = "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT CASE 1 WHEN 1 THEN 2 END; END IF; WHILE 0 DO BEGIN SELECT 1; END; END WHILE; CASE 1 WHEN 1 THEN SELECT 1; END CASE; END"
	trig   = "CREATE TEMP TRIGGER t AFTER UPDATE ON a WHEN CASE WHEN 1 THEN 1 END BEGIN UPDATE a SET x = CASE WHEN 1 THEN 2 ELSE 3 END; SELECT new.end, new.begin; END"
	atomic = "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END"
)

func TestAScriptIsSplitWhereItsDatabaseWould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		d    int
		text string
		want []string
	}{
		{"nothing", any4, " \n-- a;\n/* b; */;;", nil},
		{"two", any4, "SELECT 1;\nSELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"comments around", any4, "-- a\nSELECT /* in; */ 1 -- b;\n ; /* c */", []string{"SELECT /* in; */ 1"}},
		{"strings", any4, "SELECT 'a;''b;', \"c;\"\"d\";x", []string{"SELECT 'a;''b;', \"c;\"\"d\"", "x"}},
		{"backslash, not an escape", int(sqltext.Postgres), `SELECT 'a\';b`, []string{`SELECT 'a\'`, "b"}},
		{"backslash, an escape", int(sqltext.MySQL), `SELECT 'a\';b', "\";"`, []string{`SELECT 'a\';b', "\";"`}},
		{"E string", int(sqltext.Postgres), `SELECT e'a\';b'; x`, []string{`SELECT e'a\';b'`, "x"}},
		{"a name that ends in e", int(sqltext.Postgres), `SELECT date'a\'; x`, []string{`SELECT date'a\'`, "x"}},
		{"dollar", int(sqltext.Postgres), "DO $$ a; $b$ $$; SELECT $x$;$$;$x$, $1; a$b$;c", []string{"DO $$ a; $b$ $$", "SELECT $x$;$$;$x$, $1", "a$b$", "c"}},
		{"nested comment", int(sqltext.Postgres), "/* a /* b */ ; */ SELECT 1", []string{"SELECT 1"}},
		{"comment that does not nest", int(sqltext.MySQL), "/* a /* b */ SELECT 1; # c;\n-- d;\nSELECT 1--1;", []string{"SELECT 1", "SELECT 1--1"}},
		{"comment that runs", int(sqltext.MySQL), "/*!40101 SET a=1; */;x", []string{"/*!40101 SET a=1; */", "x"}},
		{"quoted names", int(sqltext.SQLite), "SELECT `a;`, [b;], \"c;\"; x", []string{"SELECT `a;`, [b;], \"c;\"", "x"}},
		{"arrays", int(sqltext.Postgres), "SELECT a[1]; SELECT ARRAY['x']; b", []string{"SELECT a[1]", "SELECT ARRAY['x']", "b"}},
		{"delimiter", int(sqltext.MySQL), "DELIMITER //\nCREATE TRIGGER a BEGIN x; END//\nDELIMITER ;\nb;", []string{"CREATE TRIGGER a BEGIN x; END", "b"}},
		{"delimiter of dollars", int(sqltext.MySQL), "delimiter $$\na; b$$\nc$$ \ndelimiter ;", []string{"a; b", "c"}},
		{"trigger", int(sqltext.SQLite), trig + "; x", []string{trig, "x"}},
		{"trigger, not known whose", int(sqltext.Generic), trig + "; x", []string{trig, "x"}},
		{"a transaction is no body", int(sqltext.SQLite), "BEGIN; x; END; CREATE TABLE trigger_log(a); y", []string{"BEGIN", "x", "END", "CREATE TABLE trigger_log(a)", "y"}},
		{"procedure", int(sqltext.MySQL), proc + "; x", []string{proc, "x"}},
		{"trigger of one statement", int(sqltext.MySQL), "CREATE TRIGGER a BEFORE INSERT ON b FOR EACH ROW SET NEW.x = 1; y", []string{"CREATE TRIGGER a BEFORE INSERT ON b FOR EACH ROW SET NEW.x = 1", "y"}},
		{"atomic", int(sqltext.Postgres), atomic + "; x", []string{atomic, "x"}},
		{"goose", any4, "a;\n-- +goose StatementBegin\nb; -- c\n'd;\n-- +goose StatementEnd\ne", []string{"a", "b; -- c\n'd", "e"}},
	} {
		dialects := []sqltext.Dialect{sqltext.Dialect(max(c.d, 0))}
		if c.d == any4 {
			dialects = []sqltext.Dialect{sqltext.Generic, sqltext.Postgres, sqltext.MySQL, sqltext.SQLite}
		}
		for _, d := range dialects {
			all, err := sqltext.Split(c.text, d, 1)
			var got []string
			for _, s := range all {
				got = append(got, s.Text)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s (dialect %d): got %q, %v\nwant %q", c.name, d, got, err, c.want)
			}
		}
	}
}

func TestAStatementKnowsItsLineAndItsWords(t *testing.T) {
	t.Parallel()
	all, err := sqltext.Split("-- a\n/* b\n */ create unique /* c */\nindex \"x\"\n;\n'\n';z", sqltext.Postgres, 10)
	if err != nil || len(all) != 3 || all[0].Line != 12 || all[1].Line != 15 || all[2].Line != 16 {
		t.Fatalf("%+v, %v", all, err)
	}
	if want := []string{"CREATE", "UNIQUE", "INDEX"}; !slices.Equal(all[0].Words, want) {
		t.Errorf("words %q, want %q", all[0].Words, want)
	}
}

func TestWhatHasNoEndIsAnErrorOnTheLineWhereItBegan(t *testing.T) {
	t.Parallel()
	for text, line := range map[string]int{
		"\n'a":    2,
		"\n\"a\n": 2, "a;\n$x$ b $y$": 2, "/* /* */\n": 1, "\\c other\n": 1,
		"\n-- +goose StatementBegin\na": 2, "\n\n-- +goose StatementEnd": 3,
		"\nCREATE FUNCTION f() BEGIN ATOMIC SELECT 1;\n": 2,
	} {
		_, err := sqltext.Split(text, sqltext.Postgres, 1)
		var e *sqltext.Error
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v, want line %d", text, err, line)
		}
	}
}

// FuzzSplit: a statement split again is itself, and what is left out is white or a comment.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"a;b", "'a;''", "$a$;$a$;x", "/* /* */ */ ;", trig + ";x", proc, atomic, "DELIMITER //\na//", "E'\\';'", "[;]`;`", "-- +goose StatementBegin\na;\n-- +goose StatementEnd"} {
		for d := range uint8(4) {
			f.Add(text, d)
		}
	}
	f.Fuzz(func(t *testing.T, text string, dialect uint8) {
		d := sqltext.Dialect(dialect % 4)
		all, err := sqltext.Split(text, d, 1)
		if err != nil {
			return
		}
		line := 1
		for _, s := range all {
			if s.Line < line || s.Text == "" || !strings.Contains(text, s.Text) {
				t.Fatalf("%q: %+v after line %d", text, s, line)
			}
			line = s.Line
			if lower := strings.ToLower(text); strings.Contains(lower, "delimiter") || strings.Contains(lower, "goose") || d == sqltext.MySQL && strings.Contains(s.Text, "--") {
				continue
			}
			again, err := sqltext.Split(s.Text, d, s.Line)
			if err != nil || len(again) != 1 || again[0].Text != s.Text {
				t.Fatalf("%q again is %+v, %v", s.Text, again, err)
			}
		}
	})
}
