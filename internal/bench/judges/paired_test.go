// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import "testing"

// TestThePairedJudgeTempersByWhatTheHalvesShow: one that took no notice of the halves
// would roll back good candidates, one that tempered everything would find nothing.
func TestThePairedJudgeTempersByWhatTheHalvesShow(t *testing.T) {
	t.Parallel()
	rule := &Rule{make: newPaired}
	find := func(world, defect string) (w *World, d Defect) {
		for i := range Worlds {
			if Worlds[i].Name == world {
				w = &Worlds[i]
			}
		}
		for _, d = range Defects {
			if d.Name == defect {
				return w, d
			}
		}
		return w, d
	}
	for _, c := range []struct {
		world, defect string
		cell          Cell
		want          int
	}{
		{"shocks", "good", Cell{5000, 0.01}, 0},
		{"shocks", "outage", Cell{500, 0.001}, 20},
		{"iid", "good", Cell{500, 0.001}, 0},
		{"iid", "+1pp", Cell{500, 0.001}, 20},
		{"gaps", "+5pp", Cell{500, 0.001}, 20},
	} {
		w, d := find(c.world, c.defect)
		if got := Simulate(rule, w, c.cell, d, 5, 20).Back; got != c.want {
			t.Errorf("%s, %s: %d of 20 rolled back, want %d", c.world, c.defect, got, c.want)
		}
	}
}
