// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestATargetIsReadAsDbMigrateReadsIt(t *testing.T) {
	t.Parallel()
	const seed = `{"dev": {"driver": "pg", "connectionString": "postgres://localhost/dev"}, "prod": {"driver": "pg", "connectionString": "postgres://prod:5432/app"}}`
	for _, c := range []struct {
		name, file, environment string
		env                     []string
		driver, source, shown   string
	}{
		{"dev is the default", seed, "", nil, "postgres", "postgres://localhost/dev", "dev: postgres://localhost/dev"},
		{"another environment", seed, "prod", nil, "postgres", "postgres://prod:5432/app", "prod: postgres://prod:5432/app"},
		{"DATABASE_URL comes first", seed, "dev", []string{"DATABASE_URL", "postgres://u:pw@prod:5432/app?sslmode=disable"}, "postgres", "postgres://u:pw@prod:5432/app?sslmode=disable", "DATABASE_URL: postgres://u@prod:5432/app"},
		{"DATABASE_URL alone", "", "", []string{"DATABASE_URL", "postgresql:///app"}, "postgres", "postgres:///app", "DATABASE_URL: postgres:///app"},
		{"defaultEnv", `{"defaultEnv": "local", "sql-file": true, "local": "sqlite:app.db"}`, "", nil, "sqlite", "app.db", "local: sqlite app.db"},
		{"defaultEnv in a variable", `{"defaultEnv": {"ENV": "NODE_ENV"}, "ci": {"driver": "sqlite3", "filename": "ci.db"}}`, "", []string{"NODE_ENV", "ci"}, "sqlite", "ci.db", "ci: sqlite ci.db"},
		{"an environment in a variable", `{"dev": {"ENV": "URL"}}`, "", []string{"URL", "sqlite:///var/a%20b.db"}, "sqlite", "/var/a b.db", "dev: sqlite /var/a b.db"},
		{
			"fields of PostgreSQL", `{"dev": {"driver": "pg", "host": "db", "port": 5433, "user": "app", "password": {"ENV": "PW"}, "database": "a b", "schema": "shop", "ssl": true}}`, "",
			[]string{"PW", "p@ss/%"},
			"postgres", "postgres://app:p%40ss%2F%25@db:5433/a%20b?search_path=shop&sslmode=require", "dev: postgres://app@db:5433/a%20b",
		},
		{"a socket of PostgreSQL", `{"dev": {"driver": "pg", "socketPath": "/run/pg", "user": "app", "database": "app"}}`, "", nil, "postgres", "postgres://app@/app?host=%2Frun%2Fpg", "dev: postgres://app@/app"},
		{
			"fields of MySQL", `{"dev": {"driver": "mysql", "host": "::1", "user": "app", "password": "p@ss/:w", "database": "shop", "ssl": false}}`, "", nil,
			"mysql", "app:p@ss/:w@tcp([::1]:3306)/shop", "dev: mysql app@tcp([::1]:3306)/shop",
		},
		{"a URL of MariaDB", `{"dev": "mariadb://app:p%40ss@db/shop?parseTime=true"}`, "", nil, "mysql", "app:p@ss@tcp(db:3306)/shop?parseTime=true", "dev: mysql app@tcp(db:3306)/shop"},
		{"a driver's own words", `{"dev": {"driver": "mysql", "url": "app:pw@tcp(db)/shop"}}`, "", nil, "mysql", "app:pw@tcp(db)/shop", "dev: mysql"},
		{"other words of a driver", `{"dev": {"driver": "pg", "connectionString": "host=db password=pw"}}`, "", nil, "postgres", "host=db password=pw", "dev: postgres"},
		{"a file of SQLite", `{"dev": {"driver": "sqlite", "url": "C:/data/app.db"}}`, "", nil, "sqlite", "C:/data/app.db", "dev: sqlite C:/data/app.db"},
	} {
		got, err := migrate.ReadTarget([]byte(c.file), c.environment, env(c.env...))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Driver != c.driver || got.DataSource() != c.source || got.String() != c.shown {
			t.Errorf("%s: got %s, %s and %s\nwant %s, %s and %s", c.name, got.Driver, got.DataSource(), got, c.driver, c.source, c.shown)
		}
	}
}

