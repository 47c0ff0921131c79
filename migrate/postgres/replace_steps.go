// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// replaceSteps are those of a pair.
func (k *compiler) replaceSteps(p pair, what string) {
	t, full := p.t, p.t.full()
	k.addColumn(t, p.new, p.typ, collation(p), "")
	k.syncStep(t, p.function, "keep "+full+"."+p.old+" and "+p.new+" the same", p.body(), "BEFORE INSERT OR UPDATE", p.when())
	row := k.quote(t.Name)
	set := []migrate.Assign{{Column: p.newName, Value: p.up.of(row)}}
	walk := &migrate.Walk{Table: t.plain(), Method: methodHot, Key: t.Key, Set: set, Pending: p.pending(row)}
	k.add(t.updates(migrate.Step{Phase: migrate.Backfilling, Name: "fill " + full + "." + p.new, Walk: walk}))
	k.verify(t, "compare "+full+"."+p.new+" with "+p.old, p.pending(row))
	if p.notNull {
		k.notNull(t, p.newName)
	}
	soaking := p.soaking()
	k.add(migrate.Step{
		Phase: migrate.Soaking, Name: "hide " + full + "." + p.old,
		Do:    []string{t.alter("RENAME COLUMN " + p.old + " TO " + p.hidden), k.function(p.function, soaking.body())},
		Undo:  []string{t.alter("RENAME COLUMN " + p.hidden + " TO " + p.old), k.function(p.function, p.body())},
		Locks: []migrate.Lock{brief(full, exclusive)},
	})
	k.add(migrate.Step{
		Phase: migrate.Contracting, Name: "replace " + what, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: slices.Concat(k.dropTrigger(t, p.function), k.inherit(p), []string{t.alter("DROP COLUMN " + p.hidden)}),
	})
}

// inherit gives the new column what the old one had: its default and its sequence.
func (k *compiler) inherit(p pair) []string {
	var do []string
	if p.from.Default != "" {
		byDefault := p.up
		byDefault.text = strings.ReplaceAll(p.up.text, rowName+"."+p.old, "("+p.from.Default+")")
		if !strings.Contains(byDefault.text, rowName+".") && !byDefault.looks {
			do = append(do, p.t.alter("ALTER COLUMN "+p.new+" SET DEFAULT "+byDefault.text))
		} else {
			k.note("the default of column "+p.old+" cannot be worked out for "+p.new, "set one in a SQL operation")
		}
	}
	if p.from.Sequence != "" {
		do = append(do, "ALTER SEQUENCE "+p.from.Sequence+" OWNED BY "+p.t.full()+"."+p.new)
	}
	return do
}

func collation(p pair) string {
	if p.from.Collation != "" && p.from.Type == p.typ {
		return p.from.Collation
	}
	return ""
}

// addColumn adds a step that adds a column.
func (k *compiler) addColumn(t *table, name, typ, collate, byDefault string) {
	do := "ADD COLUMN " + name + " " + typ
	if collate != "" {
		do += " COLLATE " + collate
	}
	if byDefault != "" {
		do += " DEFAULT " + byDefault
	}
	k.add(migrate.Step{
		Phase: migrate.Expanding, Name: "add column " + t.full() + "." + name, Do: []string{t.alter(do)},
		Undo: []string{t.alter("DROP COLUMN " + name)}, Locks: []migrate.Lock{brief(t.full(), exclusive)},
	})
}

// syncStep adds a function and its trigger.
func (k *compiler) syncStep(t *table, function, name, body, on, when string) {
	k.add(migrate.Step{
		Phase: migrate.Syncing, Name: name, Do: []string{k.function(function, body), k.trigger(t, function, on, when)},
		Undo: k.dropTrigger(t, function), Locks: []migrate.Lock{brief(t.full(), shareExclusive)},
	})
}

// verify adds a walk that counts rows that are wrong.
func (k *compiler) verify(t *table, name, pending string) {
	k.add(t.reads(migrate.Step{
		Phase: migrate.Verifying, Name: name,
		Walk: &migrate.Walk{Table: t.plain(), Method: methodHot, Key: t.Key, Pending: pending, Verify: true},
	}))
}

// notNull makes a column not null once every row is right: by a check that is validated while others
// write, which spares SET NOT NULL its look at every row.
func (k *compiler) notNull(t *table, name string) {
	c, full := k.quote(name), t.full()
	check := k.name("notnull")
	k.checkSteps(t, check, c+" IS NOT NULL")
	k.add(migrate.Step{
		Phase: migrate.Verifying, Name: "make " + full + "." + c + " not null",
		Do:    []string{t.alter("ALTER COLUMN " + c + " SET NOT NULL"), t.alter("DROP CONSTRAINT " + check)},
		Undo:  []string{t.alter("ALTER COLUMN " + c + " DROP NOT NULL"), t.alter(fmt.Sprintf("ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID", check, c))},
		Locks: []migrate.Lock{brief(full, exclusive)},
	})
}

// checkSteps add a check for new rows and validate it for the others.
func (k *compiler) checkSteps(t *table, name, holds string) {
	full, quoted := t.full(), k.quote(name)
	k.add(migrate.Step{
		Phase: migrate.Verifying, Name: "add check " + quoted + " to " + full,
		Do:   []string{t.alter("ADD CONSTRAINT " + quoted + " CHECK (" + holds + ") NOT VALID")},
		Undo: []string{t.alter("DROP CONSTRAINT " + quoted)}, Locks: []migrate.Lock{brief(full, exclusive)},
	})
	k.validate(t, name, long(full, updating))
}

// validate adds a step that looks whether the rows that were there before keep a constraint.
func (k *compiler) validate(t *table, name string, locks ...migrate.Lock) {
	k.add(t.reads(migrate.Step{
		Phase: migrate.Verifying, Name: "validate " + k.quote(name) + " of " + t.full(), Alone: true, Locks: locks,
		Do: []string{t.alter("VALIDATE CONSTRAINT " + k.quote(name))},
		Holds: fmt.Sprintf("SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = %s::regclass AND conname = %s AND convalidated)",
			literal(t.full()), literal(name)),
	}))
}
