// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// Fake is a client whose flags a test sets. What is set is in force when the
// call returns, and lasts until the test that New or In was given ends. A flag that was
// not set is not there: handles give their fallbacks.
//
// Evaluation is the real one, of flags that are as simple as can be. A Fake does not
// emulate how flags arrive: it is ready at once, has no cache and no outage, and a change is
// never late. It does not draw percentages or know rules unless a whole flag is Put.
//
// A Fake is safe for many goroutines.
type Fake struct {
	tb   testing.TB
	core *core
}

// core is what a Fake shares with those made by In.
type core struct {
	client   *flags.Client
	exposed  Recorder
	mu       sync.Mutex
	publish  func(flags.Update)
	document map[string]*state
}

// state is a flag as it was set.
type state struct {
	whole *flags.Flag // by Put; the rest is empty then
	value any         // nil if only units have one
	units map[string]any
	// wrote counts the changes, so that each has a version of its own.
	wrote int64
}

// New makes a fake without flags, which runs until the test ends. In a bubble of
// testing/synctest it belongs to the bubble.
func New(tb testing.TB) *Fake {
	tb.Helper()
	f := &Fake{tb: tb, core: &core{document: make(map[string]*state)}}
	client, err := flags.New(f.core, flags.Options{Exposed: f.core.exposed.Expose})
	if err != nil {
		tb.Fatalf("flagstest: %v", err)
	}
	f.core.client = client
	ctx, cancel := context.WithCancel(context.Background()) //nolint:usetesting // the test's context ends before its cleanups
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = client.Run(ctx) // it ends with ctx
	}()
	tb.Cleanup(func() {
		cancel()
		<-ended
	})
	if err := client.Wait(ctx); err != nil {
		tb.Fatalf("flagstest: %v", err)
	}
	return f
}

// Watch implements flags.Source for the client.
func (c *core) Watch(ctx context.Context, publish func(flags.Update)) error {
	c.mu.Lock()
	publish(flags.Update{Document: flags.Document{Flags: map[string]*flags.Flag{}}, Full: true})
	c.publish = publish
	c.mu.Unlock()
	<-ctx.Done()
	return context.Cause(ctx)
}

// In is the same client for a part of the test, such as a subtest: what is set through it
// is undone when tb ends, flag by flag. Parts that set the same flags must not run in
// parallel.
func (f *Fake) In(tb testing.TB) *Fake {
	tb.Helper()
	c := f.core
	c.mu.Lock()
	before := make(map[string]state, len(c.document))
	for key, s := range c.document {
		before[key] = s.clone()
	}
	c.mu.Unlock()
	part := &Fake{tb: tb, core: c}
	tb.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for key, s := range c.document {
			old := before[key]
			if old.wrote == s.wrote {
				continue
			}
			old.wrote = s.wrote
			*s = old
			if err := c.tell(key); err != nil {
				tb.Errorf("flagstest: %q: %v", key, err)
			}
		}
	})
	return part
}

func (s *state) clone() state {
	c := *s
	c.units = maps.Clone(s.units)
	return c
}

// Client is the client to give to what is tested. It is always the same.
func (f *Fake) Client() *flags.Client { return f.core.client }

// Exposures has what was evaluated through the client.
func (f *Fake) Exposures() *Recorder { return &f.core.exposed }

// On has a boolean flag on for everybody but the units set by For.
func (f *Fake) On(key string) *Fake {
	f.tb.Helper()
	return f.Set(key, true)
}

// Off has a boolean flag off for everybody but the units set by For.
func (f *Fake) Off(key string) *Fake {
	f.tb.Helper()
	return f.Set(key, false)
}

// Set gives everybody a value, but the units set by For: a boolean, a string, a number, or
// what encoding/json makes an object or a list of. The variant is called as the value
// is written, booleans "on" and "off". A value of another type than the units' ends the test.
func (f *Fake) Set(key string, value any) *Fake {
	f.tb.Helper()
	return f.change(key, func(s *state) { s.whole, s.value = nil, value })
}

// For gives one unit a value, whatever the others get. It must be of the flag's type.
func (f *Fake) For(unit, key string, value any) *Fake {
	f.tb.Helper()
	return f.change(key, func(s *state) {
		s.whole = nil
		if s.units == nil {
			s.units = make(map[string]any)
		}
		s.units[unit] = value
	})
}

// Put has a whole flag as it is, rules, splits and all, in place of what was set. A flag
// that is not sound ends the test.
func (f *Fake) Put(flag *flags.Flag) *Fake {
	f.tb.Helper()
	flag = flag.Clone()
	return f.change(flag.Key, func(s *state) { *s = state{whole: flag, wrote: s.wrote} })
}

// Remove takes a flag away.
func (f *Fake) Remove(key string) *Fake {
	f.tb.Helper()
	return f.change(key, func(s *state) { *s = state{wrote: s.wrote} })
}

// change changes a flag and tells the client.
func (f *Fake) change(key string, change func(*state)) *Fake {
	f.tb.Helper()
	c := f.core
	c.mu.Lock()
	s := c.document[key]
	if s == nil {
		s = new(state)
		c.document[key] = s
	}
	change(s)
	s.wrote++
	err := c.tell(key)
	c.mu.Unlock()
	if err != nil {
		f.tb.Fatalf("flagstest: %q: %v", key, err)
	}
	return f
}

// tell gives the client the flag as it is now. c.mu is held.
func (c *core) tell(key string) error {
	flag, err := c.document[key].flag(key)
	switch {
	case err != nil:
		return err
	case flag == nil:
		c.publish(flags.Update{Removed: []string{key}})
		return nil
	}
	if err := flag.Check(); err != nil {
		return err
	}
	c.publish(flags.Update{Document: flags.Document{Flags: map[string]*flags.Flag{key: flag}}})
	return nil
}

// flag is the flag that does as was set, nil if nothing is.
func (s *state) flag(key string) (*flags.Flag, error) {
	if s.whole != nil {
		f := s.whole.Clone()
		f.Version = max(f.Version, s.wrote)
		return f, nil
	}
	if s.value == nil && s.units == nil {
		return nil, nil //nolint:nilnil // nothing is set
	}
	f := &flags.Flag{Key: key, Enabled: true, Variants: make(map[string]json.RawMessage), Version: s.wrote}
	if s.value != nil {
		name, err := variant(f, s.value)
		if err != nil {
			return nil, err
		}
		f.Default = &flags.Serve{Variant: name}
	}
	for unit, value := range s.units {
		name, err := variant(f, value)
		if err != nil {
			return nil, err
		}
		f.Targets = append(f.Targets, flags.Target{Variant: name, Keys: []string{unit}})
	}
	return f, nil
}

// variant adds a variant of that value to the flag.
func variant(f *flags.Flag, value any) (name string, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case bool:
		name = "off"
		if v {
			name = "on"
		}
	case string:
		name = v
	default:
		name = string(text)
	}
	if name == "" {
		name = fmt.Sprintf("%q", name)
	}
	f.Variants[name] = text
	return name, nil
}
