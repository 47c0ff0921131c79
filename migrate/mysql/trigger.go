// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// triggers makes a step that creates triggers, and one that drops them in the end.
//
// They are created under a lock of the table. MariaDB (10.11) tells that a client's prepared
// statement knows nothing of a trigger by the time at which CREATE TRIGGER began, not by
// that at which the trigger was there: a statement that was prepared while CREATE TRIGGER
// waited for the table would be run without the tables that the trigger writes to, and
// fail with error 1146. Under the lock CREATE TRIGGER does not wait, and nobody prepares.
func (x *compiler) triggers(name, table string, bodies map[string]string, drop bool) {
	var names, remove []string
	create := []string{"LOCK TABLES " + quote(table) + " WRITE"}
	for _, event := range slices.Sorted(maps.Keys(bodies)) {
		trigger := ours("sync", x.c.ID, x.op, name, event)
		names = append(names, trigger)
		create = append(create, when(strings.Replace(triggerHolds(trigger), "= 1", "= 0", 1), createTrigger(trigger, event, table, bodies[event])))
		remove = append(remove, "DROP TRIGGER IF EXISTS "+quote(trigger))
	}
	x.step(migrate.Step{Phase: migrate.Syncing, Name: "triggers that " + name, Locks: metadata(table), Holds: triggerHolds(names...), Clean: remove, Do: []string{together(create...)}, Undo: remove})
	if drop {
		x.step(migrate.Step{Phase: migrate.Contracting, Name: "drop the triggers that " + name, Locks: metadata(table), Do: remove, Holds: noTriggers(names)})
	}
}

func noTriggers(names []string) string {
	return strings.Replace(triggerHolds(names...), fmt.Sprintf("= %d", len(names)), "= 0", 1)
}

func createTrigger(name, event, table, body string) string {
	return fmt.Sprintf("CREATE TRIGGER %s %s ON %s FOR EACH ROW BEGIN %s; END", quote(name), event, quote(table), body)
}
