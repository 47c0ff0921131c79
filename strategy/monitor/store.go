// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/rheostat-go/rheostat/rollback"
)

// Store keeps states where a crash does not reach them. It is safe for concurrent use.
type Store interface {
	// Load is the state that was saved last, the zero State if there is none. An error is
	// not an empty state.
	Load(ctx context.Context, service string) (State, error)
	// Save keeps next if the state kept has the Rev prev; otherwise the error wraps
	// [rollback.ErrConflict], and nothing has changed.
	Save(ctx context.Context, service string, prev uint64, next State) error
}

// MemoryStore is a Store that forgets everything with the process. The zero MemoryStore is
// empty.
type MemoryStore struct {
	mu     sync.Mutex
	states map[string][]byte
}

var _ Store = (*MemoryStore)(nil)

// Load implements Store.
func (m *MemoryStore) Load(ctx context.Context, service string) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load(ctx, service)
}

func (m *MemoryStore) load(ctx context.Context, service string) (State, error) {
	var s State
	if ctx.Err() != nil {
		return State{}, context.Cause(ctx)
	}
	text, ok := m.states[service]
	if !ok {
		return State{}, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, fmt.Errorf("monitor: %w", err)
	}
	return s, nil
}

// Save implements Store.
func (m *MemoryStore) Save(ctx context.Context, service string, prev uint64, next State) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	had, err := m.load(ctx, service)
	if err != nil {
		return err
	}
	if had.Rev != prev {
		return fmt.Errorf("monitor: rev %d is saved, not %d: %w", had.Rev, prev, rollback.ErrConflict)
	}
	if m.states == nil {
		m.states = map[string][]byte{}
	}
	m.states[service] = text
	return nil
}
