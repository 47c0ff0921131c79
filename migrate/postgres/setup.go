// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// layout is of the tables and functions of the state schema. In the first, save heeded no order.
const layout = 2

// Setup makes the schema with its tables and functions, if they are not there, and brings those of
// an earlier version up to this one. A role that may not
// create schemas can use one that another role has set up, see the package's documentation.
func (d *Database) Setup(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		found, err := d.layout(ctx)
		switch {
		case err != nil:
			return err
		case found == layout:
			return nil
		case found > layout:
			return fmt.Errorf("postgres: schema %s has layout %d, made by a later version; this one knows %d", d.schema, found, layout)
		}
		_, err = d.run(ctx, d.in(setupText))
		if err != nil && attempt < 10 && together(err) {
			continue // another process made it meanwhile
		}
		if err != nil {
			return err
		}
	}
}

// in names the schema in a text.
func (d *Database) in(text string) string {
	return strings.NewReplacer("{s}", d.schema, "{layout}", strconv.Itoa(layout), "{fenced}", codeFenced, "{live}", codeLive,
		"{unguarded}", codeUnguarded, "{retired}", codeRetired, "{gone}", codeGone, "{ordered}", codeOrdered).Replace(text)
}

// layout is that of the database, or 0.
func (d *Database) layout(ctx context.Context) (int, error) {
	row, err := d.one(ctx, "SELECT pg_catalog.to_regclass("+literal(d.schema+".layout")+") IS NOT NULL")
	if err != nil || row == nil || string(row[0]) != "t" {
		return 0, err
	}
	row, err = d.one(ctx, d.in("SELECT version FROM {s}.layout"))
	if err != nil || row == nil {
		return 0, err
	}
	var found int
	_, err = fmt.Sscan(string(row[0]), &found)
	return found, err
}

// together says that an error comes of two that set up at once.
func together(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && slices.Contains([]string{
		"23505", "42P06", "42P07", "42710", "42723", // it exists
		"XX000", // tuple concurrently updated
	}, e.Code)
}

