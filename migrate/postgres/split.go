// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// split is a table and the one into which columns of it move.
type split struct {
	k             *compiler
	t             *table
	into, intoRaw string // the new table as SQL, and for a Walk
	key, columns  []string
	out, back     string // functions
}

func (k *compiler) splitTable(op migrate.SplitTable) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	if t.Kind == "p" {
		return &migrate.UnsafeError{Op: k.opText, Unsupported: true, Why: "the table is partitioned", Fix: ""}
	}
	if len(t.Key) == 0 {
		return k.unsafe("table "+t.full()+" has no primary key by which the new one could be joined", "add one first")
	}
	s := &split{
		k: k, t: t, into: t.Schema + "." + k.quote(op.Into), intoRaw: t.Plain + "." + op.Into, key: t.Key, columns: op.Columns,
		out: k.name("out"), back: k.name("back"),
	}
	row, err := k.d.one(k.ctx, "SELECT pg_catalog.to_regclass("+literal(s.into)+")")
	if err != nil {
		return err
	}
	if len(row) > 0 && row[0] != nil || strings.Contains(op.Into, ".") || len(op.Into) > 63 {
		return k.unsafe("there is something named "+op.Into+" already, or it cannot be a name", "choose another name, without a dot")
	}
	for _, name := range op.Columns {
		c, err := k.columnOf(t, name)
		if err != nil {
			return err
		}
		if err := k.leavable(t, name, "moved"); err != nil {
			return err
		}
		if c.NotNull || c.Default != "" {
			return k.unsafe(fmt.Sprintf("column %s has a default or must not be null, so that a row that the new version writes without it would be taken for one with a value", name),
				"drop both in an earlier change")
		}
		k.carried(t, name, "the new table")
	}
	k.note("a version that writes one table and then the other in a transaction may meet one that does it the other way round: the database ends one of them with a deadlock error, and it should try again", "")
	s.steps()
	return nil
}

// same is a condition: whether the keys of two rows are.
func (s *split) same(a, b string) string {
	var all []string
	for _, c := range s.key {
		all = append(all, a+"."+s.k.quote(c)+" = "+b+"."+s.k.quote(c))
	}
	return strings.Join(all, " AND ")
}

