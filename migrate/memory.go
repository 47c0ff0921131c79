// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

// Compile makes one step of each phase for each operation, roughly as a real database does.
func (d *Memory) Compile(ctx context.Context, c Change) (Script, error) {
	var script Script
	err := d.call(ctx, "Compile", func() error {
		if err := c.Check(); err != nil {
			return err
		}
		for i, op := range c.Ops {
			text, err := json.Marshal(op)
			if err != nil {
				return err
			}
			script.Steps = append(script.Steps, memorySteps(i, op, string(text))...)
		}
		slices.SortStableFunc(script.Steps, func(a, b Step) int { return cmp.Compare(a.Phase, b.Phase) })
		return nil
	})
	return script, err
}

func memorySteps(i int, op Op, text string) []Step {
	step := func(p Phase) Step {
		s := Step{Phase: p, Op: i, Name: fmt.Sprintf("%s %d", op.kind(), i), Do: []string{fmt.Sprintf("%v %s %s", p, op.kind(), text)}}
		if p != Contracting {
			s.Undo = []string{fmt.Sprintf("undo %v %s %s", p, op.kind(), text)}
		}
		return s
	}
	walk := func(p Phase, verify bool) Step {
		return Step{Phase: p, Op: i, Name: fmt.Sprintf("walk %d", i), Walk: &Walk{Table: "t", Method: "memory", Pending: "true", Verify: verify}}
	}
	switch op := op.(type) {
	case ReplaceColumn, RenameColumn, ChangeType, SplitTable:
		return []Step{step(Expanding), step(Syncing), walk(Backfilling, false), walk(Verifying, true), step(Soaking), step(Contracting)}
	case Backfill:
		return []Step{step(Syncing), walk(Backfilling, false)}
	case AddIndex:
		s := step(Verifying)
		s.Alone, s.Holds, s.Clean = true, s.Do[0], []string{"clean " + s.Do[0]}
		return []Step{s}
	case DropColumn, DropTable:
		return []Step{step(Soaking), step(Contracting)}
	case SQL:
		s := Step{Phase: max(op.Phase, Expanding), Op: i, Name: op.Name, Do: op.Do, Undo: op.Undo, Alone: op.Alone, Holds: op.Holds}
		return []Step{s}
	default:
		return []Step{step(Expanding)}
	}
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

type memorySession struct {
	d     *Memory
	l     *memoryLease
	fence uint64
	lease time.Duration
}

var errClosed = errors.New("migrate: session is closed")

// call is a Database's call of a session that is not fenced.
func (s *memorySession) call(ctx context.Context, name string, f func() error) error {
	return s.d.call(ctx, name, func() error {
		if s.l.fence != s.fence {
			return ErrFenced
		}
		return f()
	})
}

func (s *memorySession) Fence() uint64 { return s.fence }

func (s *memorySession) Renew(ctx context.Context) error {
	return s.call(ctx, "Renew", func() error {
		if s.l.owner == "" {
			return errClosed
		}
		s.l.until = time.Now().Add(s.lease)
		return nil
	})
}

func (s *memorySession) Now(ctx context.Context) (time.Time, error) {
	return time.Now(), s.call(ctx, "Now", func() error { return nil })
}

func (s *memorySession) Do(ctx context.Context, id string, w Work, next State) error {
	return s.call(ctx, "Do", func() error {
		r, err := s.d.find(id)
		if err != nil {
			return err
		}
		if r.State.Rev+1 != next.Rev {
			return fmt.Errorf("%w: rev %d is saved, and %d was to follow", ErrFenced, r.State.Rev, next.Rev)
		}
		if r.Order.Forbids(r.State.Phase, next.Phase) {
			return fmt.Errorf("%w: %s: an order came before the end of the way back", ErrRetry, id)
		}
		if err := s.guard(w.Guard); err != nil {
			return err
		}
		if w.Func != nil {
			if err := w.Func(ctx, (*sql.Tx)(nil)); err != nil {
				return err
			}
		}
		s.d.log = append(s.d.log, w.Statements...)
		s.d.learn(r, w.Statements)
		r.State = next.clone()
		return nil
	})
}

// learn makes the Holds of a step true once its statements have run, and false again.
func (d *Memory) learn(r *Record, statements []string) {
	for _, step := range r.Script.Steps {
		switch {
		case step.Holds == "" || len(statements) == 0:
		case slices.Equal(statements, step.Do):
			d.holds[step.Holds] = true
		case slices.Equal(statements, step.Undo):
			d.holds[step.Holds] = step.Phase == RollingBack // a file's way down is done, not undone
		case r.Kind == Versioned && r.opposes(step, statements):
			d.holds[step.Holds] = false
		}
	}
}

// opposes says whether statements are a step of a file's other way.
func (r *Record) opposes(step Step, statements []string) bool {
	return slices.ContainsFunc(r.Script.Steps, func(other Step) bool {
		return other.Phase != step.Phase && slices.Equal(statements, slices.Concat(other.Do, other.Undo))
	})
}

func (s *memorySession) guard(g *Guard) error {
	if g == nil {
		return nil
	}
	alive := s.d.alive(g.App, g.TTL)
	if len(alive) == 0 && !g.Only {
		return fmt.Errorf("%w: no instance of %s has registered", ErrUnguarded, g.App)
	}
	if live := slices.DeleteFunc(alive, func(i Instance) bool { return !g.Refuses(i.Version) }); len(live) > 0 {
		return &LiveError{Instances: live}
	}
	return nil
}

func (s *memorySession) Holds(ctx context.Context, query string) (bool, error) {
	var holds bool
	err := s.call(ctx, "Holds", func() error { holds = s.d.holds[query]; return nil })
	return holds, err
}

func (s *memorySession) Batch(ctx context.Context, b BatchOrder) (Batch, error) {
	var done Batch
	err := s.call(ctx, "Batch", func() error {
		r, err := s.d.find(b.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Progress, func(p Progress) bool { return p.Step == b.Step })
		if i < 0 {
			i = len(r.Progress)
			r.Progress = append(r.Progress, Progress{Step: b.Step, Total: cmp.Or(s.d.Rows, 1000)})
		}
		p := &r.Progress[i]
		if b.Restart {
			*p = Progress{Step: b.Step, Total: p.Total}
		}
		done.Size = cmp.Or(b.Size, 100)
		done.Seen = min(int64(done.Size), p.Total-p.Seen)
		if !b.Walk.Verify {
			done.Rows = done.Seen
		}
		p.Rows, p.Seen = p.Rows+done.Rows, p.Seen+done.Seen
		p.Share = float64(p.Seen) / float64(p.Total)
		p.Done = p.Seen >= p.Total
		done.Progress, done.Done = *p, p.Done
		return nil
	})
	return done, err
}

func (s *memorySession) Pressure(ctx context.Context) (Pressure, error) {
	return Pressure{}, s.call(ctx, "Pressure", func() error { return nil })
}

func (s *memorySession) Close(ctx context.Context) error {
	err := s.call(ctx, "Close", func() error { s.l.owner, s.l.until = "", time.Time{}; return nil })
	if errors.Is(err, ErrFenced) {
		return nil
	}
	return err
}
