// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

func TestMemoryKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Subject { return Subject{Source: flags.NewMemory()} })
}

func TestASharedStoreKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Subject { return newBackend(twist{}).subject(10 * time.Second) })
}

func TestASourceThatIsNoStoreKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Subject {
		s := newBackend(twist{}).subject(10 * time.Second)
		store, ok := s.Source.(*client)
		if !ok {
			t.Fatal("no client")
		}
		s.Write = func(ctx context.Context, f *flags.Flag) error {
			text, err := json.Marshal(f)
			if err != nil {
				return err
			}
			return s.Raw(ctx, f.Key, string(text))
		}
		s.Remove = func(_ context.Context, key string) error {
			store.backend.change(key, nil)
			return nil
		}
		s.Source = struct{ flags.Source }{store}
		return s
	})
}

// backend is what a real store keeps its flags in: texts by key, which several
// clients share, and which can be gone.
type backend struct {
	twist

	mu      sync.Mutex
	texts   map[string]string
	gone    map[string]string // what was deleted, for twists
	down    bool
	changed chan struct{} // closed and replaced with each change
}

// twist is what is wrong with a mutant; the zero twist is none.
type twist struct {
	watch  func(ctx context.Context, c *client, publish func(flags.Update)) error
	get    func(ctx context.Context, c *client, key string) (*flags.Flag, error)
	put    func(ctx context.Context, c *client, f *flags.Flag) (int64, error)
	delete func(ctx context.Context, c *client, key string, version int64) error
	// news is what becomes of an update.
	news func(c *client, u flags.Update) flags.Update
	// stored is what becomes of a flag that is written, before its text is.
	stored func(f, before *flags.Flag)
	// keyed is what becomes of a key.
	keyed func(key string) string
	// untold makes an instance miss the changes of another.
	untold bool
	// apart gives each instance flags of its own.
	apart bool
	// deaf does not come back after an outage.
	deaf bool
	// empty has an outage look like no flags at all.
	empty bool
	// stays has an outage outlast the context.
	stays bool
	// races says that the mistake is a data race, too.
	races bool
	// loose compares versions and writes in two steps.
	loose bool
	// private compares versions of what the instance has written itself.
	private bool
}

func newBackend(w twist) *backend {
	return &backend{twist: w, texts: map[string]string{}, gone: map[string]string{}, changed: make(chan struct{})}
}

func (b *backend) subject(settle time.Duration) Subject {
	first := &client{backend: b}
	return Subject{
		Source: first,
		Settle: settle,
		Raw: func(_ context.Context, key, text string) error {
			b.change(key, &text)
			return nil
		},
		Another: func(context.Context) (flags.Source, error) {
			if b.apart {
				return &client{backend: newBackend(b.twist)}, nil
			}
			return &client{backend: b, second: true}, nil
		},
		Break: func(context.Context) (func(), error) {
			b.set(true)
			return sync.OnceFunc(func() { b.set(false) }), nil
		},
		Restart: func(ctx context.Context) error {
			b.set(true)
			pause(ctx, time.Millisecond)
			b.set(false)
			return nil
		},
	}
}

var errDown = errors.New("the backend is down")

func (b *backend) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
	b.tell()
}

// tell wakes who watches. b.mu is held.
func (b *backend) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backend) change(key string, text *string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write(key, text)
}

func (b *backend) write(key string, text *string) {
	if text == nil {
		b.gone[key] = b.texts[key]
		delete(b.texts, key)
	} else {
		b.texts[key] = *text
	}
	b.tell()
}

// look is all there is, and a channel that is closed when that is not so any more.
func (b *backend) look() (map[string]string, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, b.changed, errDown
	}
	return maps.Clone(b.texts), b.changed, nil
}

// client is an instance of the store.
type client struct {
	*backend
	second bool

	mine  sync.Mutex
	wrote map[string]*flags.Flag // flags that it should not have, for twists
	told  map[string]*flags.Flag
	last  int
	one   sync.Mutex
}

var _ flags.Store = (*client)(nil)

func (c *client) Watch(ctx context.Context, publish func(flags.Update)) error {
	tell := publish
	if c.news != nil {
		tell = func(u flags.Update) { publish(c.news(c, u)) }
	}
	if c.watch != nil {
		return c.watch(ctx, c, tell)
	}
	return c.follow(ctx, tell)
}