const setupText = `
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS {s};
CREATE TABLE IF NOT EXISTS {s}.layout (one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.record (
	id text PRIMARY KEY, kind text NOT NULL, digest text NOT NULL, app text NOT NULL, new json NOT NULL,
	change json NOT NULL, script json NOT NULL, state json NOT NULL, rev bigint NOT NULL, phase text NOT NULL,
	"order" json NOT NULL, created timestamptz NOT NULL DEFAULT clock_timestamp(),
	seq bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX IF NOT EXISTS record_app ON {s}.record (app);
CREATE TABLE IF NOT EXISTS {s}.cursor (
	id text NOT NULL, step integer NOT NULL, shard integer NOT NULL, position json NOT NULL,
	rows bigint NOT NULL DEFAULT 0, seen bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0,
	worked bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false,
	PRIMARY KEY (id, step, shard)
);
CREATE TABLE IF NOT EXISTS {s}.instance (
	app text NOT NULL, version text NOT NULL, id text NOT NULL, seen timestamptz NOT NULL,
	PRIMARY KEY (app, version, id)
);
CREATE TABLE IF NOT EXISTS {s}.lease (
	name text PRIMARY KEY, fence bigint NOT NULL, owner text NOT NULL, until timestamptz NOT NULL
);

-- hold keeps the lease to the end of the transaction, or says that another has it.
CREATE OR REPLACE FUNCTION {s}.hold(lease_name text, lease_fence bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM {s}.lease WHERE name = lease_name AND fence = lease_fence FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'lease %, fence %', lease_name, lease_fence USING ERRCODE = '{fenced}';
	END IF;
END $$;

-- share is hold for several transactions of one holder at once.
CREATE OR REPLACE FUNCTION {s}.share(lease_name text, lease_fence bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM {s}.lease WHERE name = lease_name AND fence = lease_fence FOR SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'lease %, fence %', lease_name, lease_fence USING ERRCODE = '{fenced}';
	END IF;
END $$;

-- look is hold without keeping it.
CREATE OR REPLACE FUNCTION {s}.look(lease_name text, lease_fence bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM {s}.lease WHERE name = lease_name AND fence = lease_fence;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'lease %, fence %', lease_name, lease_fence USING ERRCODE = '{fenced}';
	END IF;
END $$;

-- save writes the state that follows the one saved. The end of the way back is not saved over an order to go back or to
-- stop, which whoever saves has not seen: whichever of the two updates comes second looks at the row again.
CREATE OR REPLACE FUNCTION {s}.save(record_id text, next_rev bigint, next_phase text, next_state json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	saved bigint;
BEGIN
	UPDATE {s}.record SET state = next_state, rev = next_rev, phase = next_phase
	WHERE id = record_id AND rev = next_rev - 1 AND NOT (
		next_phase IN ('contracting', 'done') AND phase NOT IN ('contracting', 'done')
		AND coalesce("order" ->> 'want' = 'rolledBack' OR ("order" ->> 'paused')::boolean, false)
	);
	IF FOUND THEN
		RETURN;
	END IF;
	SELECT rev INTO saved FROM {s}.record WHERE id = record_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION '%', record_id USING ERRCODE = '{gone}';
	END IF;
	IF saved = next_rev - 1 THEN
		RAISE EXCEPTION '%: an order came before the end of the way back', record_id USING ERRCODE = '{ordered}';
	END IF;
	RAISE EXCEPTION '%: % was not the next revision', record_id, next_rev USING ERRCODE = '{fenced}';
END $$;

-- register says that an instance is alive, and knows some changes. The lock is shared with others that register, and not
-- with whoever saves the state of a change.
CREATE OR REPLACE FUNCTION {s}.register(instance_app text, instance_version text, instance_id text, known text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r record;
BEGIN
	-- A version that knows a change is one of its new ones. Only the first of them writes.
	UPDATE {s}.record AS k SET new = (k.new::jsonb || to_jsonb(instance_version))::json
	WHERE app = instance_app AND id = ANY (known) AND NOT EXISTS (
		SELECT FROM json_array_elements_text(k.new) AS v (version) WHERE v.version = instance_version
	);
	FOR r IN SELECT id, new, state FROM {s}.record WHERE app = instance_app ORDER BY id FOR SHARE LOOP
		IF (r.state ->> 'hidden')::boolean AND NOT EXISTS (
			SELECT FROM json_array_elements_text(r.new) AS v (version) WHERE v.version = instance_version
		) THEN
			RAISE EXCEPTION '%@% (%) needs what % has taken away', instance_app, instance_version, instance_id, r.id
				USING ERRCODE = '{retired}';
		END IF;
	END LOOP;
	INSERT INTO {s}.instance AS i (app, version, id, seen)
	VALUES (instance_app, instance_version, instance_id, clock_timestamp())
	ON CONFLICT (app, version, id) DO UPDATE SET seen = clock_timestamp();
END $$;

-- guard refuses while a version is alive that must not be. It first waits for those that register,
-- and keeps others from it until the transaction ends.
CREATE OR REPLACE FUNCTION {s}.guard(record_id text, guard_app text, versions text[], only_those boolean, ttl interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	alive bigint;
	instances json;
	sessions json;
	named bigint;
BEGIN
	PERFORM FROM {s}.record WHERE id = record_id FOR NO KEY UPDATE;
	SELECT count(*), json_agg(json_build_object('app', app, 'version', version, 'id', id, 'seen', seen) ORDER BY version, id)
		FILTER (WHERE (version = ANY (versions)) = only_those)
	INTO alive, instances
	FROM {s}.instance WHERE app = guard_app AND seen >= clock_timestamp() - ttl;

	-- A connection is named app@version, and anything after a blank or a slash. A name that was cut
	-- off at its full length may be of any version that begins so.
	PERFORM pg_stat_clear_snapshot();
	SELECT count(*), json_agg(DISTINCT 'connection ' || name) FILTER (WHERE CASE
		WHEN version = ANY (versions) THEN only_those
		WHEN octet_length(name) >= 63 AND only_those THEN EXISTS (SELECT FROM unnest(versions) AS v WHERE starts_with(v, version))
		ELSE NOT only_those END)
	INTO named, sessions
	FROM (
		SELECT application_name AS name, substring(substr(application_name, length(guard_app) + 2) FROM '^[^[:space:]/]*') AS version
		FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND starts_with(application_name, guard_app || '@')
	) AS named_sessions;

	IF instances IS NOT NULL OR sessions IS NOT NULL THEN
		RAISE EXCEPTION 'a version that needs it is alive' USING ERRCODE = '{live}',
			DETAIL = json_build_object('instances', coalesce(instances, '[]'), 'sessions', coalesce(sessions, '[]'));
	END IF;
	IF NOT only_those AND alive + named = 0 THEN
		RAISE EXCEPTION 'no instance of % has registered, and no connection is named after it', guard_app USING ERRCODE = '{unguarded}';
	END IF;
END $$;

INSERT INTO {s}.layout (version) VALUES ({layout}) ON CONFLICT (one) DO UPDATE SET version = {layout};
COMMIT;
`
