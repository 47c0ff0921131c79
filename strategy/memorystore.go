// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// memoryJournal bounds what a MemoryStore remembers of one service's journal.
const memoryJournal = 1024

// MemoryStore is a Store that forgets everything with the process: for tests,
// and for rollouts that are begun anew after a crash. It is also the reference
// for what a Store does. The zero MemoryStore is empty and ready to use; it must
// not be copied after its first use. It is safe for concurrent use.
type MemoryStore struct {
	mu       sync.RWMutex
	services map[string]*memoryEntry
}

// memoryEntry is one service. Nobody outside the store has its state.
type memoryEntry struct {
	state   State
	journal []Transition
}

// Load returns a copy of the state saved last.
func (m *MemoryStore) Load(ctx context.Context, service string) (State, error) {
	if err := ctx.Err(); err != nil {
		return State{}, fmt.Errorf("strategy: load %q: %w", service, context.Cause(ctx))
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, ok := m.services[service]
	if !ok {
		return State{}, nil
	}
	return e.state.Clone(), nil
}

// Save keeps a copy of next. A context that has ended is an error, and then
// nothing is stored.
func (m *MemoryStore) Save(ctx context.Context, service string, prev uint64, next State, log ...Transition) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("strategy: save %q: %w", service, context.Cause(ctx))
	}
	if err := rises(service, prev, next); err != nil {
		return err
	}
	next = next.Clone()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.services[service]
	if !ok {
		e = &memoryEntry{}
	}
	if e.state.Rev != prev {
		return conflict(service, prev, e.state.Rev)
	}
	if !ok {
		if m.services == nil {
			m.services = map[string]*memoryEntry{}
		}
		m.services[service] = e
	}
	e.state = next
	e.journal = append(e.journal, log...)
	if over := len(e.journal) - memoryJournal; over > 0 {
		e.journal = slices.Delete(e.journal, 0, over)
	}
	return nil
}

// List yields the services' names in alphabetical order, as they were when the
// iteration began.
func (m *MemoryStore) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m.mu.RLock()
		names := slices.Sorted(maps.Keys(m.services))
		m.mu.RUnlock()
		yieldNames(ctx, names, yield)
	}
}

// Journal is a copy of the transitions that were saved with the service's
// states, oldest first. Only the latest 1,024 are kept.
func (m *MemoryStore) Journal(service string) []Transition {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, ok := m.services[service]
	if !ok {
		return nil
	}
	return slices.Clone(e.journal)
}

// yieldNames ends with an error when the context does.
func yieldNames(ctx context.Context, names []string, yield func(string, error) bool) {
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		if !yield(name, nil) {
			return
		}
	}
	if ctx.Err() != nil {
		yield("", fmt.Errorf("strategy: list: %w", context.Cause(ctx)))
	}
}

// rises refuses a state that would not move the number by which saves are
// compared: two writers could then both believe that they were first.
func rises(service string, prev uint64, next State) error {
	if next.Rev <= prev {
		return fmt.Errorf("strategy: save %q: rev %d is not above the %d that it follows; save what Step returned", service, next.Rev, prev)
	}
	return nil
}

func conflict(service string, prev, stored uint64) error {
	return fmt.Errorf("%w: %q is at rev %d, not %d; load it again", ErrConflict, service, stored, prev)
}