// differ is a condition: whether the columns of two rows do.
func (s *split) differ(a, b string, hide bool) string {
	var all []string
	for _, c := range s.columns {
		other := s.k.quote(c)
		if hide {
			other = s.k.quote(hidden(c))
		}
		all = append(all, differ(a+"."+s.k.quote(c), b+"."+other, s.t.column(c).Type))
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// each joins a text for each column. In it {new} is the column, and {old} the one in the old table.
func (s *split) each(text string, hide bool, by string) string {
	var all []string
	for _, c := range s.columns {
		old := s.k.quote(c)
		if hide {
			old = s.k.quote(hidden(c))
		}
		all = append(all, strings.NewReplacer("{new}", s.k.quote(c), "{old}", old).Replace(text))
	}
	return strings.Join(all, by)
}

// outBody writes to the new table what was written to the old one. It runs with its owner's rights, as
// an old version has none on a table that it does not know. A row that never had a value makes none
// in the new table, where the new version is about to insert one.
func (s *split) outBody(hide bool) string {
	return fmt.Sprintf(`
BEGIN
	IF tg_op = 'DELETE' THEN
		DELETE FROM %[1]s AS rh_into WHERE %[2]s;
		RETURN NULL;
	END IF;
	IF tg_op = 'UPDATE' AND (%[3]s) THEN
		UPDATE %[1]s AS rh_into SET (%[4]s) = ROW(%[5]s) WHERE %[2]s;
	END IF;
	IF %[6]s OR tg_op = 'UPDATE' AND pg_trigger_depth() = 1 THEN
		INSERT INTO %[1]s AS rh_into (%[4]s) VALUES (%[5]s)
		ON CONFLICT (%[7]s) DO UPDATE SET %[8]s WHERE %[9]s;
	ELSE
		UPDATE %[1]s AS rh_into SET %[10]s WHERE %[11]s AND %[12]s;
	END IF;
	RETURN NULL;
END `,
		s.into, s.same("rh_into", "old"), s.differKey(),
		s.k.quoteAll(s.key, "")+", "+s.each("{new}", hide, ", "), s.k.quoteAll(s.key, "new.")+", "+s.each("new.{old}", hide, ", "),
		s.each("new.{old} IS NOT NULL", hide, " OR "), s.k.quoteAll(s.key, ""), s.each("{new} = excluded.{new}", hide, ", "), s.differ("rh_into", "excluded", false),
		s.each("{new} = new.{old}", hide, ", "), s.same("rh_into", "new"), s.differ("rh_into", "new", hide))
}

// differKey is a condition: whether a row was given another key.
func (s *split) differKey() string {
	var all []string
	for _, c := range s.key {
		all = append(all, "new."+s.k.quote(c)+" IS DISTINCT FROM old."+s.k.quote(c))
	}
	return strings.Join(all, " OR ")
}

// backBody writes to the old table what was written to the new one.
func (s *split) backBody(hide bool) string {
	return fmt.Sprintf(`
BEGIN
	IF tg_op = 'DELETE' THEN
		UPDATE %[1]s AS rh_from SET %[2]s WHERE %[3]s AND (%[4]s);
	ELSE
		UPDATE %[1]s AS rh_from SET %[5]s WHERE %[6]s AND %[7]s;
	END IF;
	RETURN NULL;
END `,
		s.t.full(), s.each("{old} = NULL", hide, ", "), s.same("rh_from", "old"), s.each("rh_from.{old} IS NOT NULL", hide, " OR "),
		s.each("{old} = new.{new}", hide, ", "), s.same("rh_from", "new"), s.differ("new", "rh_from", hide))
}

func (s *split) functions(hide bool) []string {
	rights := func(text string) string {
		return strings.Replace(text, " LANGUAGE plpgsql AS ", " LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ", 1)
	}
	return []string{rights(s.k.function(s.out, s.outBody(hide))), rights(s.k.function(s.back, s.backBody(hide)))}
}

func (s *split) steps() {
	k, t, full, row := s.k, s.t, s.t.full(), s.k.quote(s.t.Name)
	var columns []string
	for _, name := range slices.Concat(s.key, s.columns) {
		c := t.column(name)
		text := k.quote(name) + " " + c.Type
		if c.Collation != "" {
			text += " COLLATE " + c.Collation
		}
		columns = append(columns, text)
	}
	create := []string{fmt.Sprintf("CREATE TABLE %s (\n\t%s,\n\tPRIMARY KEY (%s)\n)", s.into, strings.Join(columns, ",\n\t"), k.quoteAll(s.key, ""))}
	for _, g := range t.Grants {
		if slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, g.Privilege) {
			create = append(create, fmt.Sprintf("GRANT %s ON %s TO %s", g.Privilege, s.into, g.To))
		}
	}
	k.add(migrate.Step{Phase: migrate.Expanding, Name: "create table " + s.into, Do: create, Undo: []string{"DROP TABLE " + s.into}})
	drop := slices.Concat(k.dropTrigger(t, s.out), []string{"DROP TRIGGER zz_" + s.back + " ON " + s.into, fmt.Sprintf("DROP FUNCTION %s.%s()", k.d.schema, s.back)})
	k.add(migrate.Step{
		Phase: migrate.Syncing, Name: "keep " + full + " and " + s.into + " the same",
		Do: append(s.functions(false), k.trigger(t, s.out, "AFTER INSERT OR UPDATE OR DELETE", ""),
			k.trigger(&table{Schema: t.Schema, Quoted: strings.TrimPrefix(s.into, t.Schema+".")}, s.back, "AFTER INSERT OR UPDATE OR DELETE", "")),
		Undo: drop, Locks: []migrate.Lock{brief(full, shareExclusive), brief(s.into, shareExclusive)},
	})
	missing := fmt.Sprintf("(%s) AND NOT EXISTS (SELECT FROM %s AS rh_into WHERE %s)", s.each(row+".{old} IS NOT NULL", false, " OR "), s.into, s.same("rh_into", row))
	differing := fmt.Sprintf("EXISTS (SELECT FROM %s AS rh_into WHERE %s AND %s)", s.into, s.same("rh_into", row), s.differ("rh_into", row, false))
	k.add(t.updates(migrate.Step{
		Phase: migrate.Backfilling, Name: "copy to " + s.into,
		Walk: &migrate.Walk{Table: t.plain(), Method: methodCopy, Key: s.key, Into: s.intoRaw, Columns: slices.Concat(s.key, s.columns), Pending: missing},
	}))
	k.verify(t, "compare "+s.into+" with "+full, missing+" OR "+differing)
	var hide, show, gone []string
	for _, c := range s.columns {
		hide = append(hide, t.alter("RENAME COLUMN "+k.quote(c)+" TO "+k.quote(hidden(c))))
		show = append(show, t.alter("RENAME COLUMN "+k.quote(hidden(c))+" TO "+k.quote(c)))
		gone = append(gone, "DROP COLUMN "+k.quote(hidden(c)))
	}
	k.add(migrate.Step{
		Phase: migrate.Soaking, Name: "hide what moved from " + full, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: append(hide, s.functions(true)...), Undo: append(show, s.functions(false)...),
	})
	k.add(migrate.Step{
		Phase: migrate.Contracting, Name: "drop what moved from " + full, Do: append(drop, t.alter(strings.Join(gone, ", "))),
		Locks: []migrate.Lock{brief(full, exclusive), brief(s.into, exclusive)},
	})
}
