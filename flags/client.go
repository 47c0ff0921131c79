// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Client. The zero value is useful.
type Options struct {
	// Cache is a file where the last good flags are kept, to start from while the source
	// cannot be had. "" is none. One process at a time may have it.
	Cache string
	// Restore, if given, is called for each flag of the cache before it is used, to give it
	// back what JSON does not hold: the Logic of a flag of another system. A flag that it
	// returns an error for is left out.
	Restore func(*Flag) error
	// Exposed is told of each evaluation, on the goroutine that evaluates: it must be
	// quick and safe for many goroutines. NewTally makes one that is.
	Exposed func(Exposure)
	// OnProblem is told of what is wrong with flags, and of errors of the source.
	// It is called by Run, and by New for what is in the cache, and keeps updates waiting
	// until it returns. What stays wrong is told once.
	OnProblem func(error)
}

// Exposure is one evaluation.
type Exposure struct {
	Flag    string
	Variant string // "" for the caller's default
	Unit    string // the context's key
	Reason  Reason
	Version int64
}

// Client evaluates flags. It never fails: what it does not have is the caller's
// default, and the reason says so. All methods are safe for many goroutines; a nil
// Client answers with defaults.
type Client struct {
	now    atomic.Pointer[snapshot]
	minute atomic.Uint32 // since 1970, as Run last saw it
	remote Evaluator

	source  Source
	options Options

	running atomic.Bool
	mu      sync.Mutex    // of publishing
	status  Status        // but for what the snapshot knows
	ready   chan struct{} // closed with the source's first flags
	dirty   chan struct{} // told when the cache is behind
}

// Status is how a client stands.
type Status struct {
	// Ready is true once the source has given flags.
	Ready bool
	// Cached is true while the flags are the cache's.
	Cached bool
	// Flags is how many there are.
	Flags int
	// Updated is when the flags last changed.
	Updated time.Time
	// Problems are what is wrong with the flags as they now stand in the source.
	Problems []Problem
	// Err is why the source cannot be had, nil while it can.
	Err error
}

// New makes a client of a source. It has the flags of Options.Cache, or none, until
// Run has fetched them.
func New(source Source, options Options) (*Client, error) {
	if source == nil {
		return nil, errors.New("flags: New: no source; use NewMemory for flags of your own")
	}
	c := &Client{
		source: source, options: options,
		ready: make(chan struct{}), dirty: make(chan struct{}, 1),
	}
	c.minute.Store(minuteOf(time.Now()))
	c.now.Store(&snapshot{id: snapshots.Add(1), replaced: make(chan struct{})})
	if options.Cache == "" {
		return c, nil
	}
	doc, err := readCache(options.Cache)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil: // a cache is no reason not to start
		c.report(err)
	default:
		c.publish(Update{Document: options.restored(doc), Full: true}, true)
	}
	return c, nil
}

// restored is a document of the cache with what Restore gives back.
func (o *Options) restored(doc Document) Document {
	if o.Restore == nil {
		return doc
	}
	for key, f := range doc.Flags {
		if err := o.Restore(f); err != nil {
			delete(doc.Flags, key)
			doc.Problems = append(doc.Problems, Problem{Flag: key, Err: err})
		}
	}
	return doc
}

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) } //nolint:gosec // until the year 10,000

// Run keeps the flags up to date until ctx ends, and returns its cause. A source that fails
// is asked again after a pause that grows from 0.1 to 30 s. A client runs once at a time:
// two runs would undo each other's updates.
func (c *Client) Run(ctx context.Context) error {
	if c.source == nil { // it has an Evaluator
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("flags: Run: the client is running already")
	}
	defer c.running.Store(false)
	var group sync.WaitGroup
	defer group.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() { c.keepTime(ctx) })
	if c.options.Cache != "" {
		group.Go(func() { c.keepCache(ctx) })
	}
	const first, last = 100 * time.Millisecond, 30 * time.Second
	pause := first
	for {
		published, err := c.watch(ctx)
		if published {
			pause = first
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			err = errors.New("the source has ended")
		}
		c.failed(err)
		// Half of it is chance, so that a fleet does not come back as one.
		if !sleep(ctx, pause/2+rand.N(pause/2+1)) { //nolint:gosec // no secret
			return context.Cause(ctx)
		}
		pause = min(2*pause, last)
	}
}

