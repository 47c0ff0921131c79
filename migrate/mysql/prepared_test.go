// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
)

// splitting is a table users, of which a change splits the mail into addresses.
func splitting(t *testing.T, again func() *sql.DB) (db *sql.DB, reach func(migrate.Phase)) {
	t.Helper()
	db = again()
	for _, text := range []string{
		"CREATE TABLE users (id int PRIMARY KEY, name varchar(20), mail varchar(200))",
		"INSERT INTO users VALUES (1, 'ann', 'ann@example.com')",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	m, err := migrate.New(database(t, db), migrate.Options{Owner: "ann", LockTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Database().Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	change := migrate.Change{ID: "c", Ops: []migrate.Op{migrate.SplitTable{Table: "users", Into: "addresses", Columns: []string{"mail"}}}}
	return db, func(p migrate.Phase) {
		t.Helper()
		if err := m.Reach(t.Context(), change, p); err != nil {
			t.Fatal(err)
		}
	}
}

// client prepares statements that the triggers of the change have to see. One client keeps
// all that it has prepared.
type client struct {
	t    *testing.T
	conn *sql.Conn
	kept []*sql.Stmt
}

func (c *client) prepare() {
	c.t.Helper()
	for _, text := range []string{
		"INSERT INTO users (id, name, mail) VALUES (?, 'bob', 'bob@example.com')",
		"UPDATE users SET mail = CONCAT(mail, '.uk') WHERE id = ?",
		"DELETE FROM users WHERE id = ?",
	} {
		stmt, err := c.conn.PrepareContext(c.t.Context(), text)
		if err != nil {
			c.t.Fatal(err)
		}
		c.kept = append(c.kept, stmt)
	}
}

// use runs what was prepared, three by three, and looks for the row in the new table.
func (c *client) use() {
	c.t.Helper()
	for i := 0; i < len(c.kept); i += 3 {
		id := 1000 + i
		for k, want := range []string{"bob@example.com", "bob@example.com.uk", "gone"} {
			if _, err := c.kept[i+k].ExecContext(c.t.Context(), id); err != nil {
				c.t.Fatalf("statement %d of %d: %v", i+k, len(c.kept), err)
			}
			got := "gone"
			err := c.conn.QueryRowContext(c.t.Context(), fmt.Sprintf("SELECT mail FROM addresses WHERE id = %d", id)).Scan(&got)
			if err != nil && err != sql.ErrNoRows {
				c.t.Fatal(err)
			}
			if got != want {
				c.t.Fatalf("statement %d of %d: the new table has %q, want %q", i+k, len(c.kept), got, want)
			}
		}
	}
}

// TestWhatWasPreparedBeforeLearnsOfTriggers has a table with triggers of its own, so that
// those of the change are the second ones: MariaDB looks at the age of the first ones.
func TestWhatWasPreparedBeforeLearnsOfTriggers(t *testing.T) {
	t.Parallel()
	for mode, set := range map[string]string{
		"ANSI":                 `ALTER TABLE users COMMENT = 'it''s \\ a "comment"'`,
		"NO_BACKSLASH_ESCAPES": `ALTER TABLE users COMMENT = 'it''s \ a "comment"'`,
	} {
		t.Run("with the mode "+mode, func(t *testing.T) {
			t.Parallel()
			again := open(t, dbtest.MariaDB(t, dbtest.Options{Fast: true, Settings: map[string]string{"sql-mode": "STRICT_TRANS_TABLES," + mode}}))
			db, reach := splitting(t, again)
			for _, text := range []string{
				set,
				"CREATE TRIGGER own_insert AFTER INSERT ON users FOR EACH ROW SET @own = 1",
				"CREATE TRIGGER own_update AFTER UPDATE ON users FOR EACH ROW SET @own = 1",
				"CREATE TRIGGER own_delete AFTER DELETE ON users FOR EACH ROW SET @own = 1",
			} {
				if _, err := db.ExecContext(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := again().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := &client{t: t, conn: conn}
			c.prepare()
			reach(migrate.Ready)
			c.use()
			const query = "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'users'"
			var got string
			if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != `it's \ a "comment"` {
				t.Errorf("the table's comment is %q now: %v", got, err)
			}
		})
	}
}

// TestWhatIsPreparedWhileTriggersAreMadeLearnsOfThem has the change wait for a transaction
// while a client prepares.
func TestWhatIsPreparedWhileTriggersAreMadeLearnsOfThem(t *testing.T) {
	t.Parallel()
	again := open(t, dbtest.MariaDB(t, dbtest.Options{Fast: true}))
	db, reach := splitting(t, again)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE users SET name = 'eve'"); err != nil {
		t.Fatal(err)
	}
	conn, err := again().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn}
	done, rested := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(rested)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				c.prepare()
			}
		}
	}()
	time.AfterFunc(time.Second, func() { _ = tx.Rollback() })
	reach(migrate.Ready)
	close(done)
	<-rested
	c.use()
}
