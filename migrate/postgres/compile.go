// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// Compile makes the script of a change. What it has the server read is rolled back.
func (d *Database) Compile(ctx context.Context, c migrate.Change) (migrate.Script, error) {
	if err := c.Check(); err != nil {
		return migrate.Script{}, err
	}
	sum := sha256.Sum256([]byte(c.ID))
	k := &compiler{d: d, ctx: ctx, change: c, tables: map[string]*table{}, tag: hex.EncodeToString(sum[:4])}
	if err := k.server(); err != nil {
		return migrate.Script{}, err
	}
	for i, op := range c.Ops {
		k.op, k.opText = i, opText(op)
		err := k.compile(op)
		var unsafe *migrate.UnsafeError
		if err != nil && !errors.As(err, &unsafe) {
			return migrate.Script{}, err // of the connection, or the context
		}
		k.errs = append(k.errs, err)
	}
	if err := errors.Join(k.errs...); err != nil {
		return migrate.Script{}, err
	}
	slices.SortStableFunc(k.script.Steps, func(a, b migrate.Step) int { return cmp.Compare(a.Phase, b.Phase) })
	k.patience()
	if slices.ContainsFunc(k.script.Steps, func(s migrate.Step) bool { return s.Walk != nil }) {
		notes, err := d.blind(ctx)
		if err != nil {
			return migrate.Script{}, err
		}
		k.script.Notes = append(k.script.Notes, notes...)
	}
	return k.script, nil
}

// compiler makes the script of one change.
type compiler struct {
	d      *Database
	ctx    context.Context //nolint:containedctx // it lives as long as one call
	change migrate.Change
	op     int
	opText string
	// tag tells what this change makes from what others do.
	tag    string
	tables map[string]*table
	words  map[string]bool
	// version is the server's, such as 150020, and patient says that nothing of the role's breaks
	// off statements that take long.
	version int
	patient bool
	script  migrate.Script
	errs    []error
}

// opText is the operation for people.
func opText(op migrate.Op) string {
	text := strings.TrimPrefix(fmt.Sprintf("%+v", op), "{")
	name := strings.TrimPrefix(fmt.Sprintf("%T", op), "migrate.")
	if s, ok := op.(migrate.SQL); ok {
		return name + " " + s.Name
	}
	return name + " " + strings.TrimSuffix(text, "}")
}

// server reads what holds for every table.
func (k *compiler) server() error {
	row, err := k.d.one(k.ctx, `SELECT current_setting('server_version_num'), current_setting('statement_timeout') = '0' AND current_setting('lock_timeout') = '0',
	(SELECT string_agg(word, ' ') FROM pg_catalog.pg_get_keywords() WHERE catcode <> 'U')`)
	if err != nil {
		return err
	}
	k.words = map[string]bool{}
	for word := range strings.FieldsSeq(string(row[2])) {
		k.words[word] = true
	}
	k.patient = string(row[1]) == "t"
	_, err = fmt.Sscan(string(row[0]), &k.version)
	return err
}

// quote is a name as SQL, between quotes only where it must be.
func (k *compiler) quote(name string) string {
	plain := name != "" && !k.words[name] && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" && strings.Trim(name[:1], "0123456789") != ""
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (k *compiler) quoteAll(names []string, prefix string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = prefix + k.quote(n)
	}
	return strings.Join(quoted, ", ")
}

// unsafe refuses the operation.
func (k *compiler) unsafe(why, fix string) error {
	return &migrate.UnsafeError{Op: k.opText, Why: why, Fix: fix}
}

func (k *compiler) note(why, fix string) {
	k.script.Notes = append(k.script.Notes, migrate.Note{Op: k.op, Why: why, Fix: fix})
}

func (k *compiler) add(s migrate.Step) {
	s.Op = k.op
	k.script.Steps = append(k.script.Steps, s)
}

// table finds one that can be changed.
func (k *compiler) table(name string) (*table, error) {
	if t := k.tables[name]; t != nil {
		return t, nil
	}
	t, err := k.d.read(k.ctx, name)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, k.unsafe("there is no table "+name+" in the search_path", "name its schema, as in sales.orders")
	case t.Kind != "r" && t.Kind != "p":
		return nil, k.unsafe(name+" is not a table", "change the table that it shows")
	case t.Child:
		return nil, k.unsafe(name+" inherits its columns, as a partition or otherwise", "change the table that it inherits from")
	case strings.Contains(t.Name+t.Plain, "."):
		return nil, k.unsafe("the name "+name+" has a dot in it, by which walks take it for a schema's", "rename the table first")
	}
	for other, seen := range k.tables {
		if seen.OID == t.OID {
			return nil, k.unsafe("the change calls one table both "+other+" and "+name, "call it the same in every operation")
		}
	}
	k.tables[name] = t
	return t, nil
}

// columnOf finds a column that can be written.
func (k *compiler) columnOf(t *table, name string) (*column, error) {
	c := t.column(name)
	switch {
	case c == nil:
		return nil, k.unsafe(fmt.Sprintf("table %s has no column %s", t.full(), name), "")
	case c.Generated:
		return nil, k.unsafe(fmt.Sprintf("column %s is generated from others", name), "add a column of another name, and drop this one in a later change")
	}
	return c, nil
}

// fresh refuses a column that is there already.
func (k *compiler) fresh(t *table, name string) error {
	if t.column(name) != nil {
		return k.unsafe(fmt.Sprintf("table %s has a column %s already", t.full(), name), "choose another name")
	}
	if len(name) > 63 {
		return k.unsafe(fmt.Sprintf("the name %s is longer than 63 bytes", name), "choose a shorter one")
	}
	return nil
}

// express has an expression over a row of t read; a nil t is over nothing.
func (k *compiler) express(field string, t *table, text string) (expression, error) {
	e, err := k.d.understand(k.ctx, t, text, k.quote)
	if err == nil {
		return e, nil
	}
	if cause := context.Cause(k.ctx); cause != nil {
		return e, cause
	}
	return e, k.unsafe("field "+field+": "+err.Error(), "")
}

// typeOf is a type as the server writes it.
func (k *compiler) typeOf(text string) (string, error) {
	e, err := k.express("Type", nil, "NULL::"+text)
	return e.typ, err
}

// name is one of this change's, for something of the n-th operation.
func (k *compiler) name(what string) string {
	return fmt.Sprintf("rheostat_%s_%d_%s", k.tag, k.op, what)
}

// hidden is the name of what soaks.
func hidden(name string) string {
	name = "_rh_old_" + name
	for len(name) > 63 {
		_, size := lastRune(name)
		name = name[:len(name)-size]
	}
	return name
}

// plain is the table's name in a Walk.
func (t *table) plain() string { return t.Plain + "." + t.Name }

// alter is ALTER TABLE of a table.
func (t *table) alter(what string) string { return "ALTER TABLE " + t.full() + " " + what }

// patience notes what would break off a statement that may not be in a transaction.
func (k *compiler) patience() {
	alone := slices.ContainsFunc(k.script.Steps, func(s migrate.Step) bool { return s.Alone })
	if alone && !k.patient {
		k.script.Notes = append(k.script.Notes, migrate.Note{
			Op: -1, Why: "the role has a statement_timeout or lock_timeout of its own, which holds for statements outside transactions",
			Fix: "set both to 0 for the role that migrates",
		})
	}
}
