// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import "context"

// TaskStatus is how far a task is, in the direction that was asked about.
type TaskStatus uint8

const (
	// TaskUnknown is the zero TaskStatus: it could not be found out.
	TaskUnknown TaskStatus = iota
	// TaskTodo has not been begun, or has to be begun again.
	TaskTodo
	// TaskRunning is under way.
	TaskRunning
	// TaskDone is true of the world now.
	TaskDone
	// TaskFailed cannot succeed any more.
	TaskFailed
)

var taskStatusNames = []string{"unknown", "todo", "running", "done", "failed"}

// String is the name.
func (s TaskStatus) String() string { return name(taskStatusNames, s) }

// MarshalText writes the name.
func (s TaskStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *TaskStatus) UnmarshalText(text []byte) error {
	return parseName("task status", taskStatusNames, s, text)
}

// Ref tells a Task what it is done for.
type Ref struct {
	Service string
	Run     uint64
	TaskID
	StepName string
	Release  Release
	// Fence orders writers: refuse a lower one than you have seen.
	Fence uint64
	// Back says that the question, or the order, is about taking the task back.
	Back bool
}

// Task makes one fact true around a step, and takes it back on the way home: an
// expanded schema, a scaled workload, a synced application, a webhook. It is
// how everything else plugs in without the core knowing it. Implementations
// must be safe for concurrent use.
type Task interface {
	// Status says how far the task is, or with r.Back how far taking it back is.
	// A task with nothing to take back answers TaskDone to that. It never
	// writes. An error is the same as TaskUnknown.
	Status(ctx context.Context, r Ref) (TaskStatus, error)
	// Do begins the task, and may return before it is done. It is called again
	// after a crash or a lost reply, so it must be idempotent.
	Do(ctx context.Context, r Ref) error
	// Undo begins to take it back. It is called for every task that was started,
	// finished or not, in reverse, once nothing goes to the candidate any more.
	Undo(ctx context.Context, r Ref) error
}

// Explainer is a Task that can say in words what it does or waits for. Runner.Explain
// passes that on; no turn asks for it.
type Explainer interface {
	// Explain never writes. An error is the same as nothing to say.
	Explain(ctx context.Context, r Ref) (string, error)
}
