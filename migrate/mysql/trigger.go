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
func (x *compiler) triggers(name, table string, bodies map[string]string, drop bool) {
	var names, remove []string
	create := []string{"LOCK TABLES " + quote(table) + " WRITE"}
	for _, event := range slices.Sorted(maps.Keys(bodies)) {
		trigger := ours("sync", x.c.ID, x.op, name, event)
		names = append(names, trigger)
		if event == lastEvent {
			create = append(create, touch(table)...)
		}
		create = append(create, when(strings.Replace(triggerHolds(trigger), "= 1", "= 0", 1), createTrigger(trigger, event, table, bodies[event])))
		remove = append(remove, "DROP TRIGGER IF EXISTS "+quote(trigger))
	}
	x.step(migrate.Step{
		Phase: migrate.Syncing, Name: "triggers that " + name, Locks: metadata(table), Holds: triggerHolds(names...), Clean: remove,
		Do: []string{together(create...)}, Undo: remove,
	})
	if drop {
		x.step(migrate.Step{Phase: migrate.Contracting, Name: "drop the triggers that " + name, Locks: metadata(table), Do: remove, Holds: noTriggers(names)})
	}
}

// lastEvent is that of a trigger which does nothing, and is created after the table was
// touched: where it is, the table was.
const (
	lastEvent = "BEFORE DELETE"
	doNothing = "SET @_rh_nothing = NULL"
)

// touch gives a table another version, by a comment that is as it was.
//
// Triggers that write to other tables need it. A statement that a client has prepared opens
// the tables that it knew of then. MariaDB (10.11) lets it find out that there are others now
// by the version of the table's definition, which a trigger does not change, and by the time
// at which CREATE TRIGGER began, which is not the time at which the trigger is there; of
// several triggers for one event it asks the first alone. A statement that does not find
// out fails with error 1146, for as long as its client keeps it.
func touch(table string) []string {
	// QUOTE escapes by backslashes, which this mode does not know.
	const comment = `IF(@@sql_mode LIKE '%NO_BACKSLASH_ESCAPES%', CONCAT('''', REPLACE(table_comment, '''', ''''''), ''''), QUOTE(table_comment))`
	return []string{
		"SET @_rh_touch = (SELECT CONCAT(" + text("ALTER TABLE "+quote(table)+" COMMENT = ") + ", " + comment + ", " + text(instant) +
			") FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = " + text(table) + ")",
		"PREPARE _rh_touch FROM @_rh_touch",
		"EXECUTE _rh_touch",
	}
}

func noTriggers(names []string) string {
	return strings.Replace(triggerHolds(names...), fmt.Sprintf("= %d", len(names)), "= 0", 1)
}

func createTrigger(name, event, table, body string) string {
	return fmt.Sprintf("CREATE TRIGGER %s %s ON %s FOR EACH ROW BEGIN %s; END", quote(name), event, quote(table), body)
}
