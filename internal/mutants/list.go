// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

import "slices"

// mutant is one guard taken away.
type mutant struct {
	promise int
	name    string
	// file is relative to the repository; old stands in it once and becomes new.
	file, old, new string
	// run selects the tests that must go red, in pkg.
	pkg, run string
}

const (
	strategy = "./strategy"
	sim      = "./strategy/strategytest"
	stories  = "TestTraces|TestRandomWorlds"
	faults   = "TestCrashesAreInvisible|TestFaultsAreInvisible"
)

// mutants are sorted by promise.
var mutants = slices.Concat(rollouts, migrations, servers, bridges, monitors)

var rollouts = []mutant{
	{
		1, "act before saving", "strategy/runner_turn.go",
		"	if d.State.Rev != s.Rev {\n		if err := r.save(", "	_ = r.act(ctx, wiring, d.Effects)\n	if d.State.Rev != s.Rev {\n		if err := r.save(",
		sim, faults,
	},
	{
		1, "act although the save failed", "strategy/runner_turn.go",
		"			return Decision{State: s}, err\n		}\n	}\n	err = r.act", "			_ = err\n		}\n	}\n	err = r.act",
		sim, faults,
	},
	{
		2, "write without looking at room", "strategy/effects.go",
		"	if t.room(k, target.Route.Split, home).kind != lacksNothing {\n		return\n	}\n", "",
		strategy, stories,
	},
	{
		2, "room that is not known is room", "strategy/lacks.go",
		"!room.Known || room.Candidate < need", "room.Known && room.Candidate < need",
		strategy, stories,
	},
	{
		2, "return beyond stable's room", "strategy/home.go",
		"seen.Room.Known && seen.Room.Stable < traffic.Full {", "false {",
		strategy, stories,
	},
	{
		3, "not knowing the operator's will is consent", "strategy/lacks.go",
		"	case !t.known:\n		return lack{kind: lacksIntent}\n", "",
		strategy, stories,
	},
	{
		3, "inconclusive is a pass", "strategy/lacks.go",
		"	return f.Verdict\n}", "	if f.Verdict == analysis.Inconclusive {\n		return analysis.Pass\n	}\n	return f.Verdict\n}",
		strategy, stories,
	},
	{
		3, "downtime is evidence", "strategy/turn.go",
		"	if t.o.Watched.After(from) {\n		from = t.o.Watched\n	}\n", "",
		strategy, stories,
	},
	{
		3, "an answer to another question counts", "strategy/lacks.go",
		"f.Step != t.s.Lanes[check.lane].Step || !f.Since.Equal(since)", "since.IsZero()",
		strategy, "TestAnAnswer",
	},
	{
		4, "a freeze blocks the way home", "strategy/home.go",
		"	lane := &t.s.Lanes[i]\n	switch lane.Stage {\n	case Shifting:\n		t.s.Seq++", "	if t.forward().kind != lacksNothing {\n		return\n	}\n	lane := &t.s.Lanes[i]\n	switch lane.Stage {\n	case Shifting:\n		t.s.Seq++",
		strategy, stories,
	},
	{
		4, "the way home is not bounded", "strategy/home.go",
		"if !t.s.homeward() || t.s.Returning < t.in.plan.Back.Bound {", "if true {",
		strategy, stories,
	},
	{
		4, "home is where it was asked for, not where it was seen", "strategy/home.go",
		"	return t.settled(i).kind == lacksNothing\n}", "	return true\n}",
		strategy, stories,
	},
	{
		5, "what was sent home may come again", "strategy/begin.go",
		"if id == r.Stable.Identity() || id == r.Candidate.Identity() && l.Override.By == \"\" {", "if false {",
		strategy, stories,
	},
	{
		5, "what was superseded is to blame", "strategy/home.go",
		"	if t.s.Cause == CauseSuperseded {\n		return\n	}\n", "",
		strategy, stories,
	},
	{
		6, "the weight may rise on the way home", "strategy/home.go",
		"	return min(have, floor)\n}", "	return max(floor, have/2)\n}",
		strategy, stories,
	},
	{
		7, "drift does not restart the hold", "strategy/trouble.go",
		"		lane.Stage, lane.Held, lane.Settled = Shifting, 0, time.Time{}\n", "",
		strategy, stories,
	},
	{
		7, "drift is fought for ever", "strategy/trouble.go",
		"if target.Repaired >= t.in.plan.Repairs && lane.Status != Returning {", "if false {",
		strategy, stories,
	},
	{
		8, "a hold does not stop the clock", "strategy/turn.go",
		"case lane.Status != Moving || t.s.Paused || t.s.Hold.ID != 0 || !t.known || t.intent.Hold:", "case lane.Status != Moving:",
		strategy, stories,
	},
	{
		8, "promote waives room", "strategy/forward.go",
		"	x := &t.in.lanes[i]\n	for k := x.target; k < x.targets; k++ {\n		if l := t.room(k, t.in.targets[k]", "	x := &t.in.lanes[i]\n	for k := x.target; k < x.targets && !t.intent.Promote; k++ {\n		if l := t.room(k, t.in.targets[k]",
		strategy, stories,
	},
	{
		8, "an intent of another run is obeyed", "strategy/turn.go",
		"t.known && t.o.Intent.Run == t.s.Run {", "t.known {",
		strategy, "TestAnIntent",
	},
	{
		9, "the fence is not raised with the decision", "strategy/turn.go",
		"	target.Fence, target.Seen, target.Agreed = fence, false, 0\n", "	target.Fence, target.Seen, target.Agreed = max(target.Fence, 1), false, 0\n",
		sim, faults,
	},
	{
		10, "routes are set once and not asserted", "strategy/effects.go",
		"	if target.Fence == 0 || t.foreign(k) {\n		return\n	}\n", "	if target.Fence == 0 || t.foreign(k) || t.made.Kind == 0 {\n		return\n	}\n",
		strategy, stories,
	},
	{
		10, "a step is done when it was asked for", "strategy/lacks.go",
		"	case !seen.Route.Equal(target.Route) || seen.Fence < target.fence():\n		return lack{kind: lacksRoute, target: i}\n", "",
		strategy, stories,
	},
	{
		10, "written is in effect", "strategy/lacks.go",
		"	case seen.Evidence < target.Caps.Evidence:\n		return lack{kind: lacksEvidence, target: i}\n", "",
		strategy, stories,
	},
	{
		11, "a plan that was changed goes on", "strategy/frozen.go",
		"	if read.in.digest != w.Digest {", "	if false {",
		strategy, "Frozen|Digest|Golden|Plan",
	},
	{
		11, "a newer program changes the plan of a run", "strategy/machine.go",
		"	case s.Active() && s.Release == l.Release:", "	case s.Active() && s.Release == l.Release && s.Plan.Digest() == l.Plan.Digest():",
		strategy, stories,
	},
	{
		12, "states share what can be written to", "strategy/turn.go",
		"		s.Lanes = append(b.lanes[:0:len(s.Lanes)], s.Lanes...)\n", "",
		strategy, stories,
	},
}
