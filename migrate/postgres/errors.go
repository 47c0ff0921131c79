// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rheostat-go/rheostat/migrate"
)

// What the functions of the state schema raise.
const (
	codeFenced    = "RH001"
	codeLive      = "RH002" // the detail is live
	codeUnguarded = "RH003"
	codeRetired   = "RH004"
	codeGone      = "RH005"
	codeOrdered   = "RH006"
)

var sentinels = map[string]error{
	"55P03":       migrate.ErrLockTimeout, // lock_not_available
	"40P01":       migrate.ErrRetry,       // deadlock_detected
	"40001":       migrate.ErrRetry,       // serialization_failure
	codeFenced:    migrate.ErrFenced,
	codeUnguarded: migrate.ErrUnguarded,
	codeRetired:   migrate.ErrRetired,
	codeGone:      migrate.ErrNotFound,
	codeOrdered:   migrate.ErrRetry,
}

// lost are what a server says when it ends a connection, or takes none, and somebody who comes
// back later may find it as before, or another one in its place.
var lost = []string{
	"08000", "08003", "08006", // connection_exception and its kinds
	"25006",          // read_only_sql_transaction: it is not the primary any more
	"25P03", "57P05", // it was idle for too long
	"53300",                            // too_many_connections
	"57P01", "57P02", "57P03", "08P01", // admin_shutdown, crash_shutdown, cannot_connect_now, and what a pooler says
}

// brokenOff is query_canceled: by a timeout of a statement, or by somebody.
const brokenOff = "57014"

// wrap gives an error of the server its meaning. The server's message is told, and its detail is
// not: that shows values of rows.
func wrap(err error) error {
	var e *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgconn.ErrConnClosed): // all that pgx says of a connection that went away without a word
		return fmt.Errorf("%w: %w", migrate.ErrLost, err)
	case !errors.As(err, &e):
		return fmt.Errorf("postgres: %w", err)
	case e.Code == codeLive:
		return live(e.Detail)
	case slices.Contains(lost, e.Code):
		return fmt.Errorf("%w: %w", migrate.ErrLost, err)
	case sentinels[e.Code] != nil:
		return fmt.Errorf("%w: %s", sentinels[e.Code], e.Message)
	}
	return fmt.Errorf("postgres: %w", err)
}

// live reads what the guard found.
func live(detail string) error {
	var found struct {
		Instances []migrate.Instance `json:"instances"`
		Sessions  []string           `json:"sessions"`
	}
	if err := json.Unmarshal([]byte(detail), &found); err != nil {
		return errors.Join(migrate.ErrOldVersionLive, err)
	}
	return &migrate.LiveError{Instances: found.Instances, Sessions: found.Sessions}
}
