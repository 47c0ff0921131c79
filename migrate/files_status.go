// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// MigrationStatus is how one versioned migration stands.
type MigrationStatus struct {
	ID    string
	State MigrationState
	// Applied is when, by the database's clock; zero if it is not.
	Applied time.Time
	// Why is why it failed last, if it did.
	Why string
}

// MigrationState says how a versioned migration stands.
type MigrationState string

// The states of versioned migrations.
const (
	// MigrationPending waits for Up.
	MigrationPending MigrationState = "pending"
	// MigrationLate is pending, and its version is below one that was applied.
	MigrationLate MigrationState = "late"
	// MigrationApplied is as it was applied.
	MigrationApplied MigrationState = "applied"
	// MigrationEdited was edited after it was applied.
	MigrationEdited MigrationState = "edited"
	// MigrationMissing was applied, and the set does not have it.
	MigrationMissing MigrationState = "missing"
	// MigrationHalf was left in the middle: Up, or Down, goes on with it.
	MigrationHalf MigrationState = "half"
	// MigrationUnresolved was left in a statement of which nobody knows whether it was
	// done: see Resolve.
	MigrationUnresolved MigrationState = "unresolved"
)

// Status lists the migrations of a set, and those that were applied and that it does not
// have, in the order of their versions. It takes no lease and writes nothing.
func (m *Migrator) Status(ctx context.Context, set Set) ([]MigrationStatus, error) {
	records, err := m.records(ctx)
	if err != nil {
		return nil, err
	}
	var all []MigrationStatus
	last := ""
	for id, r := range records {
		if r.Kind != Versioned {
			continue
		}
		if r.State.Phase == Done && compareVersions(versionOf(id), last) > 0 {
			last = versionOf(id)
		}
		if _, there := set.find(id); !there && r.State.Phase != RolledBack && r.State.Phase != Planned {
			all = append(all, r.status(MigrationMissing))
		}
	}
	for _, f := range set.all {
		r := records[f.ID]
		if r == nil {
			r = &Record{ID: f.ID}
		}
		s := r.status(MigrationPending)
		if s.State == MigrationPending && compareVersions(f.version(), last) < 0 {
			s.State = MigrationLate
		}
		if s.State == MigrationApplied && r.Digest != f.digest() {
			s.State = MigrationEdited
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b MigrationStatus) int {
		return cmp.Or(compareVersions(versionOf(a.ID), versionOf(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// status is what the record alone says; otherwise is what it is if it says nothing.
func (r Record) status(otherwise MigrationState) MigrationStatus {
	s := MigrationStatus{ID: r.ID, State: otherwise, Why: r.State.Failed}
	if r.State.Phase == Done {
		s.Applied = r.State.Entered[Done]
		if otherwise == MigrationPending {
			s.State = MigrationApplied
		}
		return s
	}
	for i, step := range r.State.Steps {
		switch {
		case step.Begun && !step.Done && i < len(r.Script.Steps) && r.Script.Steps[i].Holds != "":
			s.State = MigrationHalf // the catalog tells
			return s
		case step.Begun && !step.Done:
			s.State, s.Why = MigrationUnresolved, cmp.Or(s.Why, fmt.Sprintf("step %d was begun", i+1))
			return s
		case step.Done:
			s.State = MigrationHalf
		}
	}
	return s
}
