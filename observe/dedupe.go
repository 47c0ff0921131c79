// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"sync"
)

// defaultRemembered is some weeks of a busy service's events, in about a megabyte.
const defaultRemembered = 8192

// Dedupe passes each event to o once, by its Key, and is silent about repeats.
// An event that o returned an error for was not taken, and is passed again.
// A repeat that comes while the first is still being told waits for it.
//
// It remembers the last size keys (0 is 8192) of all services together; a
// repeat that comes later than that is passed on as news. Events without a Rev
// have no key and are always passed.
func Dedupe(o Observer, size int) Observer {
	if size <= 0 {
		size = defaultRemembered
	}
	return &dedupe{next: o, size: size, seen: make(map[Key]*told)}
}

type dedupe struct {
	next Observer
	size int

	mu   sync.Mutex
	seen map[Key]*told
	// order holds the keys that were taken, oldest at head, in a ring of size.
	order []Key
	head  int
}

// told is closed when the first teller of a key is through; ok is set before.
type told struct {
	done chan struct{}
	ok   bool
}

// Observe implements Observer.
func (d *dedupe) Observe(ctx context.Context, e Event) error {
	key, ok := e.Key()
	if !ok {
		return d.next.Observe(ctx, e)
	}
	for {
		mine, first := d.claim(key)
		if first {
			return d.tell(ctx, key, mine, e)
		}
		select {
		case <-mine.done:
			if mine.ok {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// claim is the record of key, and whether the caller is the one to tell it.
func (d *dedupe) claim(key Key) (t *told, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.seen[key]; t != nil {
		return t, false
	}
	t = &told{done: make(chan struct{})}
	d.seen[key] = t
	return t, true
}

func (d *dedupe) tell(ctx context.Context, key Key, t *told, e Event) (err error) {
	// Deferred, so that a panic on its way up leaves nobody waiting.
	taken := false
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.ok = taken; taken {
			d.remember(key)
		} else {
			delete(d.seen, key)
		}
		close(t.done)
	}()
	err = d.next.Observe(ctx, e)
	taken = err == nil
	return err
}

func (d *dedupe) remember(key Key) {
	if len(d.order) < d.size {
		d.order = append(d.order, key)
		return
	}
	delete(d.seen, d.order[d.head])
	d.order[d.head] = key
	d.head = (d.head + 1) % d.size
}
