// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// Tool is another tool that has a history of migrations in the database.
type Tool string

// The tools whose history Adopt reads, each in its own default table.
const (
	Goose         Tool = "goose"          // goose_db_version
	Dbmate        Tool = "dbmate"         // schema_migrations with a row for each
	GolangMigrate Tool = "golang-migrate" // schema_migrations with the one that was last
)

// applied asks whether a version was applied. It answers one boolean.
func (t Tool) applied(version string) (query string, err error) {
	number := cmp.Or(strings.TrimLeft(version, "0"), "0")
	switch t {
	case Goose: // the last row of a version counts
		return "SELECT EXISTS (SELECT 1 FROM goose_db_version a WHERE a.version_id = " + number + " AND a.is_applied" +
			" AND NOT EXISTS (SELECT 1 FROM goose_db_version b WHERE b.version_id = a.version_id AND b.id > a.id AND NOT b.is_applied))", nil
	case Dbmate:
		return "SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE version = '" + version + "')", nil
	case GolangMigrate:
		return "SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE version >= " + number + " AND NOT dirty)", nil
	}
	return "", fmt.Errorf("migrate: Adopt: no tool %q: Goose, Dbmate and GolangMigrate are known", t)
}

// Adopt records as applied, and does not run, the migrations of a set that another tool
// has applied to the database. It returns their IDs; those that are recorded already are
// passed over, so it may be called before every Up. The other tool's table is only read: stop
// using that tool, and keep the table until you are sure. A table that is not there is an
// error. A dirty one of golang-migrate adopts nothing.
func (m *Migrator) Adopt(ctx context.Context, set Set, from Tool) ([]string, error) {
	if _, err := from.applied(""); err != nil {
		return nil, err
	}
	var adopted []string
	err := m.underFiles(ctx, func(ctx context.Context, s Session) error {
		records, err := m.records(ctx)
		if err != nil {
			return err
		}
		for _, f := range set.all {
			if old := records[f.ID]; old != nil && old.State.Phase != Planned {
				continue
			}
			done, err := m.adopt(ctx, s, f, records[f.ID], from)
			if err != nil {
				return fmt.Errorf("migrate: %s: adopt from %s: %w", f.Up.name(f.ID), from, err)
			}
			if done {
				adopted = append(adopted, f.ID)
			}
		}
		return nil
	})
	return adopted, err
}

// adopt records one migration if the other tool has applied it.
func (m *Migrator) adopt(ctx context.Context, s Session, f Migration, old *Record, from Tool) (bool, error) {
	query, err := from.applied(f.version())
	if err != nil {
		return false, err
	}
	holds := false
	err = m.insist(ctx, f.ID, func() (err error) { holds, err = s.Holds(ctx, query); return err })
	if err != nil || !holds {
		return false, err
	}
	t, err := m.upTask(f, old)
	if err != nil {
		return false, err
	}
	r, err := m.begin(ctx, s, t)
	if err != nil {
		return false, err
	}
	next, err := m.next(ctx, s, r, Done)
	if err != nil {
		return false, err
	}
	for i := range t.half {
		next.Steps[i].Done = true
	}
	return true, m.save(ctx, s, r.ID, Work{}, next)
}
