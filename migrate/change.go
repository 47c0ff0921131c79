// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Change is one coupled change of a schema: what two versions of a program need done to
// the database so that both can run on it. It is plain data, in Go or JSON.
type Change struct {
	// ID names it for ever, such as "20261122-users-new-email".
	ID string `json:"id"`
	// App is the program whose instances register, see [Migrator.Register]. Empty means
	// that none do; contracting then needs Unguarded.
	App string `json:"app,omitempty"`
	// New are the versions of App that work without the old side. Every other version
	// is taken to need it, unless its instances say that they know the change; see
	// [Instance].
	New []string `json:"new,omitempty"`
	// Unguarded is the owner's word, with the reason, that contracting is safe though
	// nothing tells which versions are alive.
	Unguarded string `json:"unguarded,omitempty"`
	// Soak is how long the old side stays hidden before it is dropped, so that whatever
	// still needs it is heard of while one rename brings it back. 0 is an hour.
	Soak time.Duration `json:"-"`
	// Ops are done in order, phase by phase.
	Ops []Op `json:"-"`
}

// Op is one operation of a Change: one of the types in this file. A Database refuses, when
// it compiles the change, the ones it cannot do without stopping its users.
type Op interface {
	kind() string
	// check names the first field that is wrong, and what to do.
	check() error
}

// AddColumn adds a column that may be null, or that has a constant default where the
// database can add one without touching the rows.
type AddColumn struct {
	Table, Column, Type string
	// Default is a constant as SQL, such as "0" or "'{}'". Empty is none.
	Default string `json:",omitempty"`
}

// ReplaceColumn replaces column Old by New. Until the change is contracted both are kept
// the same by the database, whichever of them a version writes.
type ReplaceColumn struct {
	Table, Old, New string
	// Type is the new column's.
	Type string
	// Up is the new value as SQL over the row's columns, such as "lower(email)". Empty is
	// the old column as it is.
	Up string `json:",omitempty"`
	// Down is the old value as SQL over the row's columns. Empty is the new column as it
	// is, if Up is empty too; with an Up it must be given, or Loses.
	Down string `json:",omitempty"`
	// Loses says what rolling back loses, where Down cannot bring it back.
	Loses string `json:",omitempty"`
	// NotNull makes the new column not null once every row is right.
	NotNull bool `json:",omitempty"`
}

// RenameColumn is a ReplaceColumn of the same type and the same values.
type RenameColumn struct {
	Table, Old, New string
}

// ChangeType gives a column another type under the same name. Both versions of the
// program must work with both types; the exchange happens when the change is contracted.
type ChangeType struct {
	Table, Column string
	// Type is the new one.
	Type string
	// Up and Down convert, as SQL over the column's name. Empty is a cast.
	Up, Down string `json:",omitempty"`
}

// Backfill gives a column a value in every row, and in the rows that a version writes
// without it, until the change is contracted.
type Backfill struct {
	Table, Column string
	// Value is SQL over the row's columns.
	Value string
	// Where restricts it to some rows, as SQL. Empty is the rows where Column is null.
	Where string `json:",omitempty"`
}

// MakeNotNull makes a column not null without a scan under a lock that stops writers.
type MakeNotNull struct {
	Table, Column string
}

// AddIndex builds an index while the table is read and written.
type AddIndex struct {
	Table, Name string
	// Columns are names or expressions as SQL.
	Columns []string
	Unique  bool   `json:",omitempty"`
	Where   string `json:",omitempty"`
}

// AddForeignKey adds the constraint for new rows first and validates the others later.
type AddForeignKey struct {
	Table, Name string
	Columns     []string
	// To is the table referred to, and Refer its columns.
	To    string
	Refer []string
	// OnDelete is SQL such as "CASCADE". Empty is the database's default.
	OnDelete string `json:",omitempty"`
}

// AddCheck adds the constraint for new rows first and validates the others later.
type AddCheck struct {
	Table, Name string
	// Holds is the condition as SQL.
	Holds string
}

// SplitTable moves columns into a table of their own, which has the same key. Until the
// change is contracted both are kept the same, whichever of them a version writes.
type SplitTable struct {
	Table, Into string
	// Columns are moved. The key is the primary key of Table.
	Columns []string
}

// DropColumn drops a column that the new version does not use.
type DropColumn struct {
	Table, Column string
	// Fill is the value, as SQL, of rows that the new version writes without the column,
	// for the old version to read. It must be given where the column is not null and has
	// no default.
	Fill string `json:",omitempty"`
}