// follow is a Watch as it should be.
func (c *client) follow(ctx context.Context, publish func(flags.Update)) error {
	told, changed, err := c.look()
	if err != nil && c.empty {
		told, err = nil, nil
	}
	if err != nil {
		return err
	}
	publish(all(told))
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
		var now map[string]string
		now, changed, err = c.look()
		switch {
		case err != nil && c.empty:
			publish(all(nil))
			told = nil
		case err != nil && c.stays:
			select {}
		case err != nil && c.deaf:
			<-ctx.Done()
			return context.Cause(ctx)
		case err != nil:
			return err
		case c.untold && c.second:
		default:
			publish(difference(told, now))
			told = now
		}
	}
}

func all(texts map[string]string) flags.Update {
	u := difference(nil, texts)
	u.Full = true
	return u
}

// difference is what has come to pass between two looks.
func difference(before, now map[string]string) flags.Update {
	u := flags.Update{Document: flags.Document{Flags: map[string]*flags.Flag{}}}
	for key, text := range now {
		if old, ok := before[key]; ok && old == text {
			continue
		}
		f, err := flags.ParseFlag(key, []byte(text))
		if err != nil {
			u.Problems = append(u.Problems, flags.Problem{Flag: key, Err: err})
			continue
		}
		u.Flags[key] = f
	}
	for key := range before {
		if _, ok := now[key]; !ok {
			u.Removed = append(u.Removed, key)
		}
	}
	return u
}

// stands is the flag as it stands, nil if there is none. c.mu is held.
func (c *client) stands(key string) (*flags.Flag, error) {
	if c.down {
		return nil, errDown
	}
	text, ok := c.texts[c.name(key)]
	if !ok {
		return nil, nil //nolint:nilnil // there is none
	}
	f, err := flags.ParseFlag(key, []byte(text))
	if err != nil { // what is no flag may be written over
		return new(flags.Flag), nil //nolint:nilerr // see above
	}
	return f, nil
}

func (c *client) name(key string) string {
	if c.keyed != nil {
		return c.keyed(key)
	}
	return key
}

func (c *client) Get(ctx context.Context, key string) (*flags.Flag, error) {
	if c.get != nil {
		return c.get(ctx, c, key)
	}
	return c.read(key)
}

func (c *client) read(key string) (*flags.Flag, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.stands(key)
	if err == nil && f == nil {
		err = fmt.Errorf("%q: %w", key, flags.ErrNotFound)
	}
	return f, err
}

func (c *client) Put(ctx context.Context, f *flags.Flag) (int64, error) {
	if c.put != nil {
		return c.put(ctx, c, f)
	}
	return c.save(ctx, f)
}

// save is a Put as it should be.
func (c *client) save(ctx context.Context, f *flags.Flag) (int64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err := f.Check(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before, err := c.stands(f.Key)
	if err != nil {
		return 0, err
	}
	if f.Version != version(before) {
		return 0, fmt.Errorf("%q: %w", f.Key, flags.ErrConflict)
	}
	if c.loose || c.private && c.second {
		c.mu.Unlock()
		pause(ctx, time.Millisecond)
		c.mu.Lock()
	}
	return c.store(f, before)
}

// store writes. c.mu is held.
func (c *client) store(f, before *flags.Flag) (int64, error) {
	next := f.Clone()
	next.Version = version(before) + 1
	next.Touch(before, time.Now())
	if c.stored != nil {
		c.stored(next, before)
	}
	text, err := json.Marshal(next)
	if err != nil {
		return 0, err
	}
	written := string(text)
	c.write(c.name(f.Key), &written)
	return version(before) + 1, nil
}

func version(f *flags.Flag) int64 {
	if f == nil {
		return 0
	}
	return f.Version
}

func (c *client) Delete(ctx context.Context, key string, version int64) error {
	if c.delete != nil {
		return c.delete(ctx, c, key, version)
	}
	return c.drop(ctx, key, version)
}

// drop is a Delete as it should be.
func (c *client) drop(ctx context.Context, key string, wanted int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before, err := c.stands(key)
	switch {
	case err != nil:
		return err
	case before == nil:
		return fmt.Errorf("%q: %w", key, flags.ErrNotFound)
	case before.Version != wanted:
		return fmt.Errorf("%q: %w", key, flags.ErrConflict)
	}
	c.write(c.name(key), nil)
	return nil
}
