// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"strings"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// The names under which Tasks gives what Plan refers to, after Options.Name. CapacityTask
// is followed by a share: "capacity 25%".
const (
	CapacityTask = "capacity"
	StableTask   = "stable capacity"
	PromoteTask  = "promote"
	ReleaseTask  = "release"
)

// Tasks are the tasks that plans name: what a new run will begin with, and the frozen
// ones of runs under way. Names that are not of this Workload are left out.
func (x *Workload) Tasks(plans ...strategy.Plan) map[string]strategy.Task {
	tasks := map[string]strategy.Task{}
	add := func(names []string) {
		for _, name := range names {
			if task := x.Task(name); task != nil {
				tasks[name] = task
			}
		}
	}
	for _, plan := range plans {
		add(plan.Back.Before)
		for _, lane := range plan.Lanes {
			for _, step := range lane.Steps {
				add(step.Before)
			}
		}
	}
	return tasks
}

// Task is the task of a name, nil if it is not of this Workload.
func (x *Workload) Task(name string) strategy.Task {
	if x.o.Name != "" {
		var ok bool
		if name, ok = strings.CutPrefix(name, x.o.Name+" "); !ok {
			return nil
		}
	}
	switch name {
	case StableTask:
		return &task{look: x.stableLook, do: x.stableDo, undo: nothing}
	case PromoteTask:
		return &task{look: x.promoteLook, do: x.promoteDo, undo: x.stableDo}
	case ReleaseTask:
		return &task{look: x.releaseLook, do: x.releaseDo, undo: x.stableDo}
	}
	text, ok := strings.CutPrefix(name, CapacityTask+" ")
	share, err := traffic.ParseWeight(text)
	if !ok || err != nil {
		return nil
	}
	c := capacity{x, share}
	return &task{look: c.look, do: c.do, undo: c.undo}
}

func (x *Workload) taskName(name string) string {
	if x.o.Name == "" {
		return name
	}
	return x.o.Name + " " + name
}

// task is a look at how far it is, which never writes, and the next thing to do about it
// in either direction. Most take several: the look says Todo as long as there is one.
type task struct {
	look     func(ctx context.Context, r strategy.Ref) (outlook, error)
	do, undo func(ctx context.Context, r strategy.Ref) error
}

// outlook is a status with why it is so.
type outlook struct {
	status strategy.TaskStatus
	why    string
}

func todo(format string, args ...any) outlook {
	return outlook{strategy.TaskTodo, fmt.Sprintf(format, args...)}
}

func running(format string, args ...any) outlook {
	return outlook{strategy.TaskRunning, fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) outlook {
	return outlook{strategy.TaskFailed, fmt.Sprintf(format, args...)}
}

func done(format string, args ...any) outlook {
	return outlook{strategy.TaskDone, fmt.Sprintf(format, args...)}
}

// Status is how far the task is.
func (t *task) Status(ctx context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	o, err := t.look(ctx, r)
	if err != nil {
		return strategy.TaskUnknown, ours(err)
	}
	return o.status, nil
}

// Explain says what the task waits for, and why it failed.
func (t *task) Explain(ctx context.Context, r strategy.Ref) (string, error) {
	o, err := t.look(ctx, r)
	return o.why, ours(err)
}

// Do takes the next step.
func (t *task) Do(ctx context.Context, r strategy.Ref) error { return ours(t.do(ctx, r)) }

// Undo takes the next step back.
func (t *task) Undo(ctx context.Context, r strategy.Ref) error { return ours(t.undo(ctx, r)) }

func ours(err error) error {
	if err != nil {
		err = fmt.Errorf("workload: %w", err)
	}
	return err
}

func nothing(context.Context, strategy.Ref) error { return nil }
