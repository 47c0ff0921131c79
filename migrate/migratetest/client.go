// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// version is what one version of a program says to the database: it keeps a value under a
// number. In its statements :id and :v are arguments, [x] is the identifier that the story
// calls x, and <text>, <int> and <big> are types.
type version struct {
	insert, update, remove []string
	read                   string
	// as is the value of the ledger as this version knows it; nil is as it is.
	as func(string) string
}

// names are the identifiers of one life of a story.
type names map[string]string

var tokens = regexp.MustCompile(`\[\w+\]|<\w+>|:id|:v`)

// expand makes a statement of a template.
func (r *run) expand(n names, template string, id int, v any) (text string, args []any) {
	text = tokens.ReplaceAllStringFunc(template, func(token string) string {
		switch token {
		case "<text>":
			return r.Types.Text
		case "<int>":
			return r.Types.Int
		case "<big>":
			return r.Types.Big
		case ":id":
			args = append(args, id)
			return r.Placeholder(len(args))
		case ":v":
			args = append(args, v)
			return r.Placeholder(len(args))
		}
		name, ok := n[token[1:len(token)-1]]
		if !ok {
			r.Fatalf("the suite has no name %s in %s", token, template)
		}
		return r.Quote(name)
	})
	return text, args
}

// sql is an expression or statement without arguments.
func (r *run) sql(n names, template string) string {
	text, _ := r.expand(n, template, 0, nil)
	return text
}

// client is a program of some version, with a ledger of what was acknowledged to it. Each
// client has rows of its own, so that its ledger is the truth about them.
type client struct {
	life *life
	// share is which of the rows are its own.
	share int

	mu     sync.Mutex
	rows   map[int]string
	absent []int
	writes int
}

// clients is how many a life has.
const clients = 3

func (c *client) value(v version, canonical string) any {
	if v.as != nil {
		canonical = v.as(canonical)
	}
	return canonical
}

// act inserts a row, updates one and, now and then, removes one.
func (c *client) act(v version, who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	id := (1000+c.writes)*clients + c.share
	if err := c.write(v.insert, v, id, c.life.value(id+c.writes)); err != nil {
		c.life.r.Errorf("%s: %s cannot insert: %v", c.life, who, err)
		return
	}
	ids := c.ids()
	id = ids[c.writes%len(ids)]
	if err := c.write(v.update, v, id, c.life.value(id+7*c.writes)); err != nil {
		c.life.r.Errorf("%s: %s cannot update: %v", c.life, who, err)
	}
	if c.writes%5 != 0 {
		return
	}
	id = ids[(c.writes*3)%len(ids)]
	if err := c.write(v.remove, v, id, ""); err != nil {
		c.life.r.Errorf("%s: %s cannot delete: %v", c.life, who, err)
		return
	}
	delete(c.rows, id)
	c.absent = append(c.absent, id)
}

// ids are those of the client's rows, in order.
func (c *client) ids() []int {
	ids := make([]int, 0, len(c.rows))
	for id := range c.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// write does the statements in one transaction, and writes the ledger once the commit was
// acknowledged. A statement that ends in "else" is followed by one for when it met no row.
func (c *client) write(statements []string, v version, id int, canonical string) error {
	r := c.life.r
	err := r.patiently(func(ctx context.Context) (err error) {
		tx, err := r.DB.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rolledBack(tx)) }()
		met := false
		for _, template := range statements {
			template, orElse := strings.CutSuffix(template, " else")
			if met {
				met = false
				continue
			}
			text, args := r.expand(c.life.names, template, id, c.value(v, canonical))
			result, err := tx.ExecContext(ctx, text, args...)
			if err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			met = orElse && n > 0
		}
		return tx.Commit()
	})
	if err == nil {
		c.rows[id] = canonical
	}
	return err
}

func rolledBack(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// check reads the client's rows as a version, up to n of them, the last written first; n 0
// is all.
func (c *client) check(v version, who string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.life.r
	ids := c.ids()
	if n > 0 && len(ids) > n {
		ids = ids[len(ids)-n:]
	}
	wrong := 0
	for _, id := range ids {
		want := fmt.Sprint(c.value(v, c.rows[id]))
		switch got, err := c.get(v, id); {
		case err != nil:
			r.Errorf("%s: %s cannot read row %d: %v", c.life, who, id, err)
			return
		case !got.Valid || got.String != want:
			if wrong++; wrong <= 5 {
				r.Errorf("%s: %s reads %q in row %d (client %d), want %q", c.life, who, got.String, id, c.share, want)
			}
		}
	}
	if wrong > 5 {
		r.Errorf("%s: %s: %d rows of %d are wrong", c.life, who, wrong, len(ids))
	}
	for _, id := range c.absent {
		if got, err := c.get(v, id); !errors.Is(err, sql.ErrNoRows) {
			r.Errorf("%s: %s reads %q in row %d, which was deleted (%v)", c.life, who, got.String, id, err)
		}
	}
}

func (c *client) get(v version, id int) (got sql.NullString, err error) {
	r := c.life.r
	text, args := r.expand(c.life.names, v.read, id, nil)
	err = r.patiently(func(ctx context.Context) error { return r.DB.QueryRowContext(ctx, text, args...).Scan(&got) })
	return got, err
}