// DropTable drops a table that the new version does not use.
type DropTable struct {
	Table string
}

// SQL is what no other operation says.
type SQL struct {
	// Name is for people.
	Name string
	// Phase is when: Expanding, Syncing, Verifying, Soaking or Contracting. The zero Phase
	// is Expanding.
	Phase Phase `json:",omitzero"`
	// Do is done in one transaction where the database can, unless Alone.
	Do []string
	// Undo takes it back. It must be given for a phase before Contracting.
	Undo []string `json:",omitempty"`
	// Alone runs each statement outside a transaction; Holds must be given then.
	Alone bool `json:",omitempty"`
	// Holds is a query of one boolean: whether it is done.
	Holds string `json:",omitempty"`
	// Safe is the owner's word, with the reason, that a statement which the lint refuses
	// is safe here.
	Safe string `json:",omitempty"`
}

// DefaultSoak is how long the old side stays hidden before it is dropped.
const DefaultSoak = time.Hour

var (
	opKinds = map[string]reflect.Type{}
	opNames []string
)

func init() {
	for _, op := range []Op{
		AddColumn{},
		ReplaceColumn{},
		RenameColumn{},
		ChangeType{},
		Backfill{},
		MakeNotNull{},
		AddIndex{},
		AddForeignKey{},
		AddCheck{},
		SplitTable{},
		DropColumn{},
		DropTable{},
		SQL{},
	} {
		opKinds[op.kind()] = reflect.TypeOf(op)
		opNames = append(opNames, op.kind())
	}
	slices.Sort(opNames)
}

func (AddColumn) kind() string     { return "addColumn" }
func (ReplaceColumn) kind() string { return "replaceColumn" }
func (RenameColumn) kind() string  { return "renameColumn" }
func (ChangeType) kind() string    { return "changeType" }
func (Backfill) kind() string      { return "backfill" }
func (MakeNotNull) kind() string   { return "makeNotNull" }
func (AddIndex) kind() string      { return "addIndex" }
func (AddForeignKey) kind() string { return "addForeignKey" }
func (AddCheck) kind() string      { return "addCheck" }
func (SplitTable) kind() string    { return "splitTable" }
func (DropColumn) kind() string    { return "dropColumn" }
func (DropTable) kind() string     { return "dropTable" }
func (SQL) kind() string           { return "sql" }

// need is pairs of a field's name and its value.
func need(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			return fmt.Errorf("field %s is missing", pairs[i])
		}
	}
	return nil
}

func needList(name string, list []string) error {
	if len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" }) {
		return fmt.Errorf("field %s is missing or has an empty element", name)
	}
	return nil
}

func (o AddColumn) check() error { return need("Table", o.Table, "Column", o.Column, "Type", o.Type) }

func (o ReplaceColumn) check() error {
	if err := need("Table", o.Table, "Old", o.Old, "New", o.New, "Type", o.Type); err != nil {
		return err
	}
	if o.Old == o.New {
		return errors.New("fields Old and New are the same column; use ChangeType")
	}
	if o.Up != "" && o.Down == "" && o.Loses == "" {
		return errors.New("field Up is given and Down is not, so rolling back would lose what the new version writes: give Down, or say in Loses what is lost")
	}
	return nil
}

func (o RenameColumn) check() error { return need("Table", o.Table, "Old", o.Old, "New", o.New) }
func (o ChangeType) check() error {
	return need("Table", o.Table, "Column", o.Column, "Type", o.Type)
}

func (o Backfill) check() error {
	return need("Table", o.Table, "Column", o.Column, "Value", o.Value)
}
func (o MakeNotNull) check() error { return need("Table", o.Table, "Column", o.Column) }
func (o AddIndex) check() error {
	return errors.Join(need("Table", o.Table, "Name", o.Name), needList("Columns", o.Columns))
}

func (o AddForeignKey) check() error {
	err := errors.Join(need("Table", o.Table, "Name", o.Name, "To", o.To), needList("Columns", o.Columns), needList("Refer", o.Refer))
	if err == nil && len(o.Columns) != len(o.Refer) {
		return fmt.Errorf("field Columns has %d names and Refer %d", len(o.Columns), len(o.Refer))
	}
	return err
}

