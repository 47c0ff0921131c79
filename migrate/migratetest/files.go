// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// RunFiles tries versioned migrations on the database that newSubject makes, one subtest a
// case and a fresh subject for each: that each file is there whole or, where DDL commits by
// itself, statement by statement; that processes at once and processes that die neither
// lose a statement nor do one twice; and what the database answers to the linter.
func RunFiles(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range fileCases {
		t.Run(c.name, func(t *testing.T) { c.try(t, newSubject(t)) })
	}
}

var fileCases = []testCase{
	{
		name: "files go up and down",
		why:  "what a file makes is there after Up, and nothing of it after Down",
		run: func(r *run) {
			m, set := r.files(r.Database, ""), r.set(r.plain())
			done, err := m.Up(r.ctx, set, migrate.UpOptions{})
			r.must("Up", err)
			if len(done) != 3 {
				r.Errorf("Up did %d migrations, want 3", len(done))
			}
			if r.DB != nil {
				r.same("the rows", r.count("SELECT count(*) FROM "+r.Quote("shelf")+" WHERE title = 'b;'"), 2)
			}
			done, err = m.Up(r.ctx, set, migrate.UpOptions{})
			r.must("Up again", err)
			r.same("what Up does again", len(done), 0)
			done, err = m.Down(r.ctx, set, 3)
			r.must("Down", err)
			if len(done) != 3 || done[0].ID != "3-rows" {
				r.Errorf("Down did %+v", done)
			}
			if r.DB != nil {
				r.same("the columns of what was taken back", r.columns("shelf"), []string(nil))
			}
			all, err := m.Status(r.ctx, set)
			r.must("Status", err)
			for _, s := range all {
				r.same("the state of "+s.ID, s.State, migrate.MigrationPending)
			}
			_, err = m.Up(r.ctx, set, migrate.UpOptions{})
			r.must("Up after Down", err)
		},
	},
	{
		name:  "a file that fails leaves nothing",
		why:   "a file is one transaction with the record of it, where the database can; otherwise each statement is, and Up goes on after the last that was done",
		needs: []need{needDB},
		run: func(r *run) {
			m, of := r.files(r.Database, ""), r.plain()
			of["4-half.up.sql"] = "CREATE TABLE half (id " + r.Types.Int + ");\nINSERT INTO half VALUES (7);\nINSERT INTO nowhere VALUES (1);"
			done, err := m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			if err == nil || len(done) != 3 || !strings.Contains(err.Error(), "4-half.up.sql") {
				r.Fatalf("Up did %d migrations, and the error is %v", len(done), err)
			}
			if there := r.columns("half") != nil; there != r.Piecemeal {
				r.Errorf("a table of the file that failed is there: %t", there)
			}
			of["4-half.up.sql"] = strings.Replace(of["4-half.up.sql"], "nowhere", "half", 1)
			_, err = m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			r.must("Up of the mended file", err)
			r.same("the rows", r.count("SELECT count(*) FROM half"), 2)
		},
	},
	{
		name:  "processes at once do each file once",
		why:   "every instance of a program goes up when it starts",
		needs: []need{needDB},
		run: func(r *run) {
			var group sync.WaitGroup
			var mu sync.Mutex
			total := 0
			for i := range 4 {
				m := r.files(r.other(), fmt.Sprint("process", i))
				group.Go(func() {
					done, err := m.Up(r.ctx, r.set(r.plain()), migrate.UpOptions{})
					mu.Lock()
					defer mu.Unlock()
					total += len(done)
					if err != nil {
						r.Errorf("Up beside others: %v", err)
					}
				})
			}
			group.Wait()
			r.same("the migrations that were done", total, 3)
			r.same("the rows", r.count("SELECT count(*) FROM "+r.Quote("shelf")), 2)
		},
	},
	{
		name:  "a process may die anywhere",
		why:   "whoever comes next goes on where the database says it is: no statement is lost, none is done twice, and nobody is asked what the catalog tells",
		needs: []need{needDB},
		run: func(r *run) {
			for at, deaths := 1, 0; ; at++ {
				died := false
				for _, how := range []death{before, after, between} {
					if r.die(&dying{Database: r.other(), db: r.DB, at: at, how: how}) {
						died = true
						deaths++
					}
				}
				if !died {
					r.Logf("%d processes died, at each of %d calls", deaths, at-1)
					return
				}
			}
		},
	},
	{
		name:  "a function is part of the transaction",
		why:   "rows that need a program to be written are written with the record of it, or not",
		needs: []need{needDB},
		run: func(r *run) {
			m, set := r.files(r.Database, ""), r.set(r.plain())
			fail := errOurs
			add := migrate.Migration{ID: "4-go", Up: migrate.Part{Func: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "DELETE FROM "+r.Quote("shelf"))
				return errors.Join(err, fail)
			}}}
			r.must("Add", set.Add(add))
			_, err := m.Up(r.ctx, set, migrate.UpOptions{})
			// Where DDL commits, the function may have done some, and a person is asked.
			if !errors.Is(err, errOurs) && (!r.Piecemeal || !errors.Is(err, migrate.ErrUnresolved)) {
				r.Errorf("Up with a function that fails: got error %v", err)
			}
			r.same("the rows", r.count("SELECT count(*) FROM "+r.Quote("shelf")), 2)
			fail = nil
			if r.Piecemeal {
				r.resolve(m, set)
			}
			_, err = m.Up(r.ctx, set, migrate.UpOptions{})
			r.must("Up", err)
			r.same("the rows", r.count("SELECT count(*) FROM "+r.Quote("shelf")), 0)
		},
	},
	{
		name:  "the linter asks the database",
		why:   "what stops the users of a large table is nothing to one without rows",
		needs: []need{needDB},
		run: func(r *run) {
			m, of := r.files(r.Database, ""), r.plain()
			_, err := m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			r.must("Up", err)
			of["4-all.up.sql"] = "DELETE FROM " + r.Quote("shelf")
			_, err = m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			r.is("Up that deletes every row", err, migrate.ErrUnsafe)
			r.same("the rows", r.count("SELECT count(*) FROM "+r.Quote("shelf")), 2)
			r.exec("DELETE FROM " + r.Quote("shelf") + " WHERE id > 0")
			_, err = m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			r.must("Up where there are none", err)
			of["5-none.up.sql"] = "DROP TABLE IF EXISTS " + r.Quote("never_made")
			_, err = m.Up(r.ctx, r.set(of), migrate.UpOptions{})
			r.must("Up that drops what is not there", err)
		},
	},
}

