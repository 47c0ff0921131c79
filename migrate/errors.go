// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Errors to branch on.
var (
	// ErrLockTimeout: a lock was not to be had within Options.LockTimeout. It is tried
	// again, until Options.LockBudget is used up.
	ErrLockTimeout = errors.New("migrate: lock timeout")
	// ErrRetry: the database gave up the transaction for reasons of its own, such as a
	// deadlock, and it may be tried again.
	ErrRetry = errors.New("migrate: transaction given up by the database")
	// ErrLost: the database was not to be reached, or broke the connection off. What was asked
	// may have been done. A Migrator looks, and goes on. Errors of the network, io.EOF and
	// driver.ErrBadConn are taken for it, too.
	ErrLost = errors.New("migrate: the connection is lost")
	// ErrFenced: somebody else has taken the lease since.
	ErrFenced = errors.New("migrate: fenced: another process has taken over")
	// ErrBusy: somebody else has the lease; see [BusyError].
	ErrBusy = errors.New("migrate: another process is at work")
	// ErrOldVersionLive: an instance or a connection is alive that needs what is about to
	// go; see [LiveError].
	ErrOldVersionLive = errors.New("migrate: a version that needs it is alive")
	// ErrDiverged: rows are not as they should be after the backfill; see [DivergedError].
	ErrDiverged = errors.New("migrate: rows differ")
	// ErrChecksum: something that was applied, or begun, has been edited since.
	ErrChecksum = errors.New("migrate: edited since it was applied")
	// ErrUnsafe: it would stop the database's users or lose their data; see [UnsafeError].
	ErrUnsafe = errors.New("migrate: unsafe")
	// ErrContracted: the old side is gone, or going.
	ErrContracted = errors.New("migrate: contracted: there is no way back")
	// ErrRetired: this version cannot run on the schema any more.
	ErrRetired = errors.New("migrate: version retired")
	// ErrNotFound: no change or migration of that name is recorded.
	ErrNotFound = errors.New("migrate: not found")
	// ErrExists: another change of that name is recorded.
	ErrExists = errors.New("migrate: exists already")
	// ErrUnguarded: nothing tells which versions are alive.
	ErrUnguarded = errors.New("migrate: nothing tells which versions are alive")
	// ErrOutOfOrder: a migration comes before one that was applied.
	ErrOutOfOrder = errors.New("migrate: out of order")
	// ErrUnresolved: a statement was begun, could not be one transaction with the record
	// of it, and nothing tells whether it was done; see Migrator.Resolve.
	ErrUnresolved = errors.New("migrate: begun, and not known to be done")

	errTrailing = errors.New("more than one value")
)

// BusyError says who has the lease, and until when by the database's clock. It is ErrBusy.
type BusyError struct {
	Name, Owner string
	Until       time.Time
}

// Error names the owner.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: %s has the lease of %s until %s", ErrBusy, e.Owner, e.Name, e.Until.UTC().Format(time.TimeOnly))
}

// Is makes it ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// StatementError says which statement of a Work failed, and that nothing of it was done,
// unless the connection was lost with it.
type StatementError struct {
	// N is its number, from 1.
	N   int
	Err error
}

// Error is the number and the reason.
func (e *StatementError) Error() string { return fmt.Sprintf("statement %d: %v", e.N, e.Err) }

// Unwrap is the reason.
func (e *StatementError) Unwrap() error { return e.Err }

// LiveError lists who is alive. It is ErrOldVersionLive.
type LiveError struct {
	// Instances have registered and were seen within Options.InstanceTTL.
	Instances []Instance
	// Sessions are connections of the database that name such a version.
	Sessions []string
}

// Error names the first few.
func (e *LiveError) Error() string {
	var who []string
	for _, i := range e.Instances {
		who = append(who, i.String())
	}
	who = append(who, e.Sessions...)
	if n := len(who); n > 5 {
		who = append(who[:5], fmt.Sprintf("and %d more", n-5))
	}
	return fmt.Sprintf("%v: %s", ErrOldVersionLive, strings.Join(who, ", "))
}

// Is makes it ErrOldVersionLive.
func (e *LiveError) Is(target error) bool { return target == ErrOldVersionLive }

// DivergedError says how many rows are not as they should be. It is ErrDiverged.
type DivergedError struct {
	Table string
	Rows  int64
	// Sample are keys of some of them.
	Sample []string
}

// Error counts the rows and names some.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("%v: %d rows of %s, such as %s", ErrDiverged, e.Rows, e.Table, strings.Join(e.Sample, ", "))
}

// Is makes it ErrDiverged.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// UnsafeError says which operation or statement is unsafe, why, and what to do instead.
// It is ErrUnsafe, and errors.ErrUnsupported where the database cannot do it at all.
type UnsafeError struct {
	// Op is the operation, or the statement with its file and line.
	Op, Why, Fix string
	// Unsupported says that the database has no way to do it.
	Unsupported bool
}

// Error is the operation, the reason and the fix.
func (e *UnsafeError) Error() string {
	text := fmt.Sprintf("%v: %s: %s", ErrUnsafe, e.Op, e.Why)
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

// Is makes it ErrUnsafe, and errors.ErrUnsupported where it is.
func (e *UnsafeError) Is(target error) bool {
	return target == ErrUnsafe || e.Unsupported && target == errors.ErrUnsupported
}

// passing says whether an error says no more than that the same may be tried again at once.
func passing(err error) bool {
	return errors.Is(err, ErrLockTimeout) || errors.Is(err, ErrRetry)
}

// held says whether a guard holds something back: it goes on by itself once it does not.
func held(err error) bool {
	return errors.Is(err, ErrOldVersionLive) || errors.Is(err, ErrUnguarded)
}

// lost says whether an error is ErrLost, or one that is taken for it. It says nothing against
// the change.
func lost(err error) bool {
	var network net.Error
	return errors.Is(err, ErrLost) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
