// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// half is a Part as it is carried out on one database.
type half []fileStep

// fileStep is what is done at once.
type fileStep struct {
	do []string
	fn func(context.Context, *sql.Tx) error
	// begun says that it is not one transaction with the record of it, so that it is saved
	// before that it is begun. alone says that do is one statement outside a transaction.
	begun, alone bool
	// recheck is how to tell whether a step that was begun is done.
	recheck sqltext.Recheck
	file    string
	lines   []int

	lockTimeout, timeout time.Duration
}

// at is where statement i is.
func (s fileStep) at(i int) string {
	if i < 0 || i >= len(s.lines) {
		return s.file
	}
	return fmt.Sprintf("%s:%d", s.file, s.lines[i])
}

// script is a part read for one database.
type script struct {
	half half
	all  []sqltext.Statement
	file string
}

// whole says that it is one transaction.
func (s script) whole() bool {
	return len(s.half) == 1 && !s.half[0].alone && len(s.half[0].do) == len(s.all)
}

// read reads a part, and splits it into what can be done at once.
func (m *Migrator) read(id string, p Part) (script, error) {
	s := script{file: p.name(id)}
	d := sqltext.Of(m.db.Name())
	all, err := sqltext.Split(normal(p.SQL), d, max(p.line, 1))
	if err != nil {
		return s, fmt.Errorf("migrate: %w", located(s.file, err))
	}
	if n := len(all); n > 1 && !p.Alone && begins(all[0]) && ends(all[n-1]) {
		all = all[1 : n-1] // it is a transaction anyway
	}
	s.all = all
	for _, x := range all {
		if x.Control() {
			return s, fmt.Errorf("migrate: %s:%d: %s would end the transaction that records it: leave it out, or let the script begin with BEGIN and end with COMMIT", s.file, x.Line, x.Words[0])
		}
	}
	commits := false
	if db, ok := m.db.(interface{ CommitsDDL() bool }); ok {
		commits = db.CommitsDDL()
	}
	if !p.Alone && (!commits || !slices.ContainsFunc(all, func(s sqltext.Statement) bool { return !is(s, dml...) })) {
		step := fileStep{fn: p.Func, begun: commits && p.Func != nil, file: s.file}
		for _, x := range all {
			step.do, step.lines = append(step.do, x.Text), append(step.lines, x.Line)
		}
		s.half = half{step}
	} else {
		s.half = oneByOne(s, d, p.Func)
	}
	for i := range s.half {
		s.half[i].lockTimeout, s.half[i].timeout = p.LockTimeout, p.Timeout
	}
	return s, nil
}

// oneByOne makes a step of each statement. Those that can be a transaction together with
// the record of them are.
func oneByOne(s script, d sqltext.Dialect, fn func(context.Context, *sql.Tx) error) half {
	var h half
	for _, x := range s.all {
		alone := d == sqltext.Generic || x.Alone(d)
		step := fileStep{do: []string{x.Text}, begun: alone, alone: alone, file: s.file, lines: []int{x.Line}}
		if alone {
			step.recheck = x.Recheck(d)
		}
		h = append(h, step)
	}
	if fn != nil || len(h) == 0 {
		h = append(h, fileStep{fn: fn, begun: fn != nil, file: s.file})
	}
	return h
}

// halve is what can be done at once of a part that cannot but work.
func (m *Migrator) halve(id string, p Part) (half, error) {
	s, err := m.read(id, p)
	if err != nil {
		return nil, err
	}
	d := sqltext.Of(m.db.Name())
	_, err = lint(sqltext.NewLinter(d), d, s.file, s.all, s.whole())
	return s.half, err
}

// dml are the statements that no database commits by itself.
var dml = []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH"}

func is(s sqltext.Statement, words ...string) bool {
	return len(s.Words) > 0 && slices.Contains(words, s.Words[0])
}

func begins(s sqltext.Statement) bool { return s.Control() && is(s, "BEGIN", "START") }

func ends(s sqltext.Statement) bool { return is(s, "COMMIT", "END") }

// digest is of the script that goes up: what was applied.
func (m Migration) digest() string {
	sum := sha256.Sum256([]byte(normal(m.Up.SQL)))
	return hex.EncodeToString(sum[:])
}

// find is the migration of that name.
func (s Set) find(id string) (Migration, bool) {
	i := slices.IndexFunc(s.all, func(m Migration) bool { return m.ID == id })
	if i < 0 {
		return Migration{}, false
	}
	return s.all[i], true
}

// records are those of versioned migrations and, for their names, of changes.
func (m *Migrator) records(ctx context.Context) (map[string]*Record, error) {
	var all []Record
	err := m.insist(ctx, filesLease, func() (err error) { all, err = m.db.List(ctx); return err })
	of := map[string]*Record{}
	for i := range all {
		of[all[i].ID] = &all[i]
	}
	return of, err
}

