// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// The files of a store's directory. newSuffix marks one that is being written
// and has not got its name yet.
const (
	lockFile      = "lock"
	stateLog      = "state.log"
	journalPrefix = "journal-"
	newSuffix     = ".new"
)

// OpenFileStore opens the store in dir and creates it, readable by its owner
// alone, if there is none. The error wraps ErrLocked if another FileStore has it
// open, ErrCorrupt if what is on disk is not what was saved, ErrVersion if a
// newer release wrote it, and errors.ErrUnsupported where there is no flock.
func OpenFileStore(dir string, o FileStoreOptions) (*FileStore, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := makeDisk(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	f, err := openFileStore(d, lock, o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// openFileStore is OpenFileStore on a disk that is locked.
func openFileStore(d disk, lock io.Closer, o FileStoreOptions) (*FileStore, error) {
	names, err := d.names()
	if err != nil {
		return nil, fmt.Errorf("strategy: store: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, newSuffix) {
			continue
		}
		if err := d.remove(name); err != nil {
			return nil, fmt.Errorf("strategy: store: remove what was left half written: %w", err)
		}
	}
	log, err := openStateLog(d, names)
	if err != nil {
		return nil, err
	}
	f := &FileStore{
		disk: d, lock: lock, options: o, turn: make(chan struct{}, 1),
		log: log, services: map[string]*fileEntry{},
	}
	if err := f.recover(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return f, nil
}

// openStateLog opens the log or makes an empty one.
func openStateLog(d disk, names []string) (file, error) {
	log, err := d.open(stateLog, 0)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, fmt.Errorf("strategy: store: %w", err)
		}
		return log, nil
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, journalPrefix) }) {
		return nil, &CorruptError{File: d.path(stateLog), Why: "it is missing although there are journals beside it"}
	}
	if log, err = createLog(d, stateLog); err != nil {
		return nil, fmt.Errorf("strategy: store: %w", err)
	}
	return log, nil
}

// createLog makes an empty log. It gets its name only when its header is on
// disk, so that a log without one is known to be damaged.
func createLog(d disk, name string) (file, error) {
	log, err := d.open(name+newSuffix, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	_, err = log.WriteAt([]byte(logHeader), 0)
	for _, step := range []func() error{
		log.Sync,
		func() error { return d.rename(name+newSuffix, name) },
		d.sync,
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// recover reads the log, drops a torn tail, and makes sure of the rest.
func (f *FileStore) recover() error {
	size, err := f.log.size()
	if err != nil {
		return fmt.Errorf("strategy: store: %w", err)
	}
	path := f.disk.path(stateLog)
	t, err := scanLog(f.log, path, size, f.index)
	if err != nil {
		return err
	}
	f.end, f.sealed = t.end, t.sealed
	if t.torn > 0 {
		f.options.Logger.Warn("dropping a save that was cut short", "file", path, "offset", t.end, "bytes", t.torn)
		if err := f.log.Truncate(t.end); err != nil {
			return fmt.Errorf("strategy: store: %w", err)
		}
	}
	// A log that gave us its name may not have it on disk yet, and neither may
	// the last batch be there: the process before this one may have ended, or its
	// sync may have failed, in which case the system may believe that pages are
	// on disk which are not. So they are written once more.
	if err := f.disk.sync(); err != nil {
		return fmt.Errorf("strategy: store: %w", err)
	}
	if t.sealed && t.torn == 0 {
		return nil
	}
	batch := make([]byte, t.end-t.synced)
	if _, err := f.log.ReadAt(batch, t.synced); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("strategy: store: %w", err)
	}
	if _, err := f.log.WriteAt(batch, t.synced); err != nil {
		return fmt.Errorf("strategy: store: %w", err)
	}
	if err := f.log.Sync(); err != nil {
		return fmt.Errorf("strategy: store: %w", err)
	}
	return f.seal()
}

// index notes where the record of a service stands.
func (f *FileStore) index(r frame) error {
	head, _, _, err := splitRecord(r.payload)
	if err != nil {
		return &CorruptError{f.disk.path(stateLog), r.at, err.Error()}
	}
	e := f.services[head.Service]
	switch {
	case e == nil:
		e = &fileEntry{}
		f.services[head.Service] = e
	case head.Prev != e.rev:
		why := fmt.Sprintf("rev %d of %q says that it follows %d and stands behind %d", head.Rev, head.Service, head.Prev, e.rev)
		return &CorruptError{f.disk.path(stateLog), r.at, why}
	}
	f.live += r.size() - e.size
	*e = fileEntry{rev: head.Rev, at: r.at, size: r.size()}
	return nil
}