// plain are files for any database: a table, a column with a row for each, and rows.
func (r *run) plain() map[string]string {
	shelf := r.Quote("shelf")
	algorithm := ""
	if r.Database.Name() == "mysql" {
		algorithm = ", ALGORITHM=INSTANT"
	}
	return map[string]string{
		"1-shelf.up.sql": "-- a table;\nCREATE TABLE " + shelf + " (id " + r.Types.Int + " PRIMARY KEY);", "1-shelf.down.sql": "DROP TABLE " + shelf + ";",
		"2-title.sql": "-- migrate:up\nALTER TABLE " + shelf + " ADD COLUMN title " + r.Types.Text + algorithm + ";\nINSERT INTO " + shelf + " (id, title) VALUES (1, 'b;');\n" +
			"-- migrate:down\nDELETE FROM " + shelf + " WHERE id = 1;\nALTER TABLE " + shelf + " DROP COLUMN title" + algorithm + ";",
		"3-rows.up.sql": "INSERT INTO " + shelf + " (id, title) VALUES (2, 'b;');", "3-rows.down.sql": "DELETE FROM " + shelf + " WHERE id = 2;",
	}
}

func (r *run) set(of map[string]string) migrate.Set {
	r.Helper()
	fsys := fstest.MapFS{}
	for name, text := range of {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, err := migrate.ReadDir(fsys, ".")
	r.must("ReadDir", err)
	return set
}

func (r *run) files(db migrate.Database, owner string) *migrate.Migrator {
	r.Helper()
	m, err := migrate.New(db, migrate.Options{Owner: owner, Poll: 20 * time.Millisecond})
	r.must("New", err)
	return m
}

// resolve says of what is unresolved that it was not done.
func (r *run) resolve(m *migrate.Migrator, set migrate.Set) {
	r.Helper()
	all, err := m.Status(r.ctx, set)
	r.must("Status", err)
	for _, s := range all {
		if s.State == migrate.MigrationUnresolved {
			r.must("Resolve", m.Resolve(r.ctx, s.ID, false))
		}
	}
}

// die goes up and down, each by a process that dies once and one that comes after it. It
// says whether one died.
func (r *run) die(d *dying) (died bool) {
	r.Helper()
	set := r.set(r.plain())
	what := fmt.Sprintf("a process that died %s call %d", d.how, d.at)
	_, err := r.files(d, "first").Up(r.ctx, set, migrate.UpOptions{})
	r.same("Up says that it died, "+what, err != nil, d.dead)
	if err != nil && !errors.Is(err, errDied) && !errors.Is(err, migrate.ErrUnresolved) {
		r.Errorf("Up by %s: %v", what, err)
	}
	second := r.files(r.Database, "second")
	_, err = second.Up(r.ctx, set, migrate.UpOptions{})
	r.must("Up after "+what, err)
	r.same("the rows after "+what, r.count("SELECT count(*) FROM "+r.Quote("shelf")+" WHERE title = 'b;'"), 2)

	died = d.dead
	d.calls, d.dead = 0, false
	_, err = r.files(d, "first").Down(r.ctx, set, 3)
	died = died || d.dead
	r.same("Down says that it died, "+what, err != nil, d.dead)
	all, err := second.Status(r.ctx, set)
	r.must("Status", err)
	left := 0
	for _, s := range all {
		if s.State != migrate.MigrationPending {
			left++
		}
	}
	if left > 0 {
		_, err = second.Down(r.ctx, set, left)
		r.must("Down after "+what, err)
	}
	r.same("the columns after "+what, r.columns("shelf"), []string(nil))
	return died
}

// death is when a process dies.
type death string

const (
	before  death = "before"
	after   death = "after"
	between death = "between the statements and the state of" // those that are Alone
)

var errDied = errors.New("the process has died")

// dying is a process that dies once. What it says after that reaches nobody, but that the
// case need not wait for its lease to run out.
type dying struct {
	migrate.Database

	db    *sql.DB
	at    int
	how   death
	calls int
	dead  bool
}

func (d *dying) CommitsDDL() bool {
	own, ok := d.Database.(interface{ CommitsDDL() bool })
	return ok && own.CommitsDDL()
}

func (d *dying) call(f func() error) error {
	if d.dead {
		return errDied
	}
	d.calls++
	if d.calls == d.at && d.how != after {
		d.dead = true
		return errDied
	}
	err := f()
	if d.calls == d.at {
		d.dead = true
		return errDied
	}
	return err
}

func (d *dying) Create(ctx context.Context, r migrate.Record) error {
	return d.call(func() error { return d.Database.Create(ctx, r) })
}

func (d *dying) Load(ctx context.Context, id string) (r migrate.Record, err error) {
	if d.dead {
		return r, errDied
	}
	return d.Database.Load(ctx, id)
}

func (d *dying) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.Database.Lock(ctx, name, owner, lease)
	return &dyingSession{Session: s, d: d}, err
}

type dyingSession struct {
	migrate.Session

	d *dying
}

func (s *dyingSession) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	if s.d.how == between && s.d.calls+1 == s.d.at && w.Alone && !s.d.dead {
		for _, text := range w.Statements {
			if _, err := s.d.db.ExecContext(ctx, text); err != nil {
				return err
			}
		}
	}
	return s.d.call(func() error { return s.Session.Do(ctx, id, w, next) })
}

func (s *dyingSession) Holds(ctx context.Context, query string) (bool, error) {
	if s.d.dead {
		return false, errDied
	}
	return s.Session.Holds(ctx, query)
}
