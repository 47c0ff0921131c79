// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

// slow is a task that goes on for ever.
type slow struct{}

func (slow) Status(_ context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	if r.Back {
		return strategy.TaskDone, nil
	}
	return strategy.TaskRunning, nil
}

func (slow) Do(context.Context, strategy.Ref) error   { return nil }
func (slow) Undo(context.Context, strategy.Ref) error { return nil }

// telling is one that says how far it is.
type telling struct {
	slow

	text string
	err  error
}

func (t telling) Explain(context.Context, strategy.Ref) (string, error) { return t.text, t.err }

func TestExplainPassesOnWhatATaskSaysOfItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		task strategy.Task
		want string
	}{
		{slow{}, `task "fill"`},
		{telling{text: "12 of 40 rows"}, `task "fill": 12 of 40 rows`},
		{telling{text: "half of it", err: errors.New("lost")}, `task "fill"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.wiring.Tasks["fill"] = c.task })
			r.start(strategy.BlueGreen{Target: "web", Before: []string{"fill"}})
			_, stop := r.run()
			defer stop()
			time.Sleep(time.Minute)
			e, err := r.runner.Explain(t.Context(), "shop")
			if err != nil || waits(e).Waits != c.want {
				t.Errorf("%+v: %q (%v), want %q", c.task, waits(e).Waits, err, c.want)
			}
		})
	}
}
