// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxKeys bounds the decisions that Memory remembers, far above what a test makes.
const maxKeys = 1024

// Memory is a target that runs nothing: for tests, and as the reference for the
// law in Target. It takes its time: after a change its status is the old one for
// a quarter of the startup, then it is on its way, and then it becomes what
// Becomes says, healthy if nothing. It is safe for concurrent use.
//
// It does not emulate traffic, capacity that grows bit by bit, pods that
// terminate, pauses, other owners, or a history that ages; Prune stands for the
// last of these. Its clock is time.Now, so it lives well in a synctest bubble.
type Memory struct {
	startup time.Duration

	mu         sync.Mutex
	revisions  []Revision
	current    Revision
	before     Revision
	version    uint64
	generation uint64
	changed    time.Time
	becomes    map[string]Health
	keys       map[string]applied
	order      []string
	log        []Application
}

type applied struct {
	digest string
	token  Token
}

// Application is a change that Memory was asked for and made.
type Application struct {
	// Key is empty for a Deploy.
	Key string
	To  Revision
	At  time.Time
}

var _ Target = (*Memory)(nil)

// NewMemory makes a target that takes startup to become healthy after a change.
// History is what it ran, oldest first; the last one runs, and is healthy.
func NewMemory(startup time.Duration, history ...Revision) *Memory {
	m := &Memory{
		startup: startup, revisions: slices.Clone(history), version: 1, generation: 1,
		becomes: make(map[string]Health), keys: make(map[string]applied),
	}
	if n := len(history); n > 0 {
		m.current = history[n-1]
		m.before = m.current
	}
	return m
}

// Current implements Target.
func (m *Memory) Current(ctx context.Context) (Revision, Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return Revision{}, "", context.Cause(ctx)
	}
	return m.current, m.token(), nil
}

// History implements Target.
func (m *Memory) History(ctx context.Context) ([]Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return slices.Clone(m.revisions), nil
}

// Preflight implements Target.
func (m *Memory) Preflight(ctx context.Context, to Revision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := m.find(to)
	return err
}

// Apply implements Target.
func (m *Memory) Apply(ctx context.Context, to Revision, expect Token, key string) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if was, ok := m.keys[key]; ok {
		if was.digest != to.Digest {
			return "", fmt.Errorf("key %q was used for another revision: %w", key, ErrConflict)
		}
		return was.token, nil
	}
	found, err := m.find(to)
	if err != nil {
		return "", err
	}
	if expect != m.token() {
		return "", fmt.Errorf("token is %q, not %q: %w", m.token(), expect, ErrConflict)
	}
	m.change(found, key)
	m.remember(key, applied{found.Digest, m.token()})
	return m.token(), nil
}

// Observe implements Target.
func (m *Memory) Observe(ctx context.Context) (Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return Status{}, context.Cause(ctx)
	}
	since := time.Since(m.changed)
	s := Status{Running: m.current, Generation: m.generation, Observed: m.generation}
	switch {
	case !m.changed.IsZero() && since < m.startup/4:
		s.Running, s.Observed = m.before, m.generation-1
		s.Health, s.Ready, s.Reason = Healthy, 1, "the change was not noticed yet"
		return s, nil
	case !m.changed.IsZero() && since < m.startup:
		s.Reason = "starting"
		return s, nil
	}
	health, set := m.becomes[m.current.Digest]
	if !set {
		health = Healthy
	}
	s.Health, s.Reason = health, "set to "+health.String()
	if health == Healthy {
		s.Ready, s.Reason = 1, "running"
	}
	return s, nil
}

// Deploy runs r, as somebody else would: without a token or a key.
func (m *Memory) Deploy(r Revision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(r, "")
}

// Becomes sets what the revision with this digest is after its startup, from now
// on: Progressing for one that never gets there, Degraded, Failed, Healthy.
func (m *Memory) Becomes(digest string, h Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.becomes[digest] = h
}

// Touch changes something that is not the revision: tokens that were read
// before it are stale.
func (m *Memory) Touch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
}

// Prune drops the revision with this digest from the history.
func (m *Memory) Prune(digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revisions = slices.DeleteFunc(m.revisions, func(r Revision) bool { return r.Digest == digest })
}

// Applied lists the changes that were made, oldest first.
func (m *Memory) Applied() []Application {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

func (m *Memory) token() Token { return Token(strconv.FormatUint(m.version, 10)) }

func (m *Memory) find(r Revision) (Revision, error) {
	for _, known := range slices.Backward(m.revisions) {
		if known.ID == r.ID && known.Digest == r.Digest {
			return known, nil
		}
	}
	return Revision{}, fmt.Errorf("there is no revision %s in the history: %w", r, ErrRefused)
}

func (m *Memory) change(to Revision, key string) {
	m.before, m.current = m.current, to
	m.version++
	m.generation++
	m.changed = time.Now()
	if !slices.ContainsFunc(m.revisions, func(r Revision) bool { return r.ID == to.ID }) {
		m.revisions = append(m.revisions, to)
	}
	m.log = last(append(m.log, Application{Key: key, To: to, At: m.changed}), maxKeys)
}

func (m *Memory) remember(key string, a applied) {
	if len(m.order) >= maxKeys {
		delete(m.keys, m.order[0])
		m.order = m.order[1:]
	}
	m.keys[key] = a
	m.order = append(m.order, key)
}
