// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"database/sql"
	"fmt"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/mysql"
)

// A Migrator for a schema of a MariaDB server. Nothing is connected to yet.
func Example() {
	db, err := sql.Open("mysql", "shop@tcp(127.0.0.1:3306)/shop?parseTime=true")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	database, err := mysql.New(db, mysql.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := migrate.New(database, migrate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Database().Name())
	// Output: mysql
}
