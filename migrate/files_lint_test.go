// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// server is a Memory that says it is one of the databases whose SQL is known. It answers
// for its catalog: a query holds if a part of it is among true.
type server struct {
	*migrate.Memory

	name string
	true map[string]bool
	mute bool // its catalog is not to be read
	// do, if set, is asked before each Do, and its error is the answer.
	do    func(w migrate.Work) error
	works []migrate.Work
}

func newServer(name string) *server {
	return &server{Memory: migrate.NewMemory(), name: name, true: map[string]bool{}}
}

func (s *server) Name() string     { return s.name }
func (s *server) CommitsDDL() bool { return s.name == "mysql" }

func (s *server) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	inner, err := s.Memory.Lock(ctx, name, owner, lease)
	return &serverSession{Session: inner, s: s}, err
}

type serverSession struct {
	migrate.Session

	s *server
}

func (x *serverSession) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	x.s.works = append(x.s.works, w)
	if x.s.do != nil {
		if err := x.s.do(w); err != nil {
			return err
		}
	}
	return x.Session.Do(ctx, id, w, next)
}

func (x *serverSession) Holds(ctx context.Context, query string) (bool, error) {
	if _, err := x.Session.Holds(ctx, query); err != nil {
		return false, err
	}
	if x.s.mute {
		return false, errors.New("permission denied")
	}
	for part := range maps.Keys(x.s.true) {
		if strings.Contains(query, part) && x.s.true[part] {
			return true, nil
		}
	}
	return false, nil
}

func TestWhatStopsTheUsersOfADatabaseIsRefusedByFileAndLine(t *testing.T) {
	t.Parallel()
	db := newServer("postgres")
	m, ctx := runner(t, db, "a"), t.Context()
	of := map[string]string{
		"1-new.up.sql": "CREATE TABLE fresh (id int);",
		"2-old.sql":    "-- migrate:up\nALTER TABLE fresh ADD COLUMN a int NOT NULL;\nCREATE INDEX i ON fresh (a);\n\nALTER TABLE users\n  DROP COLUMN email;\n-- migrate:down\nALTER TABLE users ADD COLUMN email text;",
	}
	runs, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{})
	var unsafe *migrate.UnsafeError
	if !errors.Is(err, migrate.ErrUnsafe) || !errors.As(err, &unsafe) || len(runs) > 0 || len(db.Statements()) > 0 {
		t.Fatalf("%v, %v", runs, err)
	}
	for _, want := range []string{"2-old.sql:5: ALTER TABLE users DROP COLUMN email", "DropColumn of a migrate.Change", "-- migrate:allow drop-column …"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nsays nothing of %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "fresh") {
		t.Errorf("%v: a table of the same run", err)
	}
	dry, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{DryRun: true})
	if err != nil || len(dry) != 2 || len(dry[0].Unsafe) != 0 || len(dry[1].Unsafe) != 1 {
		t.Errorf("dry: %+v, %v", dry, err)
	}

	of["2-old.sql"] = strings.Replace(of["2-old.sql"], "ALTER TABLE users\n", "-- migrate:allow drop-column nobody has read it since v41\nALTER TABLE users\n", 1)
	if runs, err = m.Up(ctx, setOf(t, of), migrate.UpOptions{}); err != nil || len(runs) != 2 {
		t.Errorf("allowed: %v, %v", runs, err)
	}
	of["3-c.up.sql"] = "DROP TABLE users"
	if runs, err = m.Up(ctx, setOf(t, of), migrate.UpOptions{Unsafe: true}); err != nil || len(runs) != 1 || len(runs[0].Unsafe) != 1 {
		t.Errorf("with Unsafe: %v, %v", runs, err)
	}
}

