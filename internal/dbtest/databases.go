// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var postgresData template

// Postgres starts a PostgreSQL. Its superuser is postgres, without a password.
func Postgres(tb testing.TB, o Options) *Server {
	tb.Helper()
	const pkg, places = "postgresql", "/usr/lib/postgresql/*/bin"
	program := need(tb, "postgres", pkg, places)
	initdb := need(tb, "initdb", pkg, filepath.Dir(program))
	isReady := need(tb, "pg_isready", pkg, filepath.Dir(program))
	dir := folder(tb, o)
	postgresData.copyTo(tb, dir, "postgres", func(data string) *exec.Cmd {
		return exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
	})
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "100", "shared_buffers": "64MB",
		"log_line_prefix": "%m [%p] %a ", "log_min_messages": "warning",
	}
	if o.Fast {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	maps.Copy(settings, o.Settings)
	return launch(tb, &Server{
		dir: dir,
		command: func(s *Server) *exec.Cmd {
			args := []string{"-D", s.Dir(), "-p", fmt.Sprint(s.port)}
			for k, v := range settings {
				args = append(args, "-c", k+"="+v)
			}
			cmd := exec.Command(program, args...)
			as(cmd, "postgres")
			return cmd
		},
		ready: func(s *Server) error {
			// On a port that it could not have, another one would answer.
			if err := wrotePidFile(s); err != nil {
				return err
			}
			return exec.Command(isReady, "-q", "-h", "127.0.0.1", "-p", fmt.Sprint(s.port), "-d", "postgres").Run()
		},
		url: func(s *Server, database string) string {
			return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
		},
		stop: fastStop,
	})
}

// wrotePidFile is nil once the server has the data and the port, and is through with its
// recovery: the first line is its process, the eighth what it is doing.
func wrotePidFile(s *Server) error {
	text, err := os.ReadFile(filepath.Join(s.Dir(), "postmaster.pid"))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || lines[0] != fmt.Sprint(s.PID()) || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("still starting")
	}
	return nil
}

// PgBouncer starts one before a PostgreSQL, with pool_mode transaction, session or
// statement.
func PgBouncer(tb testing.TB, postgres *Server, mode string) *Server {
	tb.Helper()
	program := need(tb, "pgbouncer", "pgbouncer", "/usr/sbin")
	dir := folder(tb, Options{})
	return launch(tb, &Server{
		dir: dir,
		command: func(s *Server) *exec.Cmd {
			config := filepath.Join(dir, "pgbouncer.ini")
			text := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
max_client_conn = 200
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
server_reset_query_always = 0
`, postgres.port, s.port, mode)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it
				tb.Error(err)
			}
			cmd := exec.Command(program, config)
			as(cmd, "postgres")
			return cmd
		},
		ready: func(s *Server) error {
			if !s.logged("listening on " + address(s.port)) { // else another one may answer
				return errors.New("still starting")
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Second)
			defer cancel()
			return dial(ctx, s.port)
		},
		url: func(s *Server, database string) string {
			return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
		},
		stop: syscall.SIGKILL, // it keeps nothing, and its orderly ways wait for clients, in some versions by every signal
	})
}

var mariaData template

// MariaDB starts one. Its superuser is root, without a password, and it has a database
// named test.
func MariaDB(tb testing.TB, o Options) *Server {
	tb.Helper()
	const pkg = "mariadb-server"
	program := need(tb, "mariadbd", pkg, "/usr/sbin")
	install := need(tb, "mariadb-install-db", pkg)
	client := need(tb, "mariadb", "mariadb-client")
	dir := folder(tb, o)
	mariaData.copyTo(tb, dir, "", func(data string) *exec.Cmd {
		return exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-name-resolve", "--user="+mariaUser(tb))
	})
	settings := map[string]string{
		"bind-address": "127.0.0.1", "skip-name-resolve": "1", "innodb-buffer-pool-size": "64M", "innodb-log-file-size": "48M",
		"performance-schema": "0", "max-connections": "200",
	}
	if o.Fast {
		settings["innodb-flush-log-at-trx-commit"], settings["innodb-doublewrite"] = "0", "0"
	}
	maps.Copy(settings, o.Settings)
	socket := filepath.Join(dir, "socket")
	ask := func(text string) error {
		out, err := exec.Command(client, "--no-defaults", "--socket="+socket, "-u", "root", "-e", text).CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	}
	return launch(tb, &Server{
		dir: dir,
		command: func(s *Server) *exec.Cmd {
			_ = os.Remove(socket) // a killed one leaves it
			// A server that starts removes the temporary tables of all that share its tmpdir.
			args := []string{"--no-defaults", "--datadir=" + s.Dir(), "--tmpdir=" + s.Dir(), fmt.Sprintf("--port=%d", s.port), "--socket=" + socket, "--pid-file=" + filepath.Join(dir, "pid"), "--user=" + mariaUser(tb)}
			for k, v := range settings {
				args = append(args, "--"+k+"="+v)
			}
			return exec.Command(program, args...)
		},
		// The socket is its own, while on a port that it could not have another one would
		// answer. It is there after the port.
		ready: func(*Server) error {
			if _, err := os.Stat(socket); err != nil {
				return err
			}
			return ask("create database if not exists test")
		},
		url: func(s *Server, database string) string {
			return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s?parseTime=true", s.port, database)
		},
		stop: inOrder,
	})
}

// mariaUser is who runs the server: whoever runs the test, root too, since the data is
// theirs.
func mariaUser(tb testing.TB) string {
	tb.Helper()
	u, err := user.Current()
	if err != nil {
		tb.Fatal(err)
	}
	return u.Username
}
