// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"fmt"
)

// Source is where flags come from.
type Source interface {
	// Watch hands publish the whole document as soon as it has it, and each change after
	// that, until ctx ends, which it returns the cause of. Any other error says that the flags
	// cannot be had for now: the Client keeps what it has and calls Watch again, and the new
	// call begins with the whole document. Nothing that happens while Watch runs may be
	// missed, and a newer form of a flag is never followed by an older one. publish is
	// called by one goroutine at a time and does not keep it waiting; what it was given
	// must not be changed any more.
	Watch(ctx context.Context, publish func(Update)) error
}

// Update is what a source has learnt.
type Update struct {
	// Document holds the flags that are new or have changed. Segments, layers and holdouts are
	// given all at once; nil leaves those of before.
	Document
	// Full says that the document is all there is: whatever it lacks is gone. A flag
	// among its problems stays.
	Full bool
	// Removed are the keys of flags that are gone.
	Removed []string
}

// Store is a source that flags can be written to.
type Store interface {
	Source
	// Get is the flag as it stands, or ErrNotFound. The caller may change it.
	Get(ctx context.Context, key string) (*Flag, error)
	// Put writes a flag if its Version is the one that stands, 0 meaning that there
	// is none, and returns the new version. Otherwise it is ErrConflict, and
	// nothing is written. A flag that could not be evaluated is ErrInvalid. Put does not
	// change or keep f.
	Put(ctx context.Context, f *Flag) (version int64, err error)
	// Delete removes the flag if version is the one that stands, else ErrConflict; if there is
	// none, ErrNotFound.
	Delete(ctx context.Context, key string, version int64) error
}

// Check is what is wrong with a document, warnings included, and nil if it is
// sound. What a document refers to must be in it.
func (d *Document) Check() []Problem {
	_, problems := (&snapshot{}).with(Update{Document: *d, Full: true})
	return problems
}

// Check is what is wrong with the flag by itself, or nil. References to other flags,
// segments, layers and holdouts are taken on trust.
func (f *Flag) Check() error {
	if f == nil {
		return Problem{Err: errNull}
	}
	_, problems := compile(f, trusting(f))
	for _, p := range problems {
		if !p.Warning {
			return p
		}
	}
	for i, p := range f.Prerequisites {
		if p.Flag == f.Key {
			return Problem{Flag: f.Key, Path: fmt.Sprintf("prerequisites[%d].flag", i), Err: fmt.Errorf("the flag needs itself")}
		}
	}
	return nil
}