func TestTheDatabaseMaySayThatItIsSafeHere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, so string
		safe     bool
	}{
		"a table without rows":                 {"CREATE INDEX i ON users (a)", `NOT EXISTS (SELECT 1 FROM "users")`, true},
		"a table that is not there":            {"DROP TABLE users", "to_regclass", true},
		"a column of a table without rows":     {"ALTER TABLE users DROP COLUMN a", `NOT EXISTS (SELECT 1 FROM "users")`, false},
		"a column that a check has proven":     {"ALTER TABLE users ALTER a SET NOT NULL", "'CHECK ((a IS NOT NULL))'", true},
		"a column that another check is about": {"ALTER TABLE users ALTER a SET NOT NULL", "'CHECK ((b IS NOT NULL))'", false},
	} {
		db := newServer("postgres")
		db.true[c.so] = true
		_, err := runner(t, db, "a").Up(t.Context(), setOf(t, map[string]string{"1-a.up.sql": c.text}), migrate.UpOptions{})
		if (err == nil) != c.safe || err != nil && !errors.Is(err, migrate.ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADatabaseThatDoesNotAnswerIsNoReasonToGoOn(t *testing.T) {
	t.Parallel()
	db := newServer("postgres")
	db.mute = true
	if _, err := runner(t, db, "a").Up(t.Context(), setOf(t, map[string]string{"1-a.up.sql": "DROP TABLE users"}), migrate.UpOptions{}); !errors.Is(err, migrate.ErrUnsafe) {
		t.Error(err)
	}
}

func TestWhatIsInDoubtIsNotToBeEdited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, killed := newServer("postgres"), errors.New("killed")
		set := setOf(t, map[string]string{"1-a.sql": "-- migrate:up transaction:false\nCALL refill();"})
		db.do = func(w migrate.Work) error {
			if w.Alone {
				db.do, db.Before = nil, func(context.Context, string) error { return killed }
				return killed
			}
			return nil
		}
		if _, err := runner(t, db, "a").Up(t.Context(), set, migrate.UpOptions{}); err == nil {
			t.Fatal("it was killed, and says nothing")
		}
		db.Before = nil
		time.Sleep(time.Minute)
		m := runner(t, db, "b")
		if got := states(t, m, set); got != "1-a unresolved," {
			t.Errorf("status %s", got)
		}
		edited := setOf(t, map[string]string{"1-a.sql": "-- migrate:up transaction:false\nCALL another();"})
		if _, err := m.Up(t.Context(), edited, migrate.UpOptions{}); !errors.Is(err, migrate.ErrChecksum) {
			t.Errorf("edited: %v", err)
		}
		if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); !errors.Is(err, migrate.ErrUnresolved) || !strings.Contains(err.Error(), "1-a.sql:2") {
			t.Errorf("as it was: %v", err)
		}
		if err := m.Resolve(t.Context(), "1-a", true); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err != nil || len(db.Statements()) > 0 {
			t.Errorf("once somebody has said that it is done: %v, %q", err, db.Statements())
		}
	})
}

func TestWhatCannotWorkIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]map[string]string{
		"2-b.sql:2: CREATE INDEX CONCURRENTLY": {"2-b.sql": "-- migrate:up\nCREATE INDEX CONCURRENTLY i ON t (a)"},
		"2-b.down.sql:1: SET search_path":      {"2-b.up.sql": "SELECT 1", "2-b.down.sql": "SET search_path = x"},
		"2-b.up.sql:2: there is no rule":       {"2-b.up.sql": "SELECT 1;\n-- migrate:allow all of it\nSELECT 2"},
		"2-b.up.sql:1: COMMIT would end":       {"2-b.up.sql": "COMMIT"},
	} {
		db := newServer("postgres")
		of["1-a.up.sql"] = "SELECT 0"
		_, err := runner(t, db, "a").Up(t.Context(), setOf(t, of), migrate.UpOptions{Unsafe: true})
		if err == nil || !strings.Contains(err.Error(), name) || len(db.Statements()) > 0 {
			t.Errorf("%s: %v after %q", name, err, db.Statements())
		}
	}
}

