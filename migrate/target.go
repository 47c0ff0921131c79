// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Target is where a database is. It prints without what is secret.
type Target struct {
	// Name says where it is from: an environment of database.json, or DATABASE_URL.
	Name string
	// Driver is "postgres", "mysql" or "sqlite".
	Driver string

	source string // as the driver reads it
	shown  string
}

// DataSource is what the driver opens, with any secret: a URL for PostgreSQL, a DSN of
// go-sql-driver for MySQL and MariaDB, and a file's path for SQLite.
func (t Target) DataSource() string { return t.source }

// String is the target without user's password and parameters.
func (t Target) String() string { return t.Name + ": " + t.shown }

// GoString is String.
func (t Target) GoString() string { return t.String() }

// ReadTarget reads where a database is from a file as db-migrate has it, database.json:
//
//	{
//		"dev":  {"driver": "pg", "connectionString": "postgres://localhost/dev"},
//		"prod": {"driver": "mysql", "host": "db", "user": "app", "password": {"ENV": "DB_PASSWORD"}, "database": "app"}
//	}
//
// An environment is such an object, or a URL, or {"ENV": "…"} with a variable that holds
// one. The drivers are pg, mysql and sqlite3, with their other names; the fields url or
// connectionString, or host, port, socketPath, user, password, database, schema and ssl,
// or filename. An empty environment is the file's defaultEnv, or dev. DATABASE_URL, if it
// is set, is taken instead of all that; file may then be empty.
//
// getenv is os.Getenv; nil knows no variables. Errors name the field, and no value.
func ReadTarget(file []byte, environment string, getenv func(string) string) (Target, error) {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	r := targetReader{getenv: getenv, at: "DATABASE_URL"}
	if text := getenv("DATABASE_URL"); text != "" {
		return r.url("DATABASE_URL", text, "")
	}
	r.at = "database.json"
	if len(bytes.TrimSpace(file)) == 0 {
		return Target{}, errors.New("migrate: there is neither database.json nor DATABASE_URL: set one of them")
	}
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return Target{}, r.fail("it is no JSON object: %w", syntax(err))
	}
	name, err := r.environment(all, environment)
	if err != nil {
		return Target{}, err
	}
	r.at += ": " + name
	switch e := all[name].(type) {
	case string:
		return r.url(name, e, "")
	case map[string]any:
		if _, is := e["ENV"]; is {
			text, err := r.text(all, name)
			if err != nil {
				return Target{}, err
			}
			return r.url(name, text, "")
		}
		return r.object(name, e)
	}
	return Target{}, r.fail("it must be an object or a URL")
}

// syntax is a JSON error without a value in it.
func syntax(err error) error {
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		return fmt.Errorf("%w (at byte %d)", err, e.Offset)
	}
	return errors.New("it begins with something else")
}

type targetReader struct {
	getenv func(string) string
	at     string
}

func (r targetReader) fail(format string, args ...any) error {
	return fmt.Errorf("migrate: %s: %w", r.at, fmt.Errorf(format, args...))
}

// environment chooses one.
func (r targetReader) environment(all map[string]any, wanted string) (string, error) {
	if wanted == "" {
		text, err := r.text(all, "defaultEnv")
		if err != nil {
			return "", err
		}
		wanted = text
	}
	if wanted == "" {
		wanted = "dev"
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(n string) bool { return n == "defaultEnv" || n == "sql-file" })
	if slices.Contains(names, wanted) {
		return wanted, nil
	}
	return "", r.fail("it has no environment %q, but %s", wanted, strings.Join(names, ", "))
}

// text is a field's string, number or variable, or empty if it is not there.
func (r targetReader) text(all map[string]any, field string) (string, error) {
	switch v := all[field].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case map[string]any:
		name, ok := v["ENV"].(string)
		if !ok || len(v) != 1 {
			return "", r.fail(`field %s must be a string or {"ENV": "NAME"}`, field)
		}
		text := r.getenv(name)
		if text == "" {
			return "", r.fail("field %s is the variable %s, which is not set", field, name)
		}
		return text, nil
	}
	return "", r.fail("field %s must be a string", field)
}

var targetFields = []string{"driver", "url", "connectionString", "host", "port", "socketPath", "user", "username", "password", "database", "schema", "ssl", "filename"}

// object reads an environment's fields.
func (r targetReader) object(name string, all map[string]any) (Target, error) {
	f := map[string]string{}
	for field, value := range all {
		if field == "ssl" {
			value, ok := value.(bool)
			if !ok {
				return Target{}, r.fail("field ssl must be true or false")
			}
			f[field] = map[bool]string{true: "true", false: ""}[value]
			continue
		}
		if !slices.Contains(targetFields, field) {
			return Target{}, r.fail("unknown field %s: there are %s", field, strings.Join(targetFields, ", "))
		}
		text, err := r.text(all, field)
		if err != nil {
			return Target{}, err
		}
		f[field] = text
	}
	driver := ""
	if f["driver"] != "" {
		if driver = driverOf(f["driver"]); driver == "" {
			return Target{}, r.fail("field driver: there is none called %q, but pg, mysql and sqlite3", f["driver"])
		}
	}
	for _, field := range []string{"connectionString", "url"} {
		if f[field] != "" {
			r.at += ": field " + field
			return r.url(name, f[field], driver)
		}
	}
	switch driver {
	case "postgres":
		return r.postgres(name, f)
	case "mysql":
		return r.mysql(name, f)
	case "sqlite":
		if f["filename"] == "" {
			return Target{}, r.fail("field filename is missing")
		}
		return Target{Name: name, Driver: driver, source: f["filename"], shown: "sqlite " + f["filename"]}, nil
	}
	return Target{}, r.fail("field driver is missing: pg, mysql or sqlite3")
}

