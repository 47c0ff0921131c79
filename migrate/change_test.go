// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/migrate"
)

// everything has each operation, with each field.
func everything() migrate.Change {
	return migrate.Change{
		ID: "all", App: "shop", New: []string{"v2"}, Unguarded: "a test", Soak: 90 * time.Minute,
		Ops: []migrate.Op{
			migrate.AddColumn{Table: "t", Column: "c", Type: "int", Default: "0"},
			migrate.ReplaceColumn{Table: "t", Old: "a", New: "b", Type: "text", Up: "upper(a)", Down: "lower(b)", Loses: "case", NotNull: true},
			migrate.RenameColumn{Table: "t", Old: "a", New: "b"},
			migrate.ChangeType{Table: "t", Column: "c", Type: "bigint", Up: "c * 2", Down: "c / 2"},
			migrate.Backfill{Table: "t", Column: "c", Value: "1", Where: "d"},
			migrate.MakeNotNull{Table: "t", Column: "c"},
			migrate.AddIndex{Table: "t", Name: "i", Columns: []string{"lower(c)"}, Unique: true, Where: "d"},
			migrate.AddForeignKey{Table: "t", Name: "f", Columns: []string{"c"}, To: "u", Refer: []string{"id"}, OnDelete: "CASCADE"},
			migrate.AddCheck{Table: "t", Name: "k", Holds: "c > 0"},
			migrate.SplitTable{Table: "t", Into: "u", Columns: []string{"c"}},
			migrate.DropColumn{Table: "t", Column: "c", Fill: "''"},
			migrate.DropTable{Table: "t"},
			migrate.SQL{Name: "n", Phase: migrate.Verifying, Do: []string{"do"}, Undo: []string{"undo"}, Alone: true, Holds: "holds", Safe: "yes"},
		},
	}
}

func TestAChangeIsTheSameAfterJSON(t *testing.T) {
	t.Parallel()
	want := everything()
	if err := want.Check(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got migrate.Change
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it is another one (-want +got):\n%s", diff)
	}
	before, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if after, err := got.Digest(); err != nil || before != after {
		t.Errorf("the digest went from %s to %s, %v", before, after, err)
	}
}

func TestWhatIsWrongWithAChangeIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{`{"id":"c","ops":[{"addColumn":{"Table":"t","Type":"x"}}]}`, "Ops[0] addColumn: field Column is missing"},
		{`{"ops":[{"dropTable":{"Table":"t"}}]}`, "ID is missing"},
		{`{"id":"c","ops":[]}`, "Ops is empty"},
		{`{"id":"c","app":"a","ops":[{"dropTable":{"Table":"t"}}]}`, "New is not: say which versions"},
		{`{"id":"c","soak":"-1s","ops":[{"dropTable":{"Table":"t"}}]}`, "Soak is below zero"},
		{`{"id":"c","soak":"soon","ops":[]}`, "change c: soak"},
		{`{"id":"c","ops":[{"dropTable":{"Table":"t"},"addColumn":{}}]}`, "ops[0] has 2 kinds, want one"},
		{`{"id":"c","ops":[{"dropTables":{"Table":"t"}}]}`, `no operation "dropTables"; there are addCheck`},
		{`{"id":"c","ops":[{"dropTable":{"Table":"t","Cascade":true}}]}`, `ops[0] dropTable: json: unknown field "Cascade"`},
		{`{"id":"c","new_":[],"ops":[]}`, `unknown field "new_"`},
		{`{"id":"c","ops":[{"replaceColumn":{"Table":"t","Old":"a","New":"a","Type":"x"}}]}`, "use ChangeType"},
		{`{"id":"c","ops":[{"replaceColumn":{"Table":"t","Old":"a","New":"b","Type":"x","Up":"1"}}]}`, "give Down, or say in Loses"},
		{`{"id":"c","ops":[{"addIndex":{"Table":"t","Name":"i","Columns":[" "]}}]}`, "field Columns is missing or has an empty element"},
		{`{"id":"c","ops":[{"addForeignKey":{"Table":"t","Name":"f","Columns":["a","b"],"To":"u","Refer":["c"]}}]}`, "Columns has 2 names and Refer 1"},
		{`{"id":"c","ops":[{"sql":{"Name":"n","Do":["x"]}}]}`, "field Undo is missing"},
		{`{"id":"c","ops":[{"sql":{"Name":"n","Do":["x"],"Undo":["y"],"Alone":true}}]}`, "field Holds is missing"},
		{`{"id":"c","ops":[{"sql":{"Name":"n","Phase":"ready","Do":["x"],"Undo":["y"]}}]}`, "field Phase: ready is none"},
		{`{"id":"c","ops":[{"sql":{"Name":"n","Phase":"later","Do":["x"],"Undo":["y"]}}]}`, `no phase "later"`},
	} {
		var c migrate.Change
		err := json.Unmarshal([]byte(tt.text), &c)
		if err == nil {
			err = c.Check()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "migrate: ") {
			t.Errorf("%s\n got error %v\nwant %s", tt.text, err, tt.want)
		}
	}
	if err := (migrate.Change{ID: "c", Ops: []migrate.Op{nil}}).Check(); err == nil || !strings.Contains(err.Error(), "Ops[0] is nil") {
		t.Errorf("an operation that is nil: %v", err)
	}
}