func TestAFileSaysItsBoundsAndThatItMayBeLate(t *testing.T) {
	t.Parallel()
	db := newServer("postgres")
	m, ctx := runner(t, db, "a"), t.Context()
	of := map[string]string{"5-e.sql": "-- migrate:timeout 10m\n-- migrate:up\n-- migrate:lock-timeout 2s\nSELECT 1;\n-- migrate:down\nSELECT 2;"}
	if _, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Down(ctx, setOf(t, of), 1); err != nil {
		t.Fatal(err)
	}
	var got [][2]time.Duration
	for _, w := range db.works {
		if len(w.Statements) > 0 {
			got = append(got, [2]time.Duration{w.LockTimeout, w.Timeout})
		}
	}
	if want := [][2]time.Duration{{2 * time.Second, 10 * time.Minute}, {75 * time.Millisecond, 10 * time.Minute}}; !slices.Equal(got, want) {
		t.Errorf("the bounds of up and down are %v, want %v", got, want)
	}
	if _, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	of["4-d.up.sql"] = "SELECT 4"
	if _, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{}); !errors.Is(err, migrate.ErrOutOfOrder) {
		t.Errorf("late: %v", err)
	}
	of["4-d.up.sql"] = "-- migrate:out-of-order\nSELECT 4"
	if _, err := m.Up(ctx, setOf(t, of), migrate.UpOptions{}); err != nil {
		t.Errorf("late, and allowed by the file: %v", err)
	}
	for _, text := range []string{"-- migrate:timeout soon", "-- migrate:lock-timeout 0s", "-- migrate:lock-timeout -1s", "-- migrate:out-of-order please"} {
		if _, err := migrate.ReadDir(files(map[string]string{"1-a.up.sql": "\n" + text}), "."); err == nil || !strings.Contains(err.Error(), "1-a.up.sql:2: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

const concurrently = "-- migrate:up transaction:false\nCREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY i ON t (a);\nINSERT INTO t VALUES (1);"

// TestADoubtIsSettledByTheCatalog lets a process die around a statement that is not one
// transaction with the record of it: nobody is asked.
func TestADoubtIsSettledByTheCatalog(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	for name, ran := range map[string]bool{"before it ran": false, "after it ran": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := newServer("postgres")
				set := setOf(t, map[string]string{"1-a.sql": concurrently})
				db.do = func(w migrate.Work) error {
					if len(w.Statements) > 0 && strings.HasPrefix(w.Statements[0], "CREATE INDEX") {
						db.do = nil
						db.true["indisvalid"] = ran
						db.Before = func(context.Context, string) error { return killed }
						return killed
					}
					return nil
				}
				m := runner(t, db, "a")
				if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err == nil {
					t.Fatal("it was killed, and says nothing")
				}
				db.Before = nil
				time.Sleep(time.Minute)
				if got := states(t, m, set); got != "1-a half," {
					t.Errorf("status %s", got)
				}
				db.works = nil
				if _, err := runner(t, db, "b").Up(t.Context(), set, migrate.UpOptions{}); err != nil {
					t.Fatal(err)
				}
				var did []string
				for _, w := range db.works {
					did = append(did, w.Statements...)
				}
				want := []string{"DROP INDEX CONCURRENTLY IF EXISTS \"i\"", "CREATE INDEX CONCURRENTLY i ON t (a)", "INSERT INTO t VALUES (1)"}
				if ran {
					want = want[2:]
				}
				if !slices.Equal(did, want) {
					t.Errorf("the second process did %q, want %q", did, want)
				}
			})
		})
	}
}

func TestWhatARefusedStatementLeavesIsRemoved(t *testing.T) {
	t.Parallel()
	db := newServer("postgres")
	set := setOf(t, map[string]string{"1-a.sql": concurrently})
	refuse := true
	db.do = func(w migrate.Work) error {
		if refuse && len(w.Statements) > 0 && strings.HasPrefix(w.Statements[0], "CREATE INDEX") {
			return &migrate.StatementError{N: 1, Err: errors.New("duplicate key")}
		}
		return nil
	}
	m := runner(t, db, "a")
	_, err := m.Up(t.Context(), set, migrate.UpOptions{})
	if err == nil || !strings.Contains(err.Error(), "1-a.sql:3: up: statement 1: duplicate key") {
		t.Fatal(err)
	}
	if got := db.Statements(); !slices.Equal(got[1:], []string{"DROP INDEX CONCURRENTLY IF EXISTS \"i\""}) {
		t.Errorf("did %q", got)
	}
	refuse = false
	if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAStatementThatIsDoneByAnotherIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	db := newServer("mysql")
	db.true["table_name = 't'"] = true
	set := setOf(t, map[string]string{"1-a.up.sql": "CREATE TABLE t (a int)"})
	if _, err := runner(t, db, "a").Up(t.Context(), set, migrate.UpOptions{}); err == nil || !strings.Contains(err.Error(), "1-a.up.sql:1: up: what it does has been done by somebody else") {
		t.Error(err)
	}
	set = setOf(t, map[string]string{"1-a.up.sql": "CREATE TABLE IF NOT EXISTS t (a int)"})
	if _, err := runner(t, db, "a").Up(t.Context(), set, migrate.UpOptions{}); err != nil {
		t.Error(err)
	}
}

func TestWhatAnotherMakesMeanwhileIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	db := newServer("mysql")
	db.do = func(w migrate.Work) error {
		if w.Alone {
			db.true["table_name = 't'"] = true
			return &migrate.StatementError{N: 1, Err: errors.New("exists")}
		}
		return nil
	}
	m, set := runner(t, db, "a"), setOf(t, map[string]string{"1-a.up.sql": "CREATE TABLE t (a int)"})
	if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err == nil || states(t, m, set) != "1-a pending," {
		t.Errorf("%v, %s", err, states(t, m, set))
	}
}

