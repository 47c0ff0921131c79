// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

const (
	watching  = "./strategy/monitor"
	turns     = "TestATurnIs"
	processes = "TestWhateverHappens"
)

// monitors are the guards of package strategy/monitor.
var monitors = []mutant{
	{
		1, "a watch is what was not saved", "strategy/monitor/monitor.go",
		"			err = m.save(ctx, s.Rev, next)\n", "			_ = m.save(ctx, s.Rev, next)\n",
		watching, "TestNothingIsWhat",
	},
	{
		1, "a return begins although it was not saved", "strategy/monitor/back.go",
		"		if err := m.save(ctx, s.Rev, next); err != nil {\n			return err\n		}\n		s = next", "		_ = m.save(ctx, s.Rev, next)\n		s = next",
		watching, "TestAHoldComesBefore|" + processes,
	},
	{
		3, "a break in its health is forgotten", "strategy/monitor/step.go",
		"s.Healthy, s.Unhealthy = 0, s.Unhealthy+passed", "s.Unhealthy += passed",
		watching, turns,
	},
	{
		3, "health does not end the time that it was not healthy", "strategy/monitor/step.go",
		"s.Healthy, s.Unhealthy = s.Healthy+passed, 0", "s.Healthy += passed",
		watching, turns,
	},
	{
		3, "time in which nobody looked is watched", "strategy/monitor/step.go",
		"min(max(now.Sub(s.Seen), 0), Attention)", "max(now.Sub(s.Seen), 0)",
		watching, "TestOnlyTime|TestTimeInWhich",
	},
	{
		3, "what cannot be seen now is good", "strategy/monitor/step.go",
		"case waits == \"\" && s.Healthy >= l.For", "case s.Healthy >= l.For",
		watching, turns,
	},
	{
		3, "a judge that is sure of no number lets it pass", "strategy/monitor/step.go",
		"switch f = f.Sound(); {", "switch {",
		watching, turns + "|TestWhatIsNotKnown",
	},
	{
		3, "a judge that has no answer lets it pass", "strategy/monitor/step.go",
		"			list = append(list, name+\" has no answer\")\n", "",
		watching, turns + "|TestWhatIsNotKnown",
	},
	{
		3, "an answer to another watch counts", "strategy/monitor/monitor.go",
		"err == nil && f.Answers(c) {", "err == nil {",
		watching, "TestAnAnswerToAnother",
	},
	{
		3, "what comes with an error was seen", "strategy/monitor/monitor.go",
		"Target.Observe(ctx); err == nil {", "Target.Observe(ctx); err == nil || true {",
		watching, "TestWhatComesWith",
	},
	{
		3, "a target that is down is given up", "strategy/monitor/back.go",
		" || !errors.Is(err, rollback.ErrRefused):", ":",
		watching, "TestATargetThatIsDown",
	},
	{
		4, "what was stuck is found out from an earlier look", "strategy/monitor/step.go",
		"	case o.Status == nil || o.Current.Digest == \"\":\n	case s.Health", "	case s.Health",
		watching, "TestAnEarlierLook",
	},
	{
		4, "it goes back again when it is over", "strategy/monitor/monitor.go",
		"if !s.over() && s.Returning && ", "if s.Returning && ",
		watching, "TestWhatIsOverIs",
	},
	{
		4, "a rollback is rolled back", "strategy/monitor/monitor.go",
		"if ledger.Running != current.Digest {", "if true {",
		watching, "TestARollbackOfARollback",
	},
	{
		4, "a return takes back what nobody has watched", "strategy/monitor/back.go",
		"return s.Ledger.Open == nil }", "return false }",
		watching, "TestADeployBetween",
	},
	{
		8, "it goes back although it is held", "strategy/monitor/monitor.go",
		"s.Returning && s.Held == \"\" {", "s.Returning {",
		watching, "TestAHoldComesBefore",
	},
	{
		8, "a hold does not stop the clock of a watch", "strategy/monitor/step.go",
		"	if s.Held != \"\" {\n		return s, nil\n	}\n", "",
		watching, "TestOnlyTime|TestAnOperator",
	},
	{
		8, "an order that another save crossed is lost", "strategy/monitor/orders.go",
		"; !errors.Is(err, rollback.ErrConflict) {", "; err == nil || errors.Is(err, rollback.ErrConflict) {",
		watching, "TestOrdersAreSaved",
	},
	{
		9, "a watch is saved over another", "strategy/monitor/store.go",
		"if had.Rev != prev {", "if false {",
		watching, "TestAStoreKeeps|" + processes,
	},
	{
		12, "watches share what can be written to", "strategy/monitor/state.go",
		"	s.Findings = maps.Clone(s.Findings)\n", "	_ = maps.Clone(s.Findings)\n",
		watching, turns,
	},
}
