// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrFull is returned by Queue.Observe when the event found no place.
	ErrFull = errors.New("observe: queue is full")
	// ErrClosed is returned by Queue.Observe after Close.
	ErrClosed = errors.New("observe: queue is closed")
)

const (
	defaultQueue = 1024
	// queueTimeout bounds one event, so that an observer that hangs costs the
	// queue a pause instead of its life.
	queueTimeout = 30 * time.Second
)

// Queue is an Observer that hands events to another one later, in order, from
// one goroutine. Make it with Async and end it with Close.
type Queue struct {
	next   Observer
	events chan Event
	done   chan struct{}
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	stats  QueueStats
}

// QueueStats counts what became of a queue's events.
type QueueStats struct {
	// Told were taken by the observer, Failed were not and are not retried.
	Told, Failed uint64
	// Dropped found the queue full, or were left over when it was closed.
	Dropped uint64
	// Waiting are in the queue now.
	Waiting int
	// Last is the error of the last event that failed, nil if none did.
	Last error
}

// Async starts a goroutine that tells o, and returns the queue in front of it
// with room for size events (0 is 1024). Observe never blocks. The goroutine
// ends after Close, as soon as the observer lets go of the event it has.
func Async(o Observer, size int) *Queue {
	if size <= 0 {
		size = defaultQueue
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	q := &Queue{next: o, events: make(chan Event, size), done: make(chan struct{}), cancel: cancel}
	go q.work(ctx)
	return q
}

// Observe puts the event into the queue. It returns ErrFull when there is no
// room, ErrClosed after Close, and nil when the event will be told, which is not
// yet to say that the observer will take it.
func (q *Queue) Observe(_ context.Context, e Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	select {
	case q.events <- e.Clone():
		return nil
	default:
		q.stats.Dropped++
		return ErrFull
	}
}

// Stats counts what has become of the events so far.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Waiting = len(q.events)
	return s
}

// Close takes no more events and waits until those in the queue are told. When
// ctx ends before that, the rest is dropped, the event under way is cancelled,
// and the error says how many were lost. Closing twice is closing once.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.events)
	}
	q.mu.Unlock()
	select {
	case <-q.done:
		q.cancel(ErrClosed)
		return nil
	default:
	}
	select {
	case <-q.done:
		q.cancel(ErrClosed)
		return nil
	case <-ctx.Done():
		q.cancel(ErrClosed)
		return fmt.Errorf("observe: queue closed with %d events untold: %w", q.drop(), context.Cause(ctx))
	}
}

// drop empties the closed queue and counts what it held.
func (q *Queue) drop() (n uint64) {
	for range q.events {
		n++
	}
	q.mu.Lock()
	q.stats.Dropped += n
	q.mu.Unlock()
	return n
}

func (q *Queue) work(ctx context.Context) {
	defer close(q.done)
	for e := range q.events {
		err := q.tell(ctx, e)
		q.mu.Lock()
		if err != nil {
			q.stats.Failed++
			q.stats.Last = err
		} else {
			q.stats.Told++
		}
		q.mu.Unlock()
	}
}

func (q *Queue) tell(ctx context.Context, e Event) error {
	ctx, cancel := context.WithTimeoutCause(ctx, queueTimeout, ErrStuck)
	defer cancel()
	return safely(ctx, q.next, e)
}