func (o AddCheck) check() error { return need("Table", o.Table, "Name", o.Name, "Holds", o.Holds) }
func (o SplitTable) check() error {
	return errors.Join(need("Table", o.Table, "Into", o.Into), needList("Columns", o.Columns))
}
func (o DropColumn) check() error { return need("Table", o.Table, "Column", o.Column) }
func (o DropTable) check() error  { return need("Table", o.Table) }

func (o SQL) check() error {
	if err := errors.Join(need("Name", o.Name), needList("Do", o.Do)); err != nil {
		return err
	}
	switch o.Phase {
	case Planned, Expanding, Syncing, Verifying, Soaking, Contracting:
	default:
		return fmt.Errorf("field Phase: %v is none in which statements run", o.Phase)
	}
	if o.Phase != Contracting && len(o.Undo) == 0 {
		return errors.New("field Undo is missing: before Contracting everything can be taken back")
	}
	if o.Alone && o.Holds == "" {
		return errors.New("field Holds is missing: outside a transaction only a look at the catalog tells, after a crash, whether it was done")
	}
	return nil
}

// Check names what is wrong with the change by itself, without a database. Each error
// names the operation, the field and the fix.
func (c Change) Check() error {
	var errs []error
	if strings.TrimSpace(c.ID) == "" {
		errs = append(errs, errors.New("migrate: change: ID is missing"))
	}
	if len(c.Ops) == 0 {
		errs = append(errs, fmt.Errorf("migrate: change %s: Ops is empty", c.ID))
	}
	if c.App != "" && len(c.New) == 0 {
		errs = append(errs, fmt.Errorf("migrate: change %s: App is given and New is not: say which versions work without the old side", c.ID))
	}
	if c.Soak < 0 {
		errs = append(errs, fmt.Errorf("migrate: change %s: Soak is below zero", c.ID))
	}
	for i, op := range c.Ops {
		if op == nil {
			errs = append(errs, fmt.Errorf("migrate: change %s: Ops[%d] is nil", c.ID, i))
		} else if err := op.check(); err != nil {
			errs = append(errs, fmt.Errorf("migrate: change %s: Ops[%d] %s: %w", c.ID, i, op.kind(), err))
		}
	}
	return errors.Join(errs...)
}

type plainChange Change

type wireChange struct {
	plainChange
	Soak string                       `json:"soak,omitempty"`
	Ops  []map[string]json.RawMessage `json:"ops"`
}

// MarshalJSON writes each operation under its kind: {"addColumn":{"Table":"users",…}}.
func (c Change) MarshalJSON() ([]byte, error) {
	w := wireChange{plainChange: plainChange(c), Ops: make([]map[string]json.RawMessage, len(c.Ops))}
	if c.Soak != 0 {
		w.Soak = c.Soak.String()
	}
	for i, op := range c.Ops {
		if op == nil {
			return nil, fmt.Errorf("migrate: change %s: Ops[%d] is nil", c.ID, i)
		}
		text, err := json.Marshal(op)
		if err != nil {
			return nil, err
		}
		w.Ops[i] = map[string]json.RawMessage{op.kind(): text}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses what it does not know.
func (c *Change) UnmarshalJSON(text []byte) error {
	var w wireChange
	if err := strictly(text, &w); err != nil {
		return fmt.Errorf("migrate: change: %w", err)
	}
	next := Change(w.plainChange)
	if w.Soak != "" {
		soak, err := time.ParseDuration(w.Soak)
		if err != nil {
			return fmt.Errorf("migrate: change %s: soak: %w", next.ID, err)
		}
		next.Soak = soak
	}
	for i, tagged := range w.Ops {
		if len(tagged) != 1 {
			return fmt.Errorf("migrate: change %s: ops[%d] has %d kinds, want one", next.ID, i, len(tagged))
		}
		for kind, body := range tagged {
			typ, ok := opKinds[kind]
			if !ok {
				return fmt.Errorf("migrate: change %s: ops[%d]: no operation %q; there are %s", next.ID, i, kind, strings.Join(opNames, ", "))
			}
			read := reflect.New(typ)
			if err := strictly(body, read.Interface()); err != nil {
				return fmt.Errorf("migrate: change %s: ops[%d] %s: %w", next.ID, i, kind, err)
			}
			if op, ok := reflect.TypeAssert[Op](read.Elem()); ok { // the table holds nothing else
				next.Ops = append(next.Ops, op)
			}
		}
	}
	*c = next
	return nil
}
