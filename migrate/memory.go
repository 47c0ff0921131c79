// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a Database without data, for tests of programs that use this package. It keeps
// records, leases, fences, instances and the progress of walks as a real one does, and the
// statements it was given in a log. It does not emulate SQL: every statement succeeds, and
// a Holds query is true once the statements of the step it belongs to have run.
type Memory struct {
	// Before and After, if set, are called around each call of the Database and its
	// Sessions with the method's name; their error is the call's. After an error of After
	// the call has been carried out: a lost reply. Set them before use.
	Before, After func(ctx context.Context, call string) error
	// Rows is how many rows each walk finds. 0 is 1000.
	Rows int64

	mu        sync.Mutex
	records   []Record
	leases    map[string]*memoryLease
	instances []Instance
	log       []string
	holds     map[string]bool
}

type memoryLease struct {
	owner string
	fence uint64
	until time.Time
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{leases: map[string]*memoryLease{}, holds: map[string]bool{}}
}

// Statements is every statement that was run, in order.
func (d *Memory) Statements() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.log)
}

// call runs f under the lock, between Before and After.
func (d *Memory) call(ctx context.Context, name string, f func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if d.Before != nil {
		if err := d.Before(ctx, name); err != nil {
			return err
		}
	}
	d.mu.Lock()
	err := f()
	d.mu.Unlock()
	if err != nil || d.After == nil {
		return err
	}
	return d.After(ctx, name)
}

// Name is "memory".
func (d *Memory) Name() string { return "memory" }

// Setup has nothing to make.
func (d *Memory) Setup(ctx context.Context) error {
	return d.call(ctx, "Setup", func() error { return nil })
}

func (d *Memory) find(id string) (*Record, error) {
	for i := range d.records {
		if d.records[i].ID == id {
			return &d.records[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
}

// Create saves a new record.
func (d *Memory) Create(ctx context.Context, r Record) error {
	return d.call(ctx, "Create", func() error {
		old, err := d.find(r.ID)
		if err != nil {
			d.records = append(d.records, r)
			return nil
		}
		if old.State.Phase != RolledBack {
			return fmt.Errorf("%w: %s", ErrExists, r.ID)
		}
		*old = r
		return nil
	})
}

// Load reads a record.
func (d *Memory) Load(ctx context.Context, id string) (Record, error) {
	var r Record
	err := d.call(ctx, "Load", func() error {
		found, err := d.find(id)
		if err == nil {
			r = d.copyOf(found)
		}
		return err
	})
	return r, err
}

func (d *Memory) copyOf(r *Record) Record {
	c := *r
	c.State = r.State.clone()
	c.Progress = slices.Clone(r.Progress)
	if l := d.leases["change:"+r.ID]; l != nil && time.Now().Before(l.until) {
		c.Owner, c.Until = l.owner, l.until
	}
	return c
}

// List reads every record.
func (d *Memory) List(ctx context.Context) ([]Record, error) {
	var all []Record
	err := d.call(ctx, "List", func() error {
		for i := range d.records {
			all = append(all, d.copyOf(&d.records[i]))
		}
		return nil
	})
	return all, err
}

// Order replaces a record's order.
func (d *Memory) Order(ctx context.Context, id string, o Order) error {
	return d.call(ctx, "Order", func() error {
		r, err := d.find(id)
		if err != nil {
			return err
		}
		if o.Want == RolledBack && (r.State.Phase == Contracting || r.State.Phase == Done) {
			return fmt.Errorf("%w: %s", ErrContracted, id)
		}
		if o.N != 0 && o.N != r.Order.N+1 {
			return fmt.Errorf("%w: %s: order %d is there, and %d was to follow", ErrRetry, id, r.Order.N, o.N)
		}
		r.Order = o
		return nil
	})
}

// Lock takes a lease.
func (d *Memory) Lock(ctx context.Context, name, owner string, lease time.Duration) (Session, error) {
	var s *memorySession
	err := d.call(ctx, "Lock", func() error {
		l := d.leases[name]
		if l == nil {
			l = &memoryLease{}
			d.leases[name] = l
		}
		if now := time.Now(); l.owner != "" && l.owner != owner && now.Before(l.until) {
			return &BusyError{Name: name, Owner: l.owner, Until: l.until}
		}
		l.fence++
		l.owner, l.until = owner, time.Now().Add(lease)
		s = &memorySession{d: d, l: l, fence: l.fence, lease: lease}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Register says that an instance is alive.
func (d *Memory) Register(ctx context.Context, i Instance) error {
	return d.call(ctx, "Register", func() error {
		if err := i.check(); err != nil {
			return err
		}
		for k, r := range d.records {
			if r.App == i.App && slices.Contains(i.Knows, r.ID) && !slices.Contains(r.New, i.Version) {
				r.New = append(slices.Clone(r.New), i.Version)
				d.records[k].New = r.New
			}
			if r.App == i.App && r.State.Hidden && !slices.Contains(r.New, i.Version) {
				return fmt.Errorf("%w: %s needs what %s has taken away", ErrRetired, i, r.ID)
			}
		}
		d.forget(i)
		i.Seen = time.Now()
		d.instances = append(d.instances, i)
		return nil
	})
}

func (d *Memory) forget(i Instance) {
	d.instances = slices.DeleteFunc(d.instances, func(o Instance) bool { return o.App == i.App && o.Version == i.Version && o.ID == i.ID })
}

// Unregister forgets an instance.
func (d *Memory) Unregister(ctx context.Context, i Instance) error {
	return d.call(ctx, "Unregister", func() error { d.forget(i); return nil })
}

// Instances lists those of an app.
func (d *Memory) Instances(ctx context.Context, app string, ttl time.Duration) ([]Instance, error) {
	var alive []Instance
	err := d.call(ctx, "Instances", func() error { alive = d.alive(app, ttl); return nil })
	return alive, err
}

func (d *Memory) alive(app string, ttl time.Duration) []Instance {
	var alive []Instance
	for _, i := range d.instances {
		if i.App == app && time.Since(i.Seen) <= ttl {
			alive = append(alive, i)
		}
	}
	return alive
}
