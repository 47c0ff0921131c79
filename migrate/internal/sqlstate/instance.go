// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// Register says that an instance is alive; see migrate.Database. It locks the records of
// the app, which a save with a guard does too: one of the two comes first.
func (s *Store) Register(ctx context.Context, i migrate.Instance) error {
	if i.App == "" || i.Version == "" || i.ID == "" {
		return fmt.Errorf("%s: instance %q: fields App, Version and ID must be given", s.d.Name, i)
	}
	return s.write(ctx, 0, func(tx *sql.Tx) error {
		if err := s.retired(ctx, tx, i); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, s.d.InsertNew+" rheostat_instance (app, version, id, seen) VALUES (?, ?, ?, 0)", i.App, i.Version, i.ID)
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE rheostat_instance SET seen = "+s.d.Micros+" WHERE app = ? AND version = ? AND id = ?", i.App, i.Version, i.ID)
		}
		return err
	})
}

// retired refuses a version that needs what has been taken away. One that knows a change is
// among the versions that do not.
func (s *Store) retired(ctx context.Context, tx *sql.Tx, i migrate.Instance) error {
	type hidden struct {
		id  string
		new []string
		is  bool
	}
	all, err := rows(ctx, tx, "SELECT id, `new`, state FROM rheostat_record WHERE app = ? ORDER BY id"+s.d.ForUpdate, func(row scanner) (h hidden, err error) {
		var versions, text []byte
		if err := row.Scan(&h.id, &versions, &text); err != nil {
			return h, err
		}
		var state migrate.State
		if err = json.Unmarshal(text, &state); err == nil {
			err = json.Unmarshal(versions, &h.new)
		}
		h.is = state.Hidden
		return h, err
	}, i.App)
	if err != nil {
		return err
	}
	for _, h := range all {
		if slices.Contains(i.Knows, h.id) && !slices.Contains(h.new, i.Version) {
			h.new = append(h.new, i.Version)
			text, err := json.Marshal(h.new)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE rheostat_record SET `new` = ? WHERE id = ?", string(text), h.id); err != nil {
				return err
			}
		}
		if h.is && !slices.Contains(h.new, i.Version) {
			return fmt.Errorf("%w: %s needs what %s has taken away", migrate.ErrRetired, i, h.id)
		}
	}
	return nil
}

// Unregister forgets an instance.
func (s *Store) Unregister(ctx context.Context, i migrate.Instance) error {
	return s.write(ctx, 0, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM rheostat_instance WHERE app = ? AND version = ? AND id = ?", i.App, i.Version, i.ID)
		return err
	})
}

// Instances lists those of an app that were seen within ttl.
func (s *Store) Instances(ctx context.Context, app string, ttl time.Duration) ([]migrate.Instance, error) {
	alive, err := s.alive(ctx, s.db, app, ttl)
	return alive, s.d.Classify(err)
}

func (s *Store) alive(ctx context.Context, q querier, app string, ttl time.Duration) ([]migrate.Instance, error) {
	return rows(ctx, q, "SELECT version, id, seen FROM rheostat_instance WHERE app = ? AND seen >= "+s.d.Micros+" - ? ORDER BY version, id",
		func(row scanner) (migrate.Instance, error) {
			i := migrate.Instance{App: app}
			var seen int64
			err := row.Scan(&i.Version, &i.ID, &seen)
			i.Seen = micros(seen)
			return i, err
		}, app, ttl.Microseconds())
}

// guard refuses while instances or connections are alive that it does not allow.
func (s *Store) guard(ctx context.Context, tx *sql.Tx, g *migrate.Guard) error {
	if g == nil {
		return nil
	}
	alive, err := s.alive(ctx, tx, g.App, g.TTL)
	if err != nil {
		return err
	}
	var sessions []string
	if s.d.Sessions != nil {
		if sessions, err = s.d.Sessions(ctx, tx, g); err != nil {
			return err
		}
	}
	if len(alive) == 0 && len(sessions) == 0 && !g.Only {
		return fmt.Errorf("%w: no instance of %s has registered", migrate.ErrUnguarded, g.App)
	}
	live := slices.DeleteFunc(alive, func(i migrate.Instance) bool { return !g.Refuses(i.Version) })
	if len(live)+len(sessions) > 0 {
		return &migrate.LiveError{Instances: live, Sessions: sessions}
	}
	return nil
}
