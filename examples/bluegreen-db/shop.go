// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

const (
	app = "shop"
	// versionHeader names the version that answered, and refusedHeader is there when it
	// refused an address, having written nothing.
	versionHeader, refusedHeader = "Version", "Refused"
)

// columns are where each version keeps an address.
var columns = map[string]string{"v1": "email", "v2": "new_email", "v2.1": "new_email"}

// shop is a running instance of one version.
type shop struct {
	version, column string
	text            func(string) string
	db              *sql.DB
	url             *url.URL
	http            *http.Server
	wg              sync.WaitGroup
	leave           context.CancelFunc
}

// startShop registers an instance before it first touches a table, as programs should,
// and fails where the schema has left that version behind.
func startShop(ctx context.Context, b *base, version string) (*shop, error) {
	s := &shop{version: version, column: columns[version], text: b.text}
	ctx, s.leave = context.WithCancel(context.WithoutCancel(ctx))
	ready, over := make(chan struct{}), make(chan error, 1)
	s.wg.Go(func() {
		me := migrate.Instance{App: app, Version: version, ID: "1"}
		over <- migrate.Attend(ctx, b, me, 0, func() { close(ready) })
	})
	select {
	case <-ready:
	case err := <-over:
		s.leave()
		return nil, err
	}
	if err := s.listen(b); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *shop) listen(b *base) (err error) {
	if s.db, err = b.open(app + "@" + s.version); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(clients)
	s.db.SetMaxIdleConns(clients)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = &url.URL{Scheme: "http", Host: l.Addr().String()}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.wg.Go(func() { _ = s.http.Serve(l) }) // until stop
	return nil
}

// stop lets requests under way finish, then closes the connections, and only then says
// that the instance is gone.
func (s *shop) stop() error {
	var err error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err = s.http.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			err = s.http.Close() // connections that were opened and never used
		}
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	s.leave()
	s.wg.Wait()
	return err
}

// ServeHTTP reads an address (GET), writes it (PUT) or adds a user (POST) at /ID.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(versionHeader, s.version)
	id, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		http.Error(w, "want /ID", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
	if err != nil {
		http.Error(w, "an address is shorter", http.StatusBadRequest)
		return
	}
	email := string(body)
	if s.version == "v2" && strings.Contains(email, "+") { // the bug
		w.Header().Set(refusedHeader, "true")
		http.Error(w, "no address has a + in it", http.StatusInternalServerError)
		return
	}
	switch r.Method {
	case http.MethodPost:
		err = s.write(r.Context(), "INSERT INTO users ("+s.column+", id) VALUES ($1, $2)", email, id)
	case http.MethodPut:
		err = s.write(r.Context(), "UPDATE users SET "+s.column+" = $1 WHERE id = $2", email, id)
	default:
		err = s.db.QueryRowContext(r.Context(), s.text("SELECT "+s.column+" FROM users WHERE id = $1"), id).Scan(&email)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, email) // a client that left is no error of ours
}

func (s *shop) write(ctx context.Context, query, email string, id int64) error {
	result, err := s.db.ExecContext(ctx, s.text(query), email, id)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%d users have the number %d", n, id))
	}
	return nil
}
