// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a Store in this process: for tests, and for programs that get their
// flags in a way of their own. Its zero value is empty and ready. It is safe for
// many goroutines.
type Memory struct {
	mu       sync.Mutex
	doc      Document
	watchers map[*watcher]struct{}
}

// NewMemory is a store that has these flags.
func NewMemory(flags ...*Flag) *Memory {
	m := new(Memory)
	m.doc.Flags = make(map[string]*Flag, len(flags))
	for _, f := range flags {
		f = f.Clone()
		f.Version = max(f.Version, 1)
		m.doc.Flags[f.Key] = f
	}
	return m
}

// Replace makes doc all there is. Its flags keep their versions; it must not be changed
// any more.
func (m *Memory) Replace(doc Document) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doc = doc
	m.doc.Flags = maps.Clone(doc.Flags)
	m.tell("", true)
}

// Get is the flag as it stands.
func (m *Memory) Get(_ context.Context, key string) (*Flag, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.doc.Flags[key]
	if f == nil {
		return nil, fmt.Errorf("flags: %q: %w", key, ErrNotFound)
	}
	return f.Clone(), nil
}

// Put writes a flag if it is based on the version that stands.
func (m *Memory) Put(ctx context.Context, f *Flag) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	if err := f.Check(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	stands := m.doc.Flags[f.Key]
	if version := versionOf(stands); f.Version != version {
		return 0, fmt.Errorf("flags: %q: version %d after %d: %w", f.Key, f.Version, version, ErrConflict)
	}
	next := f.Clone()
	next.Version++
	next.Touch(stands, time.Now())
	if m.doc.Flags == nil {
		m.doc.Flags = make(map[string]*Flag)
	}
	m.doc.Flags[f.Key] = next
	m.written(f.Key)
	return next.Version, nil
}

// Delete removes a flag if version is the one that stands.
func (m *Memory) Delete(ctx context.Context, key string, version int64) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	stands := m.doc.Flags[key]
	if stands == nil {
		return fmt.Errorf("flags: %q: %w", key, ErrNotFound)
	}
	if stands.Version != version {
		return fmt.Errorf("flags: %q: version %d after %d: %w", key, version, stands.Version, ErrConflict)
	}
	delete(m.doc.Flags, key)
	m.written(key)
	return nil
}

func versionOf(f *Flag) int64 {
	if f == nil {
		return 0
	}
	return f.Version
}

// written notes a change of one flag: what was wrong with it before is so no more. m.mu
// is held.
func (m *Memory) written(key string) {
	m.doc.Problems = slices.DeleteFunc(slices.Clone(m.doc.Problems), func(p Problem) bool { return p.Flag == key })
	m.tell(key, false)
}

// watcher is somebody who watches, and what he has not heard of yet.
type watcher struct {
	full bool
	keys map[string]struct{}
	wake chan struct{}
}

// tell notes a change of the flag, or of everything. m.mu is held.
func (m *Memory) tell(key string, full bool) {
	for w := range m.watchers {
		w.full = w.full || full
		w.keys[key] = struct{}{}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Watch publishes the flags, and each change. Changes that come faster than publish
// returns are told together.
func (m *Memory) Watch(ctx context.Context, publish func(Update)) error {
	w := &watcher{full: true, keys: make(map[string]struct{}), wake: make(chan struct{}, 1)}
	m.mu.Lock()
	if m.watchers == nil {
		m.watchers = make(map[*watcher]struct{})
	}
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.watchers, w)
		m.mu.Unlock()
	}()
	for {
		publish(m.news(w))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.wake:
		}
	}
}

// news is what the watcher has not heard of.
func (m *Memory) news(w *watcher) Update {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := Update{Full: w.full}
	if w.full {
		u.Document = m.doc
		u.Flags = maps.Clone(m.doc.Flags)
	} else {
		u.Flags = make(map[string]*Flag, len(w.keys))
		for key := range w.keys {
			if f := m.doc.Flags[key]; f != nil {
				u.Flags[key] = f
			} else {
				u.Removed = append(u.Removed, key)
			}
		}
	}
	w.full = false
	clear(w.keys)
	return u
}
