// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

const (
	migrating = "./migrate"
	suite     = "./migrate/migratetest"
	worlds    = "TestEveryRunConverges"
	traces    = "TestTraces"
	memory    = "TestMemoryPasses"
)

// migrations are the guards of package migrate, by the promise of DESIGN.md that they are
// a case of.
var migrations = []mutant{
	{
		9, "a fenced session works on", "migrate/memory_session.go",
		"if s.l.fence != s.fence {", "if false {",
		suite, memory,
	},
	{
		9, "a state need not follow the one before it", "migrate/memory_session.go",
		"if r.State.Rev+1 != next.Rev {", "if false {",
		suite, memory,
	},
	{
		9, "a step is done again though the catalog has it", "migrate/turn.go",
		"		if holds, err := s.Holds(ctx, step.Holds); err != nil || holds {\n			return err\n		}\n", "",
		migrating, worlds,
	},
	{
		9, "that a step outside a transaction is begun is not saved", "migrate/turn.go",
		"	state.Steps[i].Begun = true\n", "",
		migrating, worlds,
	},
	{
		9, "a lost reply is a failure", "migrate/turn.go",
		"held(err), lost(err):", "held(err):",
		migrating, worlds,
	},
	{
		9, "two calls of one process fence each other", "migrate/turn.go",
		"	if m.claimed[id] {\n		return false\n	}\n", "",
		migrating, "TestTwoCallsOfOneProcess",
	},
	{
		9, "a walk is cut into other parts midway", "migrate/walk.go",
		"shards < n && !known && !verify", "shards < n && (known || !verify) && !verify",
		migrating, "TestTheShardsOfAWalk",
	},
	{
		3, "contracting is not guarded", "migrate/turn.go",
		"s.Do(ctx, r.ID, Work{Guard: guard}, state); err != nil {\n			return 0, err", "s.Do(ctx, r.ID, Work{}, state); err != nil {\n			return 0, err",
		migrating, worlds + "|" + traces,
	},
	{
		3, "what soaks is not hidden", "migrate/next.go",
		"p != Switched || p == Soaking", "p != Switched",
		migrating, worlds + "|" + traces,
	},
	{
		3, "an old version may register though its side is hidden", "migrate/memory.go",
		"r.App == i.App && r.State.Hidden && ", "false && r.State.Hidden && ",
		suite, memory,
	},
	{
		3, "nobody alive is nobody in the way", "migrate/memory_session.go",
		"if len(alive) == 0 && !g.Only {", "if false {",
		suite, memory,
	},
	{
		3, "contracting without an app needs nobody's word", "migrate/next.go",
		"a.contract && r.App == \"\" && r.Change.Unguarded == \"\":", "false:",
		migrating, traces,
	},
	{
		3, "a verification that found wrong rows passes", "migrate/walk.go",
		"if !step.Walk.Verify || w.last.Rows == 0 {", "if true {",
		migrating, "TestRowsThatDiffer",
	},
	{
		3, "a verification that failed is not done again", "migrate/walk.go",
		"	if w.last.Done && verify {\n", "	if false {\n",
		migrating, "TestRowsThatDiffer",
	},
	{
		3, "unknown health is good health", "migrate/throttle.go",
		"case !(h > 0): // NaN too", "case h <= 0:",
		migrating, "TestAWalkWaits",
	},
	{
		3, "it does not soak", "migrate/next.go",
		"now.Before(until) {", "false {",
		migrating, worlds + "|" + traces,
	},
	{
		4, "rolling back does not look whether the new version is alive", "migrate/next.go",
		"	case a.returns && r.App", "	case false && r.App",
		migrating, traces,
	},
	{
		4, "rolling back goes forward through the steps", "migrate/next.go",
		"for i, s := range slices.Backward(r.State.Steps) {", "for i, s := range r.State.Steps {",
		migrating, worlds,
	},
	{
		4, "a step that was begun is not taken back", "migrate/next.go",
		"		if s.Begun || s.Done {\n			return i", "		if s.Done {\n			return i",
		migrating, "TestAStepThatWasBegun",
	},
	{
		6, "what is wanted falls", "migrate/migrator.go",
		"	o.Want = max(o.Want, r.Order.Want)\n", "",
		migrating, traces,
	},
	{
		6, "an order ends a rollback", "migrate/migrator.go",
		"case r.Order.Want == RolledBack || r.State.Phase == RollingBack:", "case false:",
		migrating, traces,
	},
	{
		8, "an order replaces one that its giver has not seen", "migrate/migrator.go",
		"	o.N++\n	return m.db.Order", "	o.N = 0\n	return m.db.Order",
		migrating, "TestNoOrderReplaces",
	},
	{
		8, "an order that does not follow is accepted", "migrate/memory.go",
		"if o.N != 0 && o.N != r.Order.N+1 {", "if false {",
		suite, memory,
	},
	{
		6, "rolling back can be ordered while contracting", "migrate/memory.go",
		"if o.Want == RolledBack && (r.State.Phase == Contracting || r.State.Phase == Done) {", "if false {",
		suite, memory,
	},
	{
		4, "what is hidden stays so while a new version is alive", "migrate/next.go",
		"	case phase == Soaking && i >= 0 && r.Script.Steps[i].Phase == Soaking:\n		return action{act: actUndo, step: i, phase: Soaking}, nil\n	case phase == Soaking:\n		return action{act: actEnter, phase: Switched}, nil\n", "",
		migrating, traces,
	},
	{
		6, "an order that came before the end of the way back is not heeded", "migrate/memory_session.go",
		"if r.Order.Forbids(r.State.Phase, next.Phase) {", "if false {",
		migrating, "TestAnOrderComesBefore",
	},
	{
		6, "an order that came before the end of the way back is not kept", "migrate/record.go",
		"(o.Want == RolledBack || o.Paused) &&", "o.Paused &&",
		suite, memory,
	},
	{
		8, "an order ends a pause", "migrate/migrator.go",
		"case r.Order.Paused && !o.Paused:", "case false:",
		migrating, traces,
	},
	{
		8, "a rollback that another order crossed is forgotten", "migrate/migrator.go",
		"		// An order that crossed ours may have replaced it: look again.\n", "		return nil\n",
		migrating, "TestARollbackThatAnOrderCrosses",
	},
	{
		8, "an order does not try again what failed", "migrate/migrator.go",
		"if o == r.Order && r.State.Failed == \"\" {", "if o == r.Order {",
		migrating, traces,
	},
	{
		8, "a walk does not look at orders", "migrate/walk.go",
		"a, err := next(r, time.Time{}); err != nil || a.act != actDo || a.step != w.i {", "_, err := next(r, time.Time{}); err != nil {",
		migrating, "TestAPauseStopsAWalk",
	},
	{
		11, "a change that was edited goes on", "migrate/migrator.go",
		"	case r.Digest != digest:\n", "	case false:\n",
		migrating, traces,
	},
	{
		11, "a state of a newer layout is read all the same", "migrate/next.go",
		"if r.State.Version > StateVersion {", "if false {",
		migrating, "TestAStateOfANewer",
	},
}
