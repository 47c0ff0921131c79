// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"time"
)

// Instance is a running copy of a program that uses the schema.
type Instance struct {
	App     string `json:"app"`
	Version string `json:"version"`
	// ID tells copies apart, such as the host's name with a number.
	ID string `json:"id"`
	// Knows are the IDs of changes that this version was written for: it works without
	// their old side. To register makes its Version one of their New, so that versions
	// which nobody had thought of when a change began are not taken for old ones. A
	// program says so for as long as a change may be on record.
	Knows []string `json:"knows,omitempty"`
	// Seen is when it was last heard of, by the database's clock.
	Seen time.Time `json:"seen,omitzero"`
}

// String is app@version with the ID. A connection whose name begins with app@version
// counts as alive too, where the database knows such names.
func (i Instance) String() string { return i.App + "@" + i.Version + " (" + i.ID + ")" }

func (i Instance) check() error {
	if err := need("App", i.App, "Version", i.Version, "ID", i.ID); err != nil {
		return errors.Join(errors.New("migrate: instance"), err)
	}
	return nil
}

// Attend registers an instance with a database and goes on saying that it is alive, every
// third of ttl, until ctx ends; then it takes it from the list. A program calls it before
// it first reads or writes the tables: when it fails with ErrRetired, the schema is past
// that version, which must stop. Other errors are passed over once it is registered, and
// tried again. ready, if not nil, is called once it is registered.
func Attend(ctx context.Context, db Database, i Instance, ttl time.Duration, ready func()) error {
	if err := i.check(); err != nil {
		return err
	}
	if ttl <= 0 {
		ttl = DefaultInstanceTTL
	}
	if err := db.Register(ctx, i); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ttl/3)
		defer cancel()
		_ = db.Unregister(ctx, i) // it runs out by itself
	}()
	if ready != nil {
		ready()
	}
	tick := time.NewTicker(ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if err := heartbeat(ctx, db, i, ttl/3); errors.Is(err, ErrRetired) {
				return err
			}
		}
	}
}

// heartbeat registers once more, and does not let one call that hangs keep it from the next.
func heartbeat(ctx context.Context, db Database, i Instance, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return db.Register(ctx, i)
}
