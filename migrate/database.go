// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// Database is a database that changes are made to, and that remembers how far they are.
// Implementations are safe for concurrent use, and for use by several processes at once.
// Package migratetest holds them to this.
//
// One that has a method DefaultThrottle() Throttle says with it what the zeros of
// Options.Throttle are. One whose method CommitsDDL() bool returns true commits each statement
// that changes the schema by itself: the statements of a file that do are run one by one, and
// what a crash leaves in doubt is looked up. Neither method is needed.
type Database interface {
	// Name is the kind of database, for people: "postgres".
	Name() string
	// Setup makes the tables that records are kept in, if they are not there. Several
	// processes may do it at once.
	Setup(ctx context.Context) error
	// Compile makes the script of a change against the catalog as it is now. Operations
	// that are not safe are *UnsafeError, joined. Steps are in order of their phases. It
	// writes nothing.
	Compile(ctx context.Context, c Change) (Script, error)

	// Create saves a new record with State.Rev 0. It fails with ErrExists if there is one of
	// that name, unless that was rolled back: then it is replaced, progress and all.
	Create(ctx context.Context, r Record) error
	// Load reads a record, or fails with ErrNotFound.
	Load(ctx context.Context, id string) (Record, error)
	// List reads every record in the order they were created.
	List(ctx context.Context) ([]Record, error)
	// Order replaces a record's Order. It needs no lease, and does not change State. An
	// order for RolledBack of a record that is contracting or done is refused with
	// ErrContracted, any order of one that is not there with ErrNotFound, and one whose N is
	// not 0 and does not follow that of the order that is there with ErrRetry: somebody else
	// has ordered since.
	Order(ctx context.Context, id string, o Order) error

	// Lock takes the lease of that name for owner and raises its fence; or fails with a
	// *BusyError while another owner has it. It never waits for the other. The same owner
	// may take it again, and fences its earlier self.
	Lock(ctx context.Context, name, owner string, lease time.Duration) (Session, error)

	// Register says that an instance is alive now. It fails with ErrRetired if the State of
	// a change of the instance's App is Hidden and its version is not among the change's
	// New. Before that it adds the version to New of the changes of the App that the
	// instance Knows. It and a save that has a Guard exclude each other.
	Register(ctx context.Context, i Instance) error
	// Unregister forgets an instance, whether or not it is there.
	Unregister(ctx context.Context, i Instance) error
	// Instances lists those of an app that were seen within ttl.
	Instances(ctx context.Context, app string, ttl time.Duration) ([]Instance, error)
}

// Session is a lease held. It is used by one goroutine, apart from Renew, Close and Batch
// for different shards. Every method but Close fails with ErrFenced, and changes nothing, once another has taken the
// lease; a lease that ran out unnoticed, and that nobody took, goes on.
type Session interface {
	// Fence is above that of every earlier session of the same name.
	Fence() uint64
	// Renew makes the lease last from now.
	Renew(ctx context.Context) error
	// Now is the database's clock.
	Now(ctx context.Context) (time.Time, error)
	// Do runs w and saves next as the record's state, if the state saved has the Rev
	// before next's; otherwise ErrFenced. Unless w.Alone it is one transaction, which
	// waits for no lock longer than w.LockTimeout and holds none across a round trip
	// where the database can. A save that the record's Order at that moment Forbids is
	// ErrRetry: an order that was accepted while there was a way back is followed. An error
	// means that nothing was done, or that the reply was lost: load the record to see.
	Do(ctx context.Context, id string, w Work, next State) error
	// Holds answers a Step's Holds.
	Holds(ctx context.Context, query string) (bool, error)
	// Batch does the next batch of a walk, and saves where it is in the same transaction.
	// After a crash it goes on there, and does no row twice.
	Batch(ctx context.Context, b BatchOrder) (Batch, error)
	// Pressure says how the database bears it.
	Pressure(ctx context.Context) (Pressure, error)
	// Close gives the lease back.
	Close(ctx context.Context) error
}

// Work is what Session.Do does.
type Work struct {
	Statements []string
	// Func, if set, is done after the statements, in the same transaction.
	Func func(ctx context.Context, tx *sql.Tx) error
	// Alone runs each statement by itself, and saves after the last.
	Alone bool
	// Guard, if set, is asked in the transaction that saves.
	Guard *Guard
	// LockTimeout bounds the wait for one lock; 0 is the database's own.
	LockTimeout time.Duration
	// Timeout bounds each statement; 0 is none.
	Timeout time.Duration
}

// Guard refuses with a *LiveError while some instances are alive. One that is not Only also
// refuses with ErrUnguarded while none at all is alive: then nobody registers, and nothing
// is known.
type Guard struct {
	App string
	// Versions are those that may live or, with Only, those that may not.
	Versions []string
	Only     bool
	// TTL is how long ago an instance was seen that counts as alive.
	TTL time.Duration
}

// Refuses says whether the guard refuses while an instance of that version is alive.
func (g *Guard) Refuses(version string) bool {
	return slices.Contains(g.Versions, version) == g.Only
}

// BatchOrder asks for one batch.
type BatchOrder struct {
	// ID and Step name the walk, which is Walk.
	ID   string
	Step int
	Walk Walk
	// Size is how much, in the units of the walk's method. 0 is where to begin, which the
	// database knows better.
	Size int
	// Shard is which of Shards parts of the table; Shards 0 is 1.
	Shard, Shards int
	// Restart begins the walk again.
	Restart bool
	// LockTimeout bounds the wait for one lock.
	LockTimeout time.Duration
}

// Batch is what one batch did.
type Batch struct {
	// Size was used. The governor asks for more or less next time.
	Size int
	// Rows were written (or, verifying, were wrong), Seen were looked at.
	Rows, Seen int64
	// Took is the database's time, as the client saw it.
	Took time.Duration
	// Progress is of the whole walk.
	Progress Progress
	// Sample are keys of rows that a walk that verifies found wrong.
	Sample []string
	// Done says that the walk, or this shard of it, is at its end.
	Done bool
}

// Pressure is how the database bears the work. Zeros are no pressure, or not known.
type Pressure struct {
	// Blocked is how many others wait for a lock of ours.
	Blocked int
	// Lag is how far the slowest replica is behind.
	Lag time.Duration
	// Snapshot is the age of the oldest snapshot, which keeps dead rows from being removed.
	Snapshot time.Duration
	// Log is how near the write-ahead log is to forcing a checkpoint, 0 to 1.
	Log float64
	// Commit is the time a small commit takes now.
	Commit time.Duration
}
