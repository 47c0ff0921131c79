// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/mysql"
	"github.com/rheostat-go/rheostat/migrate/postgres"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// open opens a database and makes the tables of its history.
func open(ctx context.Context, t migrate.Target) (db migrate.Database, done func(), err error) {
	switch t.Driver {
	case "postgres":
		db, done, err = openPostgres(ctx, t.DataSource())
	case "mysql":
		db, done, err = openMySQL(t.DataSource())
	case "sqlite":
		var file *sqlite.Database
		file, err = sqlite.Open(t.DataSource(), sqlite.Options{})
		if err == nil {
			db, done = file, func() { _ = file.Close() }
		}
	default:
		err = errors.New("no such driver")
	}
	if err != nil {
		return nil, nil, err
	}
	if err := db.Setup(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return db, done, nil
}

func openPostgres(ctx context.Context, url string) (migrate.Database, func(), error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, errors.New("the data source is not one that pgx understands") // what pgx says shows it
	}
	db, err := postgres.New(pool, postgres.Options{})
	return db, pool.Close, err
}

func openMySQL(dsn string) (migrate.Database, func(), error) {
	pool, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, nil, err
	}
	db, err := mysql.New(pool, mysql.Options{})
	return db, func() { _ = pool.Close() }, err
}
