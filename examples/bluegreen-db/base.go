// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/postgres"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// base is a database of the show's own.
type base struct {
	migrate.Database

	// open gives a program its connections, under its name and version.
	open func(program string) (*sql.DB, error)
	// text is a query as the driver wants it. Queries are written with $1 and $2, each
	// once and in this order.
	text func(query string) string
	drop func() error
}

func openBase(ctx context.Context, s settings) (b *base, err error) {
	if s.url == "" {
		b, err = openSQLite()
	} else {
		b, err = openPostgres(ctx, s.url)
	}
	if err != nil {
		return nil, err
	}
	if err := b.fill(ctx, s.users); err != nil {
		return nil, errors.Join(err, b.drop())
	}
	return b, nil
}

func openSQLite() (*base, error) {
	dir, err := os.MkdirTemp("", "bluegreen-db-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "shop.db")
	db, err := sqlite.Open(file, sqlite.Options{})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &base{
		Database: db,
		open: func(string) (*sql.DB, error) {
			own, err := sqlite.Open(file, sqlite.Options{})
			if err != nil {
				return nil, err
			}
			return own.DB(), nil
		},
		text: strings.NewReplacer("$1", "?", "$2", "?").Replace,
		drop: func() error { return errors.Join(db.Close(), os.RemoveAll(dir)) },
	}, nil
}

func openPostgres(ctx context.Context, address string) (*base, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("-db: want postgres://user:password@host/database") // the error would show the password
	}
	schema := "bluegreen_" + strings.ToLower(rand.Text()[:6])
	as := func(program string) string {
		own, q := *u, u.Query()
		q.Set("search_path", schema)
		q.Set("application_name", program)
		own.RawQuery = q.Encode()
		return own.String()
	}
	pool, err := pgxpool.New(ctx, as("bluegreen-db"))
	if err != nil {
		return nil, errors.New("-db: it is not a URL that pgx understands")
	}
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		pool.Close()
		return nil, err
	}
	db, err := postgres.New(pool, postgres.Options{Schema: schema})
	if err != nil {
		return nil, err
	}
	return &base{
		Database: db,
		// A connection that is named app@version counts as an instance that is alive.
		open: func(program string) (*sql.DB, error) { return sql.Open("pgx", as(program)) },
		text: func(query string) string { return query },
		drop: func() error {
			defer pool.Close()
			_, err := pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
			return err
		},
	}, nil
}

// fill makes the table as v1 has it.
func (b *base) fill(ctx context.Context, users int) error {
	if err := b.Setup(ctx); err != nil {
		return err
	}
	texts := []string{
		"CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL)",
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO users SELECT i, 'user' || i || '@example.com' FROM n`, users),
	}
	return b.use(func(db *sql.DB) error {
		for _, text := range texts {
			if _, err := db.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// use lends connections that are no version's.
func (b *base) use(f func(*sql.DB) error) error {
	db, err := b.open("bluegreen-db")
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

// seeded is the address that a user has at the start.
func seeded(id int64) string { return fmt.Sprintf("user%d@example.com", id) }
