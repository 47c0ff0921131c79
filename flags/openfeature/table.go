// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/rheostat-go/rheostat/flags"
)

// table has a handle for each flag that was asked for and exists, so that OpenFeature's calls
// by key get what handles know. Flags that do not exist have none: their names may
// come from anywhere, and there is no end of them.
type table[T any] struct {
	make    func(key string, fallback T) *flags.Handle[T]
	handles atomic.Pointer[map[string]*flags.Handle[T]]
	mu      sync.Mutex // of writers
}

// eval evaluates a flag. Ours says that the handle has another fallback than the caller.
func (t *table[T]) eval(client *flags.Client, key string, fallback T, who *flags.Context) (d flags.Detail[T], ours bool) {
	if known := t.handles.Load(); known != nil {
		if h := (*known)[key]; h != nil {
			return h.Eval(client, who), true
		}
	}
	h := t.make(key, fallback)
	if _, ok := client.Flag(key); ok {
		t.replace(func(handles map[string]*flags.Handle[T]) { handles[key] = h })
	}
	return h.Eval(client, who), false
}

// drop forgets a flag.
func (t *table[T]) drop(key string) {
	if known := t.handles.Load(); known != nil && (*known)[key] != nil {
		t.replace(func(handles map[string]*flags.Handle[T]) { delete(handles, key) })
	}
}

func (t *table[T]) replace(change func(map[string]*flags.Handle[T])) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[string]*flags.Handle[T])
	if known := t.handles.Load(); known != nil {
		next = maps.Clone(*known)
	}
	change(next)
	t.handles.Store(&next)
}