// golden compares text with a file, and writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if script.Update() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestAPlanSaysEverythingThatItsReaderDecidesBy(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/plan.golden", migrate.Plan{
		Database: "postgres", Change: migrate.Change{ID: "c"}, LockTimeout: 75 * time.Millisecond,
		Script: migrate.Script{
			Steps: []migrate.Step{
				{
					Phase: migrate.Expanding, Name: "add users.mail", Do: []string{"ALTER TABLE users\nADD mail text"},
					Locks: []migrate.Lock{{Table: "users", Mode: "ACCESS EXCLUSIVE", Reads: true, Writes: true, Brief: true}},
				},
				{
					Phase: migrate.Backfilling, Name: "fill users.mail", Rows: 2e6, Takes: 90 * time.Second, Log: 1.1e9, Grows: 5e7,
					Walk: &migrate.Walk{Table: "users", Method: "hot", Set: []migrate.Assign{{Column: "mail", Value: "email"}}, Pending: "mail IS NULL"},
				},
				{Phase: migrate.Backfilling, Name: "copy", Walk: &migrate.Walk{Table: "a", Into: "b", Columns: []string{"x", "y"}, Method: "copy", Pending: "true"}},
				{Phase: migrate.Verifying, Name: "verify users.mail", Walk: &migrate.Walk{Table: "users", Verify: true, Pending: "mail IS NULL"}},
				{
					Phase: migrate.Verifying, Name: "build i", Do: []string{"CREATE INDEX CONCURRENTLY i ON users (mail)"}, Alone: true, Holds: "SELECT true",
					Locks: []migrate.Lock{{Table: "users", Mode: "SHARE UPDATE EXCLUSIVE"}, {Table: "x", Mode: "SHARE", Writes: true}, {Table: "y", Mode: "READS", Reads: true}},
				},
				{Phase: migrate.Contracting, Name: "drop users.email", Do: []string{"ALTER TABLE users DROP email"}},
			},
			Notes: []migrate.Note{{Why: "two million rows", Fix: "take your time"}, {Why: "so it is"}},
			Loses: []string{"the case of mail"},
		},
	}.String())
}

func TestARecordOfTheFirstLayoutLoads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)
	want := migrate.Record{
		ID: "all", Kind: migrate.Coupled, Digest: "d", App: "shop", New: []string{"v2"}, Change: everything(),
		Script: migrate.Script{Steps: []migrate.Step{
			{Phase: migrate.Expanding, Op: 1, Name: "n", Do: []string{"do"}, Undo: []string{"undo"}, Locks: []migrate.Lock{{Table: "t", Mode: "m", Reads: true, Writes: true, Brief: true}}, Rows: 1, Grows: 2, Log: 3, Takes: 4},
			{Phase: migrate.Backfilling, Name: "w", Walk: &migrate.Walk{Table: "t", Method: "hot", Key: []string{"id"}, Set: []migrate.Assign{{Column: "c", Value: "1"}}, Pending: "p", Into: "u", Columns: []string{"c"}, Verify: true}},
			{Phase: migrate.Contracting, Name: "a", Do: []string{"do"}, Alone: true, Holds: "h", Clean: []string{"c"}},
		}, Notes: []migrate.Note{{Op: -1, Why: "w", Fix: "f"}}, Loses: []string{"l"}},
		State: migrate.State{
			Version: 1, Rev: 9, Phase: migrate.Soaking, Entered: map[migrate.Phase]time.Time{migrate.Expanding: at, migrate.Soaking: at},
			Steps:  []migrate.StepState{{Begun: true, Done: true, Took: 5}, {Done: true, Shards: 4}, {}},
			Hidden: true, Failed: "f", FailedUnder: 3, By: "ann",
		},
		Order:    migrate.Order{Want: migrate.Done, Force: true, Paused: true, By: "bob", Why: "w", N: 3},
		Progress: []migrate.Progress{{Step: 1, Rows: 1, Seen: 2, Total: 3, Share: 0.5, Worked: 4, Rate: 5, Left: 6, Done: true}},
		Owner:    "ann", Until: at,
	}
	text, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/record_v1.json", string(text)+"\n")
	old, err := os.ReadFile("testdata/record_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var got migrate.Record
	if err := json.Unmarshal(old, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it is another one (-want +got):\n%s", diff)
	}
}

func FuzzChange(f *testing.F) {
	text, err := json.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"id":"c","soak":"1h","ops":[{"sql":{"Name":"n","Do":["x"]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c, again migrate.Change
		if json.Unmarshal(text, &c) != nil {
			return
		}
		_ = c.Check()
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		a, errA := c.Digest()
		b, errB := again.Digest()
		if a != b || errA != nil || errB != nil {
			t.Fatalf("the digest went from %s (%v) to %s (%v)", a, errA, b, errB)
		}
	})
}

func FuzzRecord(f *testing.F) {
	old, err := os.ReadFile("testdata/record_v1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old)
	f.Add([]byte(`{"id":"c","state":{"version":2,"phase":"rollingBack","steps":[{}]},"order":{"want":"done"}}`))
	f.Add([]byte(`{"progress":[{"step":-1}],"state":{"phase":"soaking"},"order":{"want":"done"}}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		var r migrate.Record
		if json.Unmarshal(text, &r) == nil {
			_ = r.Explain() // whatever a record says, people can ask about it
		}
	})
}