// pending is what Up has to do.
func (m *Migrator) pending(ctx context.Context, set Set, o UpOptions) ([]task, error) {
	records, err := m.records(ctx)
	if err != nil {
		return nil, err
	}
	errs := append(renamed(set, records), set.complete())
	last := ""
	for id, r := range records {
		if r.Kind == Versioned && r.State.Phase == Done && compareVersions(versionOf(id), last) > 0 {
			last = versionOf(id)
		}
	}
	var tasks []task
	d := sqltext.Of(m.db.Name())
	linter := sqltext.NewLinter(d) // of the batch
	for _, f := range set.all {
		old := records[f.ID]
		t, err := m.upTask(f, old)
		if err == nil && (old == nil || old.State.Phase != Done) {
			t.unsafe, err = lint(linter, d, t.up.file, t.up.all, t.up.whole())
			errs = append(errs, err)
			err = nil
			if !o.OutOfOrder && !f.OutOfOrder && compareVersions(f.version(), last) < 0 {
				err = fmt.Errorf("%w: %s: version %s has been applied: give it a later version, or allow it with UpOptions.OutOfOrder or -- migrate:out-of-order", ErrOutOfOrder, f.Up.name(f.ID), last)
			}
			tasks = append(tasks, t)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if o.Limit > 0 {
		tasks = tasks[:min(o.Limit, len(tasks))]
	}
	return tasks, nil
}

// upTask says how a migration goes up, if it may.
func (m *Migrator) upTask(f Migration, old *Record) (task, error) {
	up, err := m.read(f.ID, f.Up)
	if err != nil {
		return task{}, err
	}
	down, err := m.halve(f.ID, f.Down)
	t := task{m: f, half: up.half, up: up, script: frozen(up.half, down), old: old}
	switch {
	case err != nil || old == nil:
	case old.Kind != Versioned:
		err = fmt.Errorf("%w: %s: a change is called %s: rename the migration", ErrExists, f.Up.name(f.ID), f.ID)
	case old.State.Version > StateVersion:
		err = fmt.Errorf("migrate: %s: its state is of version %d, and this program knows up to %d: use a newer one", f.ID, old.State.Version, StateVersion)
	case old.State.Phase == RollingBack:
		err = fmt.Errorf("migrate: %s: it is half taken back: finish that with Down", f.Up.name(f.ID))
	case old.State.Phase == Done && old.Digest != f.digest():
		err = fmt.Errorf("%w: %s: put it back as it was, and make the change with a new migration", ErrChecksum, f.Up.name(f.ID))
	}
	return t, err
}

// renamed finds applied migrations that the set has under another name.
func renamed(set Set, records map[string]*Record) []error {
	var errs []error
	for id, r := range records {
		_, there := set.find(id)
		if r.Kind != Versioned || there || r.State.Phase == RolledBack {
			continue
		}
		for _, f := range set.all {
			if compareVersions(f.version(), versionOf(id)) == 0 {
				errs = append(errs, fmt.Errorf("%w: %s: version %s was applied as %s: give it that name again", ErrChecksum, f.Up.name(f.ID), f.version(), id))
			}
		}
	}
	return errs
}

// applied is what Down has to take back.
func (m *Migrator) applied(ctx context.Context, set Set, n int) ([]task, error) {
	records, err := m.records(ctx)
	if err != nil {
		return nil, err
	}
	var back []*Record
	for _, r := range records {
		switch {
		case r.Kind != Versioned:
		case r.State.Phase == Done, r.State.Phase == RollingBack:
			back = append(back, r)
		case slices.ContainsFunc(r.State.Steps, func(s StepState) bool { return s.Begun || s.Done }):
			return nil, fmt.Errorf("migrate: %s: it is half applied: finish that with Up", r.ID)
		}
	}
	slices.SortFunc(back, func(a, b *Record) int {
		if half := b.State.Phase == RollingBack; half != (a.State.Phase == RollingBack) {
			return map[bool]int{true: 1, false: -1}[half]
		}
		if when := b.State.Entered[Done].Compare(a.State.Entered[Done]); when != 0 {
			return when
		}
		return compareVersions(versionOf(b.ID), versionOf(a.ID))
	})
	var tasks []task
	var errs []error
	for _, r := range back[:min(n, len(back))] {
		t, err := m.downTask(set, r)
		tasks, errs = append(tasks, t), append(errs, err)
	}
	return tasks, errors.Join(errs...)
}

// downTask says how a migration is taken back.
func (m *Migrator) downTask(set Set, r *Record) (task, error) {
	t := task{m: Migration{ID: r.ID}, down: true, base: r.ups(), old: r}
	f, there := set.find(r.ID)
	if there && f.digest() == r.Digest {
		t.m = f
		h, err := m.halve(f.ID, f.Down)
		if err != nil {
			return t, err
		}
		t.half = h
	} else {
		for _, s := range r.Script.Steps[t.base:] {
			recheck := sqltext.Recheck{Holds: s.Holds, Clean: s.Clean}
			t.half = append(t.half, fileStep{do: s.Undo, begun: s.Alone, alone: s.Alone, recheck: recheck, file: r.ID})
		}
	}
	if !slices.ContainsFunc(t.half, func(s fileStep) bool { return len(s.do) > 0 || s.fn != nil }) {
		return t, fmt.Errorf("migrate: %s: nothing says how to take it back: give it a Down", t.m.Down.name(r.ID))
	}
	return t, nil
}
