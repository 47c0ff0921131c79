// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rheostat-go/rheostat/migrate"
)

// session is a lease held. It has no connection of its own: every call takes one of the pool for
// one round trip.
type session struct {
	d     *Database
	name  string // of the lease
	owner string
	fence uint64
	lease time.Duration

	walks walks
	gauge gauge
}

// takeover bounds how long Lock waits for the last transaction of an owner whose lease has
// run out.
const takeover = 250 * time.Millisecond

// Lock takes a lease, or fails with a *migrate.BusyError. It waits a quarter of a second at most,
// and only for a transaction of an owner whose lease has run out.
func (d *Database) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	n := literal(name)
	results, err := d.run(ctx, "BEGIN;\n"+setLocal(takeover, 0)+d.in(`
INSERT INTO {s}.lease (name, fence, owner, until) VALUES (`+n+`, 0, '', clock_timestamp()) ON CONFLICT DO NOTHING;
UPDATE {s}.lease SET fence = fence + 1, owner = `+literal(owner)+`, until = clock_timestamp() + `+interval(lease)+`
WHERE name = `+n+` AND (owner IN ('', `+literal(owner)+`) OR until <= clock_timestamp()) RETURNING fence;
COMMIT`))
	if errors.Is(err, migrate.ErrLockTimeout) {
		return nil, d.busy(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	row := rows(results)
	if len(row) == 0 {
		return nil, d.busy(ctx, name)
	}
	fence, err := strconv.ParseUint(string(row[0][0]), 10, 64)
	return &session{d: d, name: name, owner: owner, fence: fence, lease: lease}, err
}

// busy says who has a lease.
func (d *Database) busy(ctx context.Context, name string) error {
	row, err := d.one(ctx, d.in("SELECT owner, "+epoch("until")+" FROM {s}.lease WHERE name = ")+literal(name))
	if err != nil {
		return err
	}
	e := &migrate.BusyError{Name: name}
	if row != nil {
		e.Owner = string(row[0])
		e.Until, err = instant(row[1])
	}
	return errors.Join(e, err)
}

// call is a function of the state schema, asked about the lease: hold, share or look.
func (s *session) call(function string) string {
	return fmt.Sprintf("SELECT %s.%s(%s, %d);\n", s.d.schema, function, literal(s.name), s.fence)
}

// extend makes the lease last from now, at the end of a transaction that holds it.
func (s *session) extend() string {
	return fmt.Sprintf("UPDATE %s.lease SET until = clock_timestamp() + %s WHERE name = %s AND fence = %d AND owner <> '';\n",
		s.d.schema, interval(s.lease), literal(s.name), s.fence)
}

func (s *session) Fence() uint64 { return s.fence }

func (s *session) Renew(ctx context.Context) error {
	row, err := s.d.one(ctx, "BEGIN;\n"+setLocal(s.lease/4, 0)+s.call("hold")+
		strings.TrimSuffix(s.extend(), ";\n")+" RETURNING 1;\nCOMMIT")
	if err == nil && row == nil {
		return errors.New("postgres: the session is closed")
	}
	return err
}

func (s *session) Now(ctx context.Context) (time.Time, error) {
	row, err := s.d.one(ctx, s.call("look")+"SELECT "+epoch("clock_timestamp()"))
	if err != nil {
		return time.Time{}, err
	}
	return instant(row[0])
}

func (s *session) Close(ctx context.Context) error {
	_, err := s.d.run(ctx, fmt.Sprintf("UPDATE %s.lease SET owner = '', until = clock_timestamp() WHERE name = %s AND fence = %d",
		s.d.schema, literal(s.name), s.fence))
	return err
}

func (s *session) Holds(ctx context.Context, query string) (bool, error) {
	results, err := s.d.run(ctx, s.call("look")+query)
	if err != nil {
		return false, err
	}
	all := rows(results)
	if len(results) < 2 || len(all) != 1 || len(all[0]) != 1 {
		return false, errors.New("postgres: a Holds query must have one row of one boolean")
	}
	return string(all[0][0]) == "t", nil
}

func (s *session) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	save, err := s.save(id, next)
	if err != nil {
		return err
	}
	switch {
	case w.Func != nil && w.Alone:
		return errors.New("postgres: Work: a Func runs in a transaction, and Alone is outside one")
	case w.Func != nil:
		return s.doFunc(ctx, id, w, save)
	case w.Alone:
		if err := s.alone(ctx, w); err != nil {
			return err
		}
		w = migrate.Work{Guard: w.Guard, LockTimeout: w.LockTimeout}
	}
	head := "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n" + s.head(id, w)
	results, err := s.d.run(ctx, head+joined(w.Statements)+save+"COMMIT")
	return which(err, w.Statements, len(results)-strings.Count(head, ";\n"))
}

// head is what comes before the statements of a transaction.
func (s *session) head(id string, w migrate.Work) string {
	return setLocal(w.LockTimeout, w.Timeout) + s.call("hold") + s.guard(id, w.Guard)
}

// guard asks who is alive.
func (s *session) guard(id string, g *migrate.Guard) string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("SELECT %s.guard(%s, %s, %s, %t, %s);\n", s.d.schema, literal(id), literal(g.App), list(g.Versions), g.Only, interval(g.TTL))
}

// save is what comes after them.
func (s *session) save(id string, next migrate.State) (string, error) {
	doc, err := document(next)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("SELECT %s.save(%s, %d, %s, %s);\n", s.d.schema, literal(id), next.Rev, literal(next.Phase.String()), doc) + s.extend(), nil
}

// joined is statements as one text. A statement may end in a comment.
func joined(statements []string) string {
	var b strings.Builder
	for _, text := range statements {
		b.WriteString(text + "\n;\n")
	}
	return b.String()
}

// which names the statement that failed, if it was one of these.
func which(err error, statements []string, done int) error {
	if err == nil || done < 0 || done >= len(statements) || errors.Is(err, migrate.ErrFenced) {
		return err
	}
	return &migrate.StatementError{N: done + 1, Err: fmt.Errorf("%w (in %s)", err, short(statements[done]))}
}

// short is the beginning of a statement. Literals in it may be secret, such as a password: it
// ends before the first.
func short(text string) string {
	text, _, _ = strings.Cut(strings.Join(strings.Fields(text), " "), "'")
	text, _, _ = strings.Cut(text, "$")
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:80], "")
	}
	return text + "…"
}

// alone runs each statement by itself. What may be in a transaction is, for the bounds' sake; the
// others, such as CREATE INDEX CONCURRENTLY, wait for locks that stop nobody meanwhile.
func (s *session) alone(ctx context.Context, w migrate.Work) error {
	for i, text := range w.Statements {
		_, err := s.d.run(ctx, "BEGIN;\n"+setLocal(w.LockTimeout, w.Timeout)+s.call("look")+text+"\n;\nCOMMIT")
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code == "25001" { // cannot run inside a transaction block
			_, err = s.d.run(ctx, text)
		}
		if err != nil {
			return which(err, w.Statements, i)
		}
	}
	return nil
}
