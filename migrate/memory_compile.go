// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Compile makes one step of each phase for each operation, roughly as a real database does.
func (d *Memory) Compile(ctx context.Context, c Change) (Script, error) {
	var script Script
	err := d.call(ctx, "Compile", func() error {
		if err := c.Check(); err != nil {
			return err
		}
		for i, op := range c.Ops {
			text, err := json.Marshal(op)
			if err != nil {
				return err
			}
			script.Steps = append(script.Steps, memorySteps(i, op, string(text))...)
		}
		slices.SortStableFunc(script.Steps, func(a, b Step) int { return cmp.Compare(a.Phase, b.Phase) })
		return nil
	})
	return script, err
}

func memorySteps(i int, op Op, text string) []Step {
	step := func(p Phase) Step {
		s := Step{Phase: p, Op: i, Name: fmt.Sprintf("%s %d", op.kind(), i), Do: []string{fmt.Sprintf("%v %s %s", p, op.kind(), text)}}
		if p != Contracting {
			s.Undo = []string{fmt.Sprintf("undo %v %s %s", p, op.kind(), text)}
		}
		return s
	}
	walk := func(p Phase, verify bool) Step {
		return Step{Phase: p, Op: i, Name: fmt.Sprintf("walk %d", i), Walk: &Walk{Table: "t", Method: "memory", Pending: "true", Verify: verify}}
	}
	switch op := op.(type) {
	case ReplaceColumn, RenameColumn, ChangeType, SplitTable:
		return []Step{step(Expanding), step(Syncing), walk(Backfilling, false), walk(Verifying, true), step(Soaking), step(Contracting)}
	case Backfill:
		return []Step{step(Syncing), walk(Backfilling, false)}
	case AddIndex:
		s := step(Verifying)
		s.Alone, s.Holds, s.Clean = true, s.Do[0], []string{"clean " + s.Do[0]}
		return []Step{s}
	case DropColumn, DropTable:
		return []Step{step(Soaking), step(Contracting)}
	case SQL:
		s := Step{Phase: max(op.Phase, Expanding), Op: i, Name: op.Name, Do: op.Do, Undo: op.Undo, Alone: op.Alone, Holds: op.Holds}
		return []Step{s}
	default:
		return []Step{step(Expanding)}
	}
}
