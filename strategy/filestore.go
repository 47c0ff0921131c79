// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"
)

// FileStore is the Store of a program that runs on one machine: a directory of
// its own, with one process at a time.
//
// A save is one record, appended to a log and synced to the disk before Save
// returns; saves that arrive at the same time share one sync. When the outdated
// records outweigh the others, the log is rewritten and put in place of the old
// one in one step, and the transitions of outdated records move to the journal
// files. States of services that nobody asked about stay on disk.
//
// A power cut, or the end of the process at any moment, loses no save that
// returned nil; the one under way is there wholly or not at all. What a cut left
// at the end of the log is dropped when it is opened. Damage to a record that
// was on disk is refused with a *CorruptError instead, unless it is in the very
// last batch of a log that was not closed: there the two look the same, and the
// states before that batch are what remains.
//
// A write that fails, such as on a full disk, is taken back and the next one may
// succeed. A sync that fails leaves unknown what is on disk: the store then
// refuses all saves, and the loading of services whose save failed, with
// ErrStoreFailed until it is closed and opened again.
//
// It is safe for concurrent use and starts no goroutine.
type FileStore struct {
	disk    disk
	lock    io.Closer
	options FileStoreOptions

	// turn is held by whoever writes to the disk. It guards the fields of writer.
	turn chan struct{}
	writer

	// mu guards what follows. log and services are changed only by the holder of
	// turn, who therefore may read them without mu.
	mu       sync.RWMutex
	queue    []*pendingSave
	log      file
	services map[string]*fileEntry
	inDoubt  map[string]bool
	failed   error
	closed   bool
}

// FileStoreOptions are what may be set. The zero value is a good one.
type FileStoreOptions struct {
	// CompactAt is how many bytes of outdated records the log may hold before it
	// is rewritten, and it is never rewritten while more than half of it is up to
	// date. 0 is 4 MiB.
	CompactAt int64
	// JournalBytes bounds the journal files together; the oldest go first. The
	// latest transitions are in the log itself and come on top. 0 is 64 MiB.
	JournalBytes int64
	// Logger hears of torn tails that were dropped and of rewriting that failed.
	// nil discards.
	Logger *slog.Logger
}

const (
	defaultCompactAt    = 4 << 20
	defaultJournalBytes = 64 << 20
)

func (o FileStoreOptions) withDefaults() (FileStoreOptions, error) {
	switch {
	case o.CompactAt < 0:
		return o, fmt.Errorf("strategy: FileStoreOptions.CompactAt: %d is negative; use 0 for the default", o.CompactAt)
	case o.JournalBytes < 0:
		return o, fmt.Errorf("strategy: FileStoreOptions.JournalBytes: %d is negative; use 0 for the default", o.JournalBytes)
	case o.CompactAt == 0:
		o.CompactAt = defaultCompactAt
	}
	if o.JournalBytes == 0 {
		o.JournalBytes = defaultJournalBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// fileEntry is one service.
type fileEntry struct {
	rev uint64
	// The last record stands at this place in the log and takes so many bytes.
	at, size int64
	// state is nil until somebody loads or saves it. Nobody outside the store has it.
	state *State
}

// Load returns a copy of the state saved last. It is an error that wraps
// ErrCorrupt if the record was damaged since, ErrVersion if a newer release
// wrote it, and ErrStoreFailed if its last save failed with the disk.
func (f *FileStore) Load(ctx context.Context, service string) (State, error) {
	if ctx.Err() != nil {
		return State{}, fmt.Errorf("strategy: load %q: %w", service, context.Cause(ctx))
	}
	f.mu.RLock()
	cached, err := f.cached(service)
	if err != nil || cached == nil || cached.state != nil {
		defer f.mu.RUnlock()
		if err != nil || cached == nil {
			return State{}, err
		}
		return cached.state.Clone(), nil
	}
	rev, at := cached.rev, cached.at
	record, err := frameAt(f.log, f.disk.path(stateLog), at, cached.size)
	f.mu.RUnlock()
	if err != nil {
		return State{}, fmt.Errorf("strategy: load %q: %w", service, err)
	}
	_, text, _, err := splitRecord(record.payload)
	if err != nil {
		return State{}, &CorruptError{f.disk.path(stateLog), at, err.Error()}
	}
	s, err := DecodeState(text)
	if err != nil {
		return State{}, fmt.Errorf("strategy: load %q: %s at byte %d: %w", service, f.disk.path(stateLog), at, err)
	}
	if s.Rev != rev {
		return State{}, &CorruptError{f.disk.path(stateLog), at, fmt.Sprintf("the state is at rev %d, its record at %d", s.Rev, rev)}
	}
	kept := s.Clone()
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.services[service]; now.rev == rev && now.state == nil {
		now.state = &kept
	}
	return s, nil
}

// cached is the service's entry, nil if it has none. f.mu is held.
func (f *FileStore) cached(service string) (*fileEntry, error) {
	switch {
	case f.closed:
		return nil, fmt.Errorf("%w: cannot load %q", ErrStoreClosed, service)
	case f.inDoubt[service]:
		return nil, fmt.Errorf("strategy: load %q: %w", service, f.failed)
	}
	return f.services[service], nil
}

// Save stores next and returns when it is on disk. If the context ends before
// the save's turn has come, nothing is stored; afterwards it is not looked at.
// A state that could not be loaded again is refused.
func (f *FileStore) Save(ctx context.Context, service string, prev uint64, next State, log ...Transition) error {
	if ctx.Err() != nil {
		return fmt.Errorf("strategy: save %q: %w", service, context.Cause(ctx))
	}
	if err := rises(service, prev, next); err != nil {
		return err
	}
	if !utf8.ValidString(service) {
		return fmt.Errorf("strategy: save: the service's name %q is not UTF-8", service)
	}
	if next.Version < 1 || next.Version > StateVersion {
		return fmt.Errorf("strategy: save %q: %w: %d", service, ErrVersion, next.Version)
	}
	if err := next.check(); err != nil {
		return fmt.Errorf("strategy: save %q: %w", service, err)
	}
	record, err := encodeRecord(recordHead{service, prev, next.Rev}, next, log)
	if err != nil {
		return fmt.Errorf("strategy: save %q: %w", service, err)
	}
	next = next.Clone()
	return f.submit(ctx, &pendingSave{
		service: service, prev: prev, rev: next.Rev, state: &next, record: record, done: make(chan struct{}),
	})
}

// List yields the services' names in alphabetical order, as they were when the
// iteration began.
func (f *FileStore) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f.mu.RLock()
		names, closed := slices.Sorted(maps.Keys(f.services)), f.closed
		f.mu.RUnlock()
		if closed {
			yield("", fmt.Errorf("%w: cannot list", ErrStoreClosed))
			return
		}
		yieldNames(ctx, names, yield)
	}
}

// Close waits for the save under way, refuses those that wait, and lets go of
// the directory. Closing twice is no error.
func (f *FileStore) Close() error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	f.mu.Lock()
	closed, waiting, failed := f.closed, f.queue, f.failed
	f.closed, f.queue = true, nil
	f.mu.Unlock()
	if closed {
		return nil
	}
	for _, s := range waiting {
		s.finish(fmt.Errorf("%w: %q was not saved", ErrStoreClosed, s.service))
	}
	var err error
	if failed == nil && !f.sealed {
		err = f.seal()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(err, f.closeJournal(), f.log.Close(), f.lock.Close())
}
