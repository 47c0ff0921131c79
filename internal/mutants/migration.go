// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

const bridge = "./strategy/migration"

// bridges are the guards of package strategy/migration.
var bridges = []mutant{
	{
		2, "a candidate has traffic before its schema is there", "strategy/migration/tasks.go",
		"	case phase.Serves():\n		return strategy.TaskDone, nil\n", "	case phase >= migrate.Expanding:\n		return strategy.TaskDone, nil\n",
		bridge, "TestAnAbort|TestTheWhole|TestNoWorld",
	},
	{
		3, "nobody watches the schema under a candidate", "strategy/migration/migration.go",
		"	plan.Watch = append(slices.Clone(plan.Watch), SchemaCheck)\n", "",
		bridge, "TestWhoever",
	},
	{
		4, "a schema is taken from a stable that needs it", "strategy/migration/tasks.go",
		"x.o.Keep || slices.Contains(", "x.o.Keep || false && slices.Contains(",
		bridge, "TestTheSchemaStays",
	},
	{
		4, "a person's rollback is taken for the rollout's", "strategy/migration/tasks.go",
		" || !r.Order.Force:", ":",
		bridge, "TestAPersons",
	},
	{
		9, "orders carry no fence", "strategy/migration/migration.go",
		"Force: want == migrate.RolledBack, Fence: r.Fence,", "Force: want == migrate.RolledBack,",
		bridge, "TestARollout",
	},
	{
		4, "contracting can be taken back", "strategy/migration/migration.go",
		"Before: []string{ContractTask}, OneWay: true,", "Before: []string{ContractTask},",
		bridge, "Example",
	},
}
