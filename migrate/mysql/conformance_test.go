// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
	"github.com/rheostat-go/rheostat/migrate/mysql"
)

var databases atomic.Int64

// open makes an empty schema on a server, with a function that opens it again.
func open(t *testing.T, server *dbtest.Server) (again func() *sql.DB) {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	root, err := sql.Open("mysql", server.URL("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.ExecContext(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	return func() *sql.DB {
		db, err := sql.Open("mysql", server.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
}

func database(t *testing.T, db *sql.DB) *mysql.Database {
	t.Helper()
	d, err := mysql.New(db, mysql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// catalog is all that a schema holds, as text.
func catalog(ctx context.Context, db *sql.DB) (string, error) {
	var lines []string
	for _, query := range []string{
		"SELECT CONCAT_WS(' ', 'column', table_name, column_name, column_type, is_nullable, COALESCE(column_default, '-')) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name NOT LIKE 'rheostat%'",
		"SELECT CONCAT_WS(' ', 'index', table_name, index_name, column_name, non_unique) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name NOT LIKE 'rheostat%'",
		"SELECT CONCAT_WS(' ', 'constraint', table_name, constraint_name, constraint_type) FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name NOT LIKE 'rheostat%'",
		"SELECT CONCAT_WS(' ', 'trigger', event_object_table, trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
		"SELECT CONCAT_WS(' ', 'table', table_name, table_type) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE 'rheostat%'",
	} {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return "", err
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return "", errors.Join(err, rows.Close())
			}
			lines = append(lines, line)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return "", err
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), nil
}

func transient(err error) bool {
	var e *driver.MySQLError
	return errors.As(err, &e) && (e.Number == 1213 || e.Number == 1205)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	shared := dbtest.MariaDB(t, dbtest.Options{Fast: true})
	migratetest.Run(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		t.Parallel()
		server := shared
		var restart func(context.Context) error
		if strings.Contains(t.Name(), "server") {
			server = dbtest.MariaDB(t, dbtest.Options{}) // one to kill
			restart = func(context.Context) error {
				server.Kill()
				server.Start()
				return nil
			}
		}
		again := open(t, server)
		db, other := again(), again()
		return migratetest.Subject{
			Database: database(t, again()), Another: func() migrate.Database { return database(t, other) }, DB: db,
			Quote:     func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" },
			Transient: transient, Piecemeal: true,
			Unsafe: func(op migrate.Op) bool {
				switch op := op.(type) {
				case migrate.AddCheck:
					return true
				case migrate.SQL:
					return !op.Alone
				}
				return false
			},
			Catalog: func(ctx context.Context) (string, error) { return catalog(ctx, db) },
			Restart: restart,
			Rows:    60, Races: 100, Stride: 12,
		}
	})
}
