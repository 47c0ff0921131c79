// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// Create saves a new record.
func (d *Database) Create(ctx context.Context, r migrate.Record) error {
	values, err := recordValues(r)
	if err != nil {
		return err
	}
	row, err := d.one(ctx, d.in(`
WITH made AS (
	INSERT INTO {s}.record AS r (id, kind, digest, app, new, change, script, state, rev, phase, "order")
	VALUES (`+values+`)
	ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, digest = excluded.digest, app = excluded.app, new = excluded.new,
		change = excluded.change, script = excluded.script, state = excluded.state, rev = excluded.rev, phase = excluded.phase,
		"order" = excluded."order"
	WHERE r.phase = 'rolledBack'
	RETURNING id
), gone AS (
	DELETE FROM {s}.cursor USING made WHERE cursor.id = made.id
)
SELECT count(*) FROM made`))
	if err == nil && string(row[0]) == "0" {
		return fmt.Errorf("%w: %s", migrate.ErrExists, r.ID)
	}
	return err
}

// recordValues are the columns of Create as SQL.
func recordValues(r migrate.Record) (string, error) {
	if r.New == nil {
		r.New = []string{}
	}
	var text strings.Builder
	text.WriteString(literal(r.ID) + ", " + literal(string(r.Kind)) + ", " + literal(r.Digest) + ", " + literal(r.App))
	for _, v := range []any{r.New, r.Change, r.Script, r.State} {
		doc, err := document(v)
		if err != nil {
			return "", err
		}
		text.WriteString(", " + doc)
	}
	order, err := document(r.Order)
	return fmt.Sprintf("%s, %d, %s, %s", text.String(), r.State.Rev, literal(r.State.Phase.String()), order), err
}

// recordText reads records. Walks that are done in parts are added up.
const recordText = `
SELECT r.id, r.kind, r.digest, r.app, r.new, r.change, r.script, r.state, r."order", coalesce(l.owner, ''), (extract(epoch FROM l.until) * 1000000)::bigint,
	(SELECT coalesce(json_agg(json_build_object('step', c.step, 'rows', c.rows, 'seen', c.seen, 'total', c.total,
		'share', CASE WHEN c.done THEN 1 ELSE least(c.seen::float8 / nullif(c.total, 0), 0.999) END,
		'worked', c.worked, 'done', c.done) ORDER BY c.step), '[]')
	 FROM (SELECT step, sum(rows)::bigint AS rows, sum(seen)::bigint AS seen, sum(total)::bigint AS total,
		sum(worked)::bigint AS worked, bool_and(done) AS done FROM {s}.cursor WHERE cursor.id = r.id GROUP BY step) AS c)
FROM {s}.record AS r
LEFT JOIN {s}.lease AS l ON l.name = 'change:' || r.id AND l.owner <> '' AND l.until > clock_timestamp()
`

// Load reads a record.
func (d *Database) Load(ctx context.Context, id string) (migrate.Record, error) {
	row, err := d.one(ctx, d.in(recordText)+"WHERE r.id = "+literal(id))
	switch {
	case err != nil:
		return migrate.Record{}, err
	case row == nil:
		return migrate.Record{}, fmt.Errorf("%w: %s", migrate.ErrNotFound, id)
	}
	return readRecord(row)
}

