// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
	"os"
)

// compactIfDue rewrites the log when most of it is outdated. What was saved is
// on disk either way, so a failure is only told to the logger, and tried again
// when the log has grown by as much as made it due.
func (f *FileStore) compactIfDue() {
	outdated := f.end - f.live
	if outdated < f.options.CompactAt || outdated < f.live || f.end < f.retry {
		return
	}
	if err := f.compact(); err != nil {
		f.retry = f.end + f.options.CompactAt
		f.options.Logger.Warn("could not rewrite the log", "file", f.disk.path(stateLog), "error", err)
		return
	}
	f.retry = 0
}

// compact writes the records that are up to date into a new log, moves the
// transitions of all records to the journal, and puts the new log in place of
// the old one. The transitions are on disk in the journal before they go from
// the log; whoever reads both leaves out those that it sees twice.
func (f *FileStore) compact() error {
	log, err := f.disk.open(stateLog+newSuffix, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	n := &rewrite{store: f, log: log, places: map[string]fileEntry{}}
	err = n.copy()
	if err == nil {
		err = f.journal.sync()
	}
	if err == nil {
		err = log.Sync()
	}
	if err == nil {
		err = f.replaceLog(n)
	}
	if err != nil {
		// The journal may hold what was not synced. Another file is begun, so
		// that nothing is ever appended to what nobody knows.
		err = errors.Join(err, f.closeJournal())
		if f.log != log {
			err = errors.Join(err, log.Close(), f.disk.remove(stateLog+newSuffix))
		}
	}
	return errors.Join(err, f.pruneJournal())
}

// replaceLog gives the new log its name. When nobody can know which log has the
// name on disk, the store takes no more saves: they might go to the other.
func (f *FileStore) replaceLog(n *rewrite) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.disk.rename(stateLog+newSuffix, stateLog); err != nil {
		if !f.disk.same(stateLog, f.log) {
			f.failed = fmt.Errorf("%w: %w; close it and open it again", ErrStoreFailed, err)
		}
		return err
	}
	if err := f.disk.sync(); err != nil {
		f.failed = fmt.Errorf("%w: %w; close it and open it again", ErrStoreFailed, err)
	}
	old := f.log
	f.log, f.end, f.live, f.sealed = n.log, n.end, n.live, true
	for service, place := range n.places {
		e := f.services[service]
		e.at, e.size = place.at, place.size
	}
	if err := old.Close(); err != nil {
		f.options.Logger.Warn("could not close the old log", "file", f.disk.path(stateLog), "error", err)
	}
	return f.failed
}

// rewrite is a new log on its way.
type rewrite struct {
	store  *FileStore
	log    file
	buf    []byte
	end    int64 // where buf goes
	live   int64
	places map[string]fileEntry
}

// copy goes through the old log once and ends the new one with a seal.
func (n *rewrite) copy() error {
	n.buf = append(n.buf, logHeader...)
	path := n.store.disk.path(stateLog)
	t, err := scanLog(n.store.log, path, n.store.end, n.record)
	if err != nil {
		return err
	}
	if t.torn > 0 || len(n.places) != len(n.store.services) {
		// All of it was on disk: there is no torn tail, whatever it looks like.
		return &CorruptError{path, t.end, "a record that was good is not any more"}
	}
	n.buf = appendFrame(n.buf, n.end+int64(len(n.buf)))
	return n.flush()
}

func (n *rewrite) record(r frame) error {
	head, _, log, err := splitRecord(r.payload)
	if err != nil {
		return &CorruptError{n.store.disk.path(stateLog), r.at, err.Error()}
	}
	state := r.payload
	if log != nil {
		state = r.payload[:len(r.payload)-len(log)-1]
		if err := n.store.archive(head, log); err != nil {
			return err
		}
	}
	if e := n.store.services[head.Service]; e.at != r.at {
		return nil
	}
	at := n.end + int64(len(n.buf))
	n.buf = appendFrame(n.buf, int64(len(logHeader)), state)
	size := frameHead + int64(len(state))
	n.places[head.Service] = fileEntry{at: at, size: size}
	n.live += size
	if len(n.buf) < maxBatch {
		return nil
	}
	return n.flush()
}

func (n *rewrite) flush() error {
	if _, err := n.log.WriteAt(n.buf, n.end); err != nil {
		return err
	}
	n.end += int64(len(n.buf))
	n.buf = n.buf[:0]
	return nil
}
