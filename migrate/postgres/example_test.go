// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/postgres"
)

// A Migrator for a database of PostgreSQL. Nothing is connected to yet.
func Example() {
	pool, err := pgxpool.New(context.Background(), "postgres://shop@127.0.0.1:5432/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	db, err := postgres.New(pool, postgres.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := migrate.New(db, migrate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Database().Name())
	// Output: postgres
}