func TestWhereDDLCommitsRowsAreStillWrittenOnce(t *testing.T) {
	t.Parallel()
	db := newServer("mysql")
	set := setOf(t, map[string]string{"1-a.up.sql": "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nALTER TABLE t ADD b int;\nCALL refill();"})
	if _, err := runner(t, db, "a").Up(t.Context(), set, migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range db.works {
		for _, text := range w.Statements {
			if want := !strings.HasPrefix(text, "INSERT"); w.Alone != want {
				t.Errorf("%s: alone %t, want %t", text, w.Alone, want)
			}
		}
	}
}

// TestAServerThatIsStillAtItIsWaitedFor loses the connection while the server builds on:
// the second attempt finds it done.
func TestAServerThatIsStillAtItIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newServer("mysql")
		attempt := 0
		db.do = func(w migrate.Work) error {
			if len(w.Statements) == 0 {
				return nil
			}
			switch attempt++; attempt {
			case 1:
				return errors.New("invalid connection")
			case 2:
				db.true["column_name = 'b'"] = true // what the first has done meanwhile
				return &migrate.StatementError{N: 1, Err: errors.New("duplicate column")}
			}
			return nil
		}
		m := runner(t, db, "a")
		set := setOf(t, map[string]string{"1-a.up.sql": "ALTER TABLE t ADD b int, ALGORITHM=INSTANT"})
		if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); !errors.Is(err, migrate.ErrUnresolved) {
			t.Fatal(err)
		}
		if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := states(t, m, set); got != "1-a applied," || attempt != 2 {
			t.Errorf("status %s after %d attempts", got, attempt)
		}
	})
}

func TestStatementsThatRunByThemselvesAreToldWithTheirTime(t *testing.T) {
	t.Parallel()
	var told []string
	m, err := migrate.New(newServer("postgres"), migrate.Options{Observe: func(_ context.Context, e migrate.Event) {
		switch e.Kind {
		case migrate.StatementRun, migrate.StatementRan, migrate.StepDone:
			told = append(told, string(e.Kind)+" "+e.Statement)
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	set := setOf(t, map[string]string{"1-a.up.sql": "SELECT 1; SELECT 2", "2-b.sql": "-- migrate:up transaction:false\nVACUUM; SELECT 3"})
	if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"statement SELECT 1", "statement SELECT 2", "done ", "statement VACUUM", "ran VACUUM", "statement SELECT 3", "ran SELECT 3", "done "}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestAVersionedMigrationTakesNoOrders(t *testing.T) {
	t.Parallel()
	m := runner(t, newServer("postgres"), "a")
	if _, err := m.Up(t.Context(), setOf(t, map[string]string{"1-a.up.sql": "SELECT 1"}), migrate.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Rollback": m.Rollback(t.Context(), "1-a", "why"), "Pause": m.Pause(t.Context(), "1-a", "me", "why"),
		"Order": m.Order(t.Context(), "1-a", migrate.Order{Want: migrate.Done}),
	} {
		if err == nil || !strings.Contains(err.Error(), "1-a is a versioned migration: Up and Down") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMigrationInAnotherLanguageIsNotLeftOut(t *testing.T) {
	t.Parallel()
	db := newServer("postgres")
	m, set := runner(t, db, "a"), setOf(t, map[string]string{
		"1-a.up.sql": "SELECT 1", "2-prefs.js": "exports.up = null", "2-prefs_test.go": "package x", "README.go": "package x", "3.md": "notes",
	})
	if _, err := m.Up(t.Context(), set, migrate.UpOptions{}); err == nil || !strings.Contains(err.Error(), "2-prefs.js: it is a migration and not SQL") ||
		strings.Contains(err.Error(), "_test") || len(db.Statements()) > 0 {
		t.Errorf("%v, %q", err, db.Statements())
	}
	if err := set.Add(migrate.Migration{ID: "2-prefs", Up: migrate.Part{SQL: "SELECT 2"}}); err != nil {
		t.Fatal(err)
	}
	if runs, err := m.Up(t.Context(), set, migrate.UpOptions{}); err != nil || len(runs) != 2 {
		t.Errorf("once it is added: %v, %v", runs, err)
	}
}
