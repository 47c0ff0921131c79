// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Script is a change compiled for one database as it is now: every statement, in order. It
// is frozen in the record when the change begins, so that another version of the program,
// or of this package, finishes what was planned and printed.
type Script struct {
	Steps []Step `json:"steps"`
	// Notes are what whoever approves the change should know.
	Notes []Note `json:"notes,omitempty"`
	// Loses is what rolling back loses; empty is nothing.
	Loses []string `json:"loses,omitempty"`
}

// Step is one thing that is done, or taken back, at once.
type Step struct {
	// Phase is when: Expanding, Syncing, Backfilling, Verifying, Soaking or Contracting.
	Phase Phase `json:"phase"`
	// Op is the number of the operation in the change.
	Op int `json:"op"`
	// Name is for people: "add column users.new_email".
	Name string `json:"name"`
	// Do are the statements; Undo takes them back. A step of Contracting has no Undo.
	Do   []string `json:"do,omitempty"`
	Undo []string `json:"undo,omitempty"`
	// Alone runs each statement by itself, because the database cannot do them in a
	// transaction. Otherwise they and the record of them are one transaction.
	Alone bool `json:"alone,omitempty"`
	// Holds is a query of one boolean: whether the step's result is there. A step that is
	// Alone needs it; others may have it.
	Holds string `json:"holds,omitempty"`
	// Clean are statements that remove what a failed attempt left, such as an invalid
	// index. They are run alone, before another attempt.
	Clean []string `json:"clean,omitempty"`
	// Locks are what the statements take, strongest first.
	Locks []Lock `json:"locks,omitempty"`
	// Walk, if set, is done instead of statements.
	Walk *Walk `json:"walk,omitempty"`
	// Estimates; 0 is not known.
	Rows  int64         `json:"rows,omitempty"`  // rows read or written
	Grows int64         `json:"grows,omitempty"` // bytes of disk, at most
	Log   int64         `json:"log,omitempty"`   // bytes of write-ahead log
	Takes time.Duration `json:"takes,omitempty"` // nanoseconds, without throttling
}

// Lock is one lock that a statement takes.
type Lock struct {
	Table string `json:"table"`
	// Mode is the database's word for it: "ACCESS EXCLUSIVE".
	Mode string `json:"mode"`
	// Reads and Writes say whom it stops while it is held or waited for.
	Reads  bool `json:"reads,omitempty"`
	Writes bool `json:"writes,omitempty"`
	// Brief says that it is held for a change of the catalog only, and not for work that
	// grows with the table.
	Brief bool `json:"brief,omitempty"`
}

// Walk is work on every row of a table, in batches.
type Walk struct {
	Table string `json:"table"`
	// Method is how, in the words of the database's package: "hot", "keyset", "copy".
	Method string `json:"method"`
	// Key are the columns that tell rows apart, where the method needs them.
	Key []string `json:"key,omitempty"`
	// Set are the columns written and their values as SQL, in order.
	Set []Assign `json:"set,omitempty"`
	// Pending is SQL over a row: whether it has still to be made right.
	Pending string `json:"pending"`
	// Into and Columns are for a walk that copies rows into another table.
	Into    string   `json:"into,omitempty"`
	Columns []string `json:"columns,omitempty"`
	// Verify writes nothing and counts the rows for which Pending is true.
	Verify bool `json:"verify,omitempty"`
}

// Assign is a column and its value as SQL.
type Assign struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// Note is something that whoever approves a change should know.
type Note struct {
	// Op is the number of the operation, or -1.
	Op  int    `json:"op"`
	Why string `json:"why"`
	// Fix is what to do about it, if anything.
	Fix string `json:"fix,omitempty"`
}

// check says what is wrong with a script by itself: nothing that a user could mend.
func (s Script) check() error {
	phase := Expanding
	for i, step := range s.Steps {
		switch {
		case step.Phase < phase:
			return fmt.Errorf("step %d (%s) is of %v and stands after one of %v", i+1, step.Name, step.Phase, phase)
		case step.Phase == Ready, step.Phase == Switched, step.Phase > Contracting:
			return fmt.Errorf("step %d (%s) is of %v, in which nothing runs", i+1, step.Name, step.Phase)
		case step.Alone && step.Holds == "":
			return fmt.Errorf("step %d (%s) is Alone and has no Holds", i+1, step.Name)
		case step.Phase == Contracting && len(step.Undo) > 0:
			return fmt.Errorf("step %d (%s) is of %v and has an Undo", i+1, step.Name, step.Phase)
		}
		phase = step.Phase
	}
	return nil
}

// Digest identifies what the change says, whatever a database makes of it.
func (c Change) Digest() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// strictly decodes one JSON value with no field that it does not know.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errTrailing
	}
	return nil
}