// driverOf is the driver that somebody means, or nothing.
func driverOf(name string) string {
	switch strings.ToLower(name) {
	case "pg", "postgres", "postgresql", "pgx":
		return "postgres"
	case "mysql", "mysql2", "mariadb":
		return "mysql"
	case "sqlite", "sqlite3", "file":
		return "sqlite"
	}
	return ""
}

// url reads a URL. driver is what a field has said, or empty.
func (r targetReader) url(name, text, driver string) (Target, error) {
	scheme, rest, found := strings.Cut(text, ":")
	byScheme := driverOf(scheme)
	switch {
	case driver == "sqlite" && byScheme == "":
		return Target{Name: name, Driver: driver, source: text, shown: "sqlite " + text}, nil
	case driver != "" && (!found || byScheme == "") && !strings.Contains(text, "://"):
		// the driver's own words
		return Target{Name: name, Driver: driver, source: text, shown: driver}, nil
	case byScheme == "":
		return Target{}, r.fail("it must begin with postgres:, mysql: or sqlite:")
	case driver != "" && driver != byScheme:
		return Target{}, r.fail("it is one of %s, and field driver says %s", byScheme, driver)
	case byScheme == "sqlite":
		return r.sqlite(name, rest)
	}
	u, err := url.Parse(text)
	if err != nil { // which would show a part of it
		return Target{}, r.fail("it is no URL: characters such as @ / # and %% in a password must be written as %%40 %%2F %%23 and %%25")
	}
	shown := url.URL{Scheme: byScheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	if byScheme == "postgres" {
		u.Scheme = "postgres"
		return Target{Name: name, Driver: byScheme, source: u.String(), shown: shown.String()}, nil
	}
	password, _ := u.User.Password()
	return r.dsn(name, map[string]string{
		"user": u.User.Username(), "password": password, "host": u.Hostname(), "port": u.Port(), "database": strings.TrimPrefix(u.Path, "/"),
	}, u.Query())
}

// sqlite reads sqlite:app.db, sqlite://app.db and sqlite:///var/lib/app.db.
func (r targetReader) sqlite(name, rest string) (Target, error) {
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	if err != nil || path == "" || strings.Contains(rest, "?") {
		return Target{}, r.fail("it must be a path after sqlite: and nothing else")
	}
	return Target{Name: name, Driver: "sqlite", source: path, shown: "sqlite " + path}, nil
}

// need says which of these fields are missing.
func (r targetReader) need(f map[string]string, fields ...string) error {
	for _, field := range fields {
		if f[field] == "" {
			return r.fail("field %s is missing", field)
		}
	}
	return nil
}

func (r targetReader) postgres(name string, f map[string]string) (Target, error) {
	if err := r.need(f, "database"); err != nil {
		return Target{}, err
	}
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("search_path", f["schema"])
	if f["ssl"] != "" {
		set("sslmode", "require")
	}
	u := url.URL{Scheme: "postgres", Host: address(f, "localhost", ""), Path: "/" + f["database"]}
	if f["socketPath"] != "" {
		u.Host = ""
		set("host", f["socketPath"])
		set("port", f["port"])
	}
	shown := u
	if user := f["user"] + f["username"]; user != "" {
		u.User, shown.User = url.User(user), url.User(user)
		if f["password"] != "" {
			u.User = url.UserPassword(user, f["password"])
		}
	}
	u.RawQuery = q.Encode()
	return Target{Name: name, Driver: "postgres", source: u.String(), shown: shown.String()}, nil
}

// address is host and port.
func address(f map[string]string, host, port string) string {
	if f["host"] != "" {
		host = strings.Trim(f["host"], "[]")
	}
	if f["port"] != "" {
		port = f["port"]
	}
	if port == "" {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

func (r targetReader) mysql(name string, f map[string]string) (Target, error) {
	if err := r.need(f, "database"); err != nil {
		return Target{}, err
	}
	q := url.Values{}
	if f["ssl"] != "" {
		q.Set("tls", "true")
	}
	f["user"] += f["username"]
	return r.dsn(name, f, q)
}

// dsn writes what go-sql-driver reads.
func (r targetReader) dsn(name string, f map[string]string, q url.Values) (Target, error) {
	if strings.Contains(f["user"], ":") {
		return Target{}, r.fail("a user's name with a colon cannot be written in a DSN")
	}
	at := "tcp(" + address(f, "localhost", "3306") + ")/" + url.PathEscape(f["database"])
	if f["socketPath"] != "" {
		at = "unix(" + f["socketPath"] + ")/" + url.PathEscape(f["database"])
	}
	shown, source := at, at
	if f["user"] != "" {
		shown = f["user"] + "@" + at
		source = shown
		if f["password"] != "" {
			source = f["user"] + ":" + f["password"] + "@" + at
		}
	}
	if len(q) > 0 {
		source += "?" + q.Encode()
	}
	return Target{Name: name, Driver: "mysql", source: source, shown: "mysql " + shown}, nil
}