// List reads every record in the order they were created.
func (d *Database) List(ctx context.Context) ([]migrate.Record, error) {
	results, err := d.run(ctx, d.in(recordText)+"ORDER BY r.created, r.seq")
	if err != nil {
		return nil, err
	}
	var all []migrate.Record
	for _, row := range rows(results) {
		r, err := readRecord(row)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func readRecord(row [][]byte) (migrate.Record, error) {
	r := migrate.Record{
		ID: string(row[0]), Kind: migrate.Kind(row[1]), Digest: string(row[2]), App: string(row[3]), Owner: string(row[9]),
	}
	errs := []error{
		json.Unmarshal(row[4], &r.New), json.Unmarshal(row[6], &r.Script), json.Unmarshal(row[7], &r.State),
		json.Unmarshal(row[8], &r.Order), json.Unmarshal(row[11], &r.Progress),
	}
	if r.Kind == migrate.Coupled {
		errs = append(errs, json.Unmarshal(row[5], &r.Change))
	}
	if row[10] != nil {
		until, err := instant(row[10])
		r.Until = until
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return r, fmt.Errorf("postgres: record %s cannot be read: %w", r.ID, err)
	}
	if len(r.New) == 0 {
		r.New = nil
	}
	if len(r.Progress) == 0 {
		r.Progress = nil
	}
	return r, nil
}

// Order replaces a record's order.
func (d *Database) Order(ctx context.Context, id string, o migrate.Order) error {
	doc, err := document(o)
	if err != nil {
		return err
	}
	only, late := "", "'false'"
	if o.N != 0 {
		only = fmt.Sprintf(` AND coalesce(("order" ->> 'n')::bigint, 0) = %d`, o.N-1)
	}
	if o.Want == migrate.RolledBack {
		only += " AND phase NOT IN ('contracting', 'done')"
		late = "phase IN ('contracting', 'done')"
	}
	row, err := d.one(ctx, d.in(`
WITH ordered AS (UPDATE {s}.record SET "order" = `+doc+` WHERE id = `+literal(id)+only+` RETURNING id)
SELECT (SELECT count(*) FROM ordered), `+late+` FROM {s}.record WHERE id = `+literal(id)))
	switch {
	case err != nil:
		return err
	case row == nil:
		return fmt.Errorf("%w: %s", migrate.ErrNotFound, id)
	case string(row[0]) == "1":
		return nil
	case string(row[1]) == "t" || o.N == 0: // what is read is as it was when the statement began
		return fmt.Errorf("%w: %s", migrate.ErrContracted, id)
	}
	return fmt.Errorf("%w: %s: order %d does not follow the one that is there", migrate.ErrRetry, id, o.N)
}

// Register says that an instance is alive.
func (d *Database) Register(ctx context.Context, i migrate.Instance) error {
	if i.App == "" || i.Version == "" || i.ID == "" {
		return errors.New("postgres: Register: App, Version or ID is missing")
	}
	known := make([]string, len(i.Knows))
	for k, id := range i.Knows {
		known[k] = literal(id)
	}
	_, err := d.run(ctx, d.in("SELECT {s}.register(")+literal(i.App)+", "+literal(i.Version)+", "+literal(i.ID)+", ARRAY["+strings.Join(known, ", ")+"]::text[])")
	return err
}

// Unregister forgets an instance.
func (d *Database) Unregister(ctx context.Context, i migrate.Instance) error {
	_, err := d.run(ctx, d.in("DELETE FROM {s}.instance WHERE app = ")+literal(i.App)+" AND version = "+literal(i.Version)+" AND id = "+literal(i.ID))
	return err
}

// Instances lists those of an app that were seen within ttl.
func (d *Database) Instances(ctx context.Context, app string, ttl time.Duration) ([]migrate.Instance, error) {
	results, err := d.run(ctx, d.in("SELECT app, version, id, "+epoch("seen")+" FROM {s}.instance WHERE app = ")+literal(app)+
		" AND seen >= clock_timestamp() - "+interval(ttl)+" ORDER BY version, id")
	if err != nil {
		return nil, err
	}
	var all []migrate.Instance
	for _, row := range rows(results) {
		seen, err := instant(row[3])
		if err != nil {
			return nil, err
		}
		all = append(all, migrate.Instance{App: string(row[0]), Version: string(row[1]), ID: string(row[2]), Seen: seen})
	}
	return all, nil
}

// epoch is a time as SQL that instant reads, whatever DateStyle and TimeZone say.
func epoch(of string) string {
	return "(extract(epoch FROM " + of + ") * 1000000)::bigint"
}

func instant(micros []byte) (time.Time, error) {
	n, err := strconv.ParseInt(string(micros), 10, 64)
	return time.UnixMicro(n).UTC(), err
}

// interval is a duration as SQL.
func interval(d time.Duration) string {
	return fmt.Sprintf("'%d microseconds'::interval", d.Microseconds())
}
