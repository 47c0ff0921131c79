// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// committing is a database that commits DDL by itself.
type committing struct{ *migrate.Memory }

func (committing) CommitsDDL() bool { return true }

func runner(t *testing.T, db migrate.Database, owner string) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(db, migrate.Options{Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func setOf(t *testing.T, of map[string]string) migrate.Set {
	t.Helper()
	set, err := migrate.ReadDir(files(of), ".")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var story = map[string]string{
	"1-a.up.sql": "CREATE A;\nINSERT A;", "1-a.down.sql": "DROP A;",
	"2-b.sql":    "-- +goose NO TRANSACTION\n-- +goose Up\nINDEX B1;\nINDEX B2;\n-- +goose Down\nUNINDEX B2;\nUNINDEX B1;",
	"3-c.up.sql": "CREATE C", "3-c.down.sql": "DROP C",
}

var (
	storyUp   = []string{"CREATE A", "INSERT A", "INDEX B1", "INDEX B2", "CREATE C"}
	storyDown = []string{"DROP C", "UNINDEX B2", "UNINDEX B1", "DROP A"}
)

func states(t *testing.T, m *migrate.Migrator, set migrate.Set) string {
	t.Helper()
	all, err := m.Status(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s %s,", s.ID, s.State)
	}
	return b.String()
}

func TestUpAppliesWhatIsNotAppliedAndDownTakesBackTheLast(t *testing.T) {
	t.Parallel()
	db := migrate.NewMemory()
	m, set, ctx := runner(t, db, "a"), setOf(t, story), t.Context()
	if runs, err := m.Up(ctx, set, migrate.UpOptions{DryRun: true}); err != nil || len(runs) != 3 || !runs[1].Alone || len(db.Statements()) > 0 {
		t.Fatalf("dry: %+v, %v", runs, err)
	}
	if runs, err := m.Up(ctx, set, migrate.UpOptions{Limit: 2}); err != nil || len(runs) != 2 {
		t.Fatalf("%+v, %v", runs, err)
	}
	if got, want := states(t, m, set), "1-a applied,2-b applied,3-c pending,"; got != want {
		t.Errorf("status %s, want %s", got, want)
	}
	for range 2 {
		if _, err := m.Up(ctx, set, migrate.UpOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.Statements(); !slices.Equal(got, storyUp) {
		t.Errorf("up did %q", got)
	}
	if runs, err := m.Down(ctx, set, 9); err != nil || len(runs) != 3 || !runs[0].Down || runs[0].ID != "3-c" {
		t.Errorf("down: %+v, %v", runs, err)
	}
	if got := db.Statements()[len(storyUp):]; !slices.Equal(got, storyDown) {
		t.Errorf("down did %q", got)
	}
	if runs, err := m.Up(ctx, set, migrate.UpOptions{}); err != nil || len(runs) != 3 {
		t.Errorf("up again: %+v, %v", runs, err)
	}
}

func TestACrashAtAnyCallLosesNothingAndDoesNothingTwice(t *testing.T) {
	t.Parallel()
	killed, unresolved := errors.New("killed"), 0
	play := func(t *testing.T, own, after bool, at int, fault error) (calls int) {
		t.Helper()
		mem := migrate.NewMemory()
		var db migrate.Database = mem
		if own {
			db = committing{mem}
		}
		hook := func(_ context.Context, call string) error {
			if call == "Close" {
				return nil
			}
			if calls++; calls == at {
				return fault
			}
			return nil
		}
		if after {
			mem.After = hook
		} else {
			mem.Before = hook
		}
		set := setOf(t, story)
		until := func(want []string, do func(*migrate.Migrator) error) {
			from := len(want)
			for try := 0; ; try++ {
				m := runner(t, db, fmt.Sprint("owner", try))
				err := do(m)
				if err == nil {
					break
				}
				if try > 4 {
					t.Fatalf("own %t, after %t, call %d: %v", own, after, at, err)
				}
				if !errors.Is(fault, killed) && !errors.Is(err, migrate.ErrUnresolved) {
					t.Fatalf("own %t, after %t, call %d: a call that may be tried again is not: %v", own, after, at, err)
				}
				if errors.Is(err, migrate.ErrUnresolved) {
					if errors.Is(fault, killed) { // the next process must not guess
						unresolved++
					}
					resolve(t, m, mem, set)
				}
				time.Sleep(time.Minute) // the lease of the one that died
			}
			if got := mem.Statements(); !slices.Equal(got[len(got)-min(from, len(got)):], want) {
				t.Fatalf("own %t, after %t, call %d (%v): did %q", own, after, at, fault, got)
			}
		}
		until(storyUp, func(m *migrate.Migrator) error { _, err := m.Up(t.Context(), set, migrate.UpOptions{}); return err })
		until(storyDown, func(m *migrate.Migrator) error {
			all, err := m.Status(t.Context(), set)
			if err == nil {
				n := len(slices.DeleteFunc(all, func(s migrate.MigrationStatus) bool { return s.State == migrate.MigrationPending }))
				if n > 0 {
					_, err = m.Down(t.Context(), set, n)
				}
			}
			return err
		})
		if n := len(mem.Statements()); n != len(storyUp)+len(storyDown) {
			t.Fatalf("own %t, after %t, call %d (%v): %d statements", own, after, at, fault, n)
		}
		return calls
	}
	for _, own := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for _, fault := range []error{killed, driver.ErrBadConn, migrate.ErrLockTimeout} {
				for at, calls := 1, 1; at <= calls; at++ {
					synctest.Test(t, func(t *testing.T) { calls = play(t, own, after, at, fault) })
				}
			}
		}
	}
	if unresolved == 0 {
		t.Error("a statement that was begun is guessed to be done, or not")
	}
}

// resolve looks whether the statement was done, as a person would.
func resolve(t *testing.T, m *migrate.Migrator, db *migrate.Memory, set migrate.Set) {
	t.Helper()
	all, err := m.Status(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.State != migrate.MigrationUnresolved {
			continue
		}
		r, err := m.Record(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.State.Steps, func(s migrate.StepState) bool { return s.Begun && !s.Done })
		step := r.Script.Steps[i]
		done := slices.Contains(db.Statements(), append(step.Do, step.Undo...)[0])
		if err := m.Resolve(t.Context(), s.ID, done); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatDoesNotFitTheHistoryIsRefusedByName(t *testing.T) {
	t.Parallel()
	edit := func(name, text string) map[string]string {
		of := maps.Clone(story)
		if delete(of, name); text != "" {
			of[name] = text
		}
		return of
	}
	for _, c := range []struct {
		why    string
		files  map[string]string
		is     error
		want   string
		status string
	}{
		{"edited", edit("1-a.up.sql", "CREATE B"), migrate.ErrChecksum, "1-a.up.sql", "1-a edited,2-b applied,3-c applied,"},
		{"other ends of lines", edit("1-a.up.sql", "CREATE A;\r\nINSERT A;"), nil, "", "1-a applied,2-b applied,3-c applied,"},
		{"another down", edit("1-a.down.sql", "DROP A CASCADE"), nil, "", "1-a applied,2-b applied,3-c applied,"},
		{"missing", edit("2-b.sql", ""), nil, "", "1-a applied,2-b missing,3-c applied,"},
		{"a transaction inside", edit("4-d.up.sql", "a;\nCOMMIT;\nb"), nil, "migrate: 4-d.up.sql:2: COMMIT would end", ""},
		{"a quote without end", edit("4-d.up.sql", "a;\n'b"), nil, "migrate: 4-d.up.sql:2: ' without", ""},
	} {
		db := migrate.NewMemory()
		m := runner(t, db, "a")
		if _, err := m.Up(t.Context(), setOf(t, story), migrate.UpOptions{}); err != nil {
			t.Fatal(err)
		}
		set := setOf(t, c.files)
		_, err := m.Up(t.Context(), set, migrate.UpOptions{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.why, err)
		}
		if got := states(t, m, set); c.status != "" && got != c.status {
			t.Errorf("%s: status %s", c.why, got)
		}
		if n := len(db.Statements()); n != len(storyUp) {
			t.Errorf("%s: %d statements", c.why, n)
		}
	}
}

func TestALateMigrationIsAppliedOnlyWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	m, ctx := runner(t, migrate.NewMemory(), "a"), t.Context()
	if _, err := m.Up(ctx, setOf(t, map[string]string{"1-a.up.sql": "A", "3-c.up.sql": "C"}), migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	set := setOf(t, map[string]string{"1-a.up.sql": "A", "2-b.up.sql": "B", "3-c.up.sql": "C"})
	if got := states(t, m, set); got != "1-a applied,2-b late,3-c applied," {
		t.Errorf("status %s", got)
	}
	if _, err := m.Up(ctx, set, migrate.UpOptions{}); !errors.Is(err, migrate.ErrOutOfOrder) || !strings.Contains(err.Error(), "2-b.up.sql") {
		t.Errorf("it is %v", err)
	}
	if runs, err := m.Up(ctx, set, migrate.UpOptions{OutOfOrder: true}); err != nil || len(runs) != 1 {
		t.Errorf("allowed: %+v, %v", runs, err)
	}
	if _, err := m.Down(ctx, set, 1); err == nil || !strings.Contains(err.Error(), "2-b: nothing says how to take it back") {
		t.Errorf("down without a down: %v", err)
	}
}

func TestDownOfWhatIsGoneOrEditedIsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	db := migrate.NewMemory()
	m := runner(t, db, "a")
	if _, err := m.Up(t.Context(), setOf(t, story), migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Down(t.Context(), migrate.Set{}, 3); err != nil {
		t.Fatal(err)
	}
	if got := db.Statements()[len(storyUp):]; !slices.Equal(got, storyDown) {
		t.Errorf("down did %q", got)
	}
}

func TestAFunctionIsPartOfTheTransaction(t *testing.T) {
	t.Parallel()
	m, ctx := runner(t, migrate.NewMemory(), "a"), t.Context()
	refuse := errors.New("no")
	var set migrate.Set
	err := set.Add(migrate.Migration{ID: "1-go", Up: migrate.Part{Func: func(context.Context, *sql.Tx) error { return refuse }}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(ctx, set, migrate.UpOptions{}); !errors.Is(err, refuse) || !strings.Contains(err.Error(), "1-go: up") {
		t.Errorf("it is %v", err)
	}
	if all, err := m.Status(ctx, set); err != nil || all[0].State != migrate.MigrationPending || !strings.Contains(all[0].Why, "no") {
		t.Errorf("status %+v, %v", all, err)
	}
	refuse = nil
	if runs, err := m.Up(ctx, set, migrate.UpOptions{}); err != nil || len(runs) != 1 {
		t.Errorf("%+v, %v", runs, err)
	}
}

func TestOneProcessAtATimeGoesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := migrate.NewMemory()
		set := setOf(t, story)
		errs := make(chan error)
		for i := range 8 {
			m := runner(t, db, fmt.Sprint("owner", i%4)) // two calls of each of four
			go func() { _, err := m.Up(t.Context(), set, migrate.UpOptions{}); errs <- err }()
		}
		for range 8 {
			if err := <-errs; err != nil && !errors.Is(err, migrate.ErrFenced) {
				t.Error(err)
			}
		}
		if _, err := runner(t, db, "last").Up(t.Context(), set, migrate.UpOptions{}); err != nil {
			t.Error(err)
		}
		if got := db.Statements(); !slices.Equal(got, storyUp) {
			t.Errorf("did %q", got)
		}
	})
}