func TestAWrongTargetNamesTheFieldAndNoSecret(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, environment, want string }{
		{"", "", "neither database.json nor DATABASE_URL"},
		{"\n", "", "neither database.json nor DATABASE_URL"},
		{`{"dev": `, "", "database.json: it is no JSON object"},
		{`["secret"]`, "", "it is no JSON object"},
		{`{"dev": 7}`, "", "dev: it must be an object or a URL"},
		{`{"prod": {}, "test": {}}`, "", `no environment "dev", but prod, test`},
		{`{"prod": {}}`, "qa", `no environment "qa", but prod`},
		{`{"defaultEnv": {"ENV": "NODE_ENV"}, "dev": {}}`, "", "field defaultEnv is the variable NODE_ENV, which is not set"},
		{`{"dev": {"password": "secret"}}`, "", "dev: field driver is missing"},
		{`{"dev": {"driver": "oracle", "password": "secret"}}`, "", `field driver: there is none called "oracle"`},
		{`{"dev": {"driver": "pg", "password": "secret"}}`, "", "field database is missing"},
		{`{"dev": {"driver": "mysql", "password": "secret"}}`, "", "field database is missing"},
		{`{"dev": {"driver": "sqlite3"}}`, "", "field filename is missing"},
		{`{"dev": {"driver": "pg", "passwort": "secret"}}`, "", "unknown field passwort"},
		{`{"dev": {"driver": "pg", "password": ["secret"]}}`, "", "field password must be a string"},
		{`{"dev": {"driver": "pg", "password": {"env": "secret"}}}`, "", `field password must be a string or {"ENV": "NAME"}`},
		{`{"dev": {"driver": "pg", "password": {"ENV": "PW"}}}`, "", "field password is the variable PW, which is not set"},
		{`{"dev": {"driver": "pg", "ssl": "secret"}}`, "", "field ssl must be true or false"},
		{`{"dev": {"driver": "pg", "url": "mysql://u:secret@h/d"}}`, "", "field url: it is one of mysql, and field driver says postgres"},
		{`{"dev": "redis://:secret@h"}`, "", "it must begin with postgres:, mysql: or sqlite:"},
		{`{"dev": "postgres://u:secret/@h/d"}`, "", "it is no URL: characters such as @ / # and % in a password"},
		{`{"dev": "postgres://u:secret%zz@h/d"}`, "", "it is no URL"},
		{`{"dev": "sqlite:"}`, "", "it must be a path after sqlite:"},
		{`{"dev": "sqlite:app.db?mode=secret"}`, "", "it must be a path after sqlite:"},
		{`{"dev": {"driver": "mysql", "user": "a:b", "password": "secret", "database": "d"}}`, "", "with a colon"},
	} {
		_, err := migrate.ReadTarget([]byte(c.file), c.environment, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v\nwant %q, and no secret", c.file, err, c.want)
		}
	}
}

// FuzzTarget gives passwords of any kind: they reach the driver, and are never shown.
func FuzzTarget(f *testing.F) {
	for _, pw := range []string{"pw", "p@ss/w:rd?#", "%41", "(a)", "'\"\\", "ünïcode", "a b\n"} {
		f.Add(pw)
	}
	f.Fuzz(func(t *testing.T, pw string) {
		secret := "sEcReT" + pw
		for _, text := range []string{
			"postgres://app:" + secret + "@db/app", "mysql://app:" + secret + "@db/app", "app:" + secret + "@tcp(db)/app", secret,
			(&url.URL{Scheme: "postgres", User: url.UserPassword("app", secret), Host: "db", Path: "/app", RawQuery: "password=sEcReT"}).String(),
		} {
			target, err := migrate.ReadTarget(nil, "", env("DATABASE_URL", text))
			shown := fmt.Sprintf("%v %+v %#v %s", target, target, target, target)
			if err != nil {
				shown = err.Error()
			}
			// One that is not escaped may end in what looks like a host, or a file.
			if escaped := url.UserPassword("app", secret).String(); strings.Contains(shown, "sEcReT") && (strings.Contains(text, escaped) || err != nil) {
				t.Fatalf("%q shows %q", text, shown)
			}
		}
		for driver, rest := range map[string]string{"pg": "", "mysql": ""} {
			file := fmt.Sprintf(`{"dev": {"driver": %q, "user": "app", "password": {"ENV": "PW"}, "database": "d"%s}}`, driver, rest)
			target, err := migrate.ReadTarget([]byte(file), "", env("PW", secret))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprintf("%v %#v", target, target), "sEcReT") {
				t.Fatalf("%v", target)
			}
			source := target.DataSource()
			if u, err := url.Parse(source); driver == "pg" && err == nil {
				source, _ = u.User.Password()
			}
			if !strings.Contains(source, secret) {
				t.Fatalf("%q does not reach the driver %s", secret, driver)
			}
		}
	})
}