// watch is one call of Watch. What a source that has left a goroutine behind publishes
// later is not taken: the next call may have brought newer flags.
func (c *Client) watch(ctx context.Context) (published bool, err error) {
	var mu sync.Mutex
	over := false
	err = c.source.Watch(ctx, func(u Update) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			c.publish(u, false)
			published = true
		}
	})
	mu.Lock()
	defer mu.Unlock()
	over = true
	return published, err
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *Client) keepTime(ctx context.Context) {
	for sleep(ctx, time.Minute) {
		c.minute.Store(minuteOf(time.Now()))
	}
}

// publish makes an update the flags in force.
func (c *Client) publish(u Update, cached bool) {
	c.mu.Lock()
	before := c.now.Load()
	next, problems := before.with(u)
	c.now.Store(next)
	c.note(next, cached)
	c.mu.Unlock()
	close(before.replaced)
	for _, p := range problems {
		c.report(p)
	}
	if !cached {
		select {
		case c.dirty <- struct{}{}:
		default:
		}
	}
}

// note keeps the status. c.mu is held.
func (c *Client) note(next *snapshot, cached bool) {
	if next.fresh {
		c.status.Updated = time.Now()
	}
	c.status.Cached = cached
	c.status.Err = nil
	if !cached && !c.status.Ready {
		c.status.Ready = true
		close(c.ready)
	}
}

func (c *Client) failed(err error) {
	c.mu.Lock()
	c.status.Err = err
	c.mu.Unlock()
	c.report(fmt.Errorf("flags: source: %w", err))
}

func (c *Client) report(err error) {
	if c.options.OnProblem != nil {
		c.options.OnProblem(err)
	}
}

// Wait returns once the source has given its flags, or with ctx's cause. A program
// may go on without: the cache's flags or its defaults are in force.
func (c *Client) Wait(ctx context.Context) error {
	if c == nil {
		return errors.New("flags: a nil client has no source")
	}
	select {
	case <-c.ready:
		return nil
	default:
	}
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flags: waiting for the source: %w", context.Cause(ctx))
	}
}

// Status is how the client stands now.
func (c *Client) Status() Status {
	if c == nil {
		return Status{}
	}
	c.mu.Lock()
	status, s := c.status, c.now.Load()
	c.mu.Unlock()
	status.Flags, status.Problems = s.live, s.problems()
	return status
}

// Flag is the flag in force under that key. It must not be changed.
func (c *Client) Flag(key string) (*Flag, bool) {
	if s := c.snapshot(); s != nil {
		if f := s.find(key); f != nil {
			return f.source, true
		}
	}
	return nil, false
}

// Document is all that is in force. It must not be changed.
func (c *Client) Document() Document {
	if s := c.snapshot(); s != nil {
		return s.document()
	}
	return Document{}
}

func (c *Client) snapshot() *snapshot {
	if c == nil {
		return nil
	}
	return c.now.Load()
}

// Changes yields the flag that stands, and then each form it takes, until ctx
// ends or the loop is left. It is nil while there is none. Changes that come faster than the
// loop goes round are seen as one.
func (c *Client) Changes(ctx context.Context, key string) iter.Seq[*Flag] {
	return func(yield func(*Flag) bool) {
		var last *Flag
		for first := true; ; first = false {
			s := c.snapshot()
			if s == nil {
				return
			}
			var f *Flag
			if found := s.find(key); found != nil {
				f = found.source
			}
			if (first || f != last) && !yield(f) {
				return
			}
			last = f
			select {
			case <-ctx.Done():
				return
			case <-s.replaced:
			}
		}
	}
}

// All evaluates every flag for who, in no order. It is no exposure. The flags must
// not be changed.
func (c *Client) All(who *Context) iter.Seq2[*Flag, Detail[json.RawMessage]] {
	return func(yield func(*Flag, Detail[json.RawMessage]) bool) {
		s := c.snapshot()
		if s == nil {
			return
		}
		if who == nil {
			who = &nobody
		}
		for _, f := range s.flags {
			if f == nil {
				continue
			}
			o := f.decide(s, who)
			d := f.detail(o)
			if o.variant >= 0 {
				d.Value = f.variants[o.variant].raw
			}
			if !yield(f.source, d) {
				return
			}
		}
	}
}
