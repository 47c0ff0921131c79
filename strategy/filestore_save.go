// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"fmt"
	"slices"
)

const (
	// maxBatch bounds what is written before a sync, unless a single record is longer.
	maxBatch = 1 << 20
	// maxSpare bounds the memory that is kept for the next batch.
	maxSpare = 4 << 20
)

// writer is what only the holder of the turn may touch.
type writer struct {
	// end is where the next frame goes: everything before it is on disk.
	end int64
	// live counts the bytes of records that are up to date.
	live   int64
	sealed bool
	// retry is the length of the log at which rewriting is tried again after it failed.
	retry   int64
	spare   []byte
	journal journalWriter
}

// pendingSave is one call of Save that waits for its batch.
type pendingSave struct {
	service   string
	prev, rev uint64
	state     *State
	record    []byte

	err  error
	done chan struct{}
}

func (s *pendingSave) finish(err error) {
	s.err = err
	close(s.done)
}

// submit queues a save and waits until it is on disk. One of those who wait
// takes the turn and writes for all.
func (f *FileStore) submit(ctx context.Context, s *pendingSave) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return fmt.Errorf("%w: %q was not saved", ErrStoreClosed, s.service)
	}
	f.queue = append(f.queue, s)
	f.mu.Unlock()
	for {
		select {
		case <-s.done:
			return s.err
		case f.turn <- struct{}{}:
			f.commit()
			<-f.turn
		case <-ctx.Done():
			if f.withdraw(s) {
				return fmt.Errorf("strategy: save %q: %w", s.service, context.Cause(ctx))
			}
			<-s.done
			return s.err
		}
	}
}

// withdraw takes a save out of the queue, unless it is being written already.
func (f *FileStore) withdraw(s *pendingSave) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.Index(f.queue, s)
	if at < 0 {
		return false
	}
	f.queue = slices.Delete(f.queue, at, at+1)
	return true
}

// take is the next batch, at least one save if any waits.
func (f *FileStore) take() (batch []*pendingSave, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := 0
	for _, s := range f.queue {
		if size += frameHead + len(s.record); size > maxBatch && len(batch) > 0 {
			break
		}
		batch = append(batch, s)
	}
	f.queue = slices.Delete(f.queue, 0, len(batch))
	return batch, f.failed
}

// commit writes one batch: compares, appends, syncs, and only then shows the new
// states and lets the callers go. The caller has the turn.
func (f *FileStore) commit() {
	batch, failed := f.take()
	if failed != nil {
		refuse(batch, failed)
		return
	}
	if len(batch) == 0 {
		return
	}
	frames, placed := f.place(batch)
	if len(frames) > 0 {
		if err := f.append(frames); err != nil {
			f.doubt(batch)
			refuse(batch, err)
			return
		}
	}
	f.publish(placed)
	for i, s := range batch {
		s.finish(placed[i].err)
	}
	f.compactIfDue()
}

// placement is where a save of a batch went, or why it was refused.
type placement struct {
	save *pendingSave
	at   int64
	err  error
}

// place compares every save with what it says it follows, the earlier ones of
// the batch included, and lays out the frames of those that may be stored.
func (f *FileStore) place(batch []*pendingSave) ([]byte, []placement) {
	frames, placed, revs := f.spare[:0], make([]placement, 0, len(batch)), map[string]uint64{}
	for _, s := range batch {
		stored, ok := revs[s.service]
		if e := f.services[s.service]; !ok && e != nil {
			stored = e.rev
		}
		if stored != s.prev {
			placed = append(placed, placement{err: conflict(s.service, s.prev, stored)})
			continue
		}
		revs[s.service] = s.rev
		placed = append(placed, placement{save: s, at: f.end + int64(len(frames))})
		frames = appendFrame(frames, f.end, s.record)
	}
	if f.spare = nil; cap(frames) <= maxSpare {
		f.spare = frames
	}
	return frames, placed
}

// append writes frames behind the log and syncs. After an error nothing of them
// is in the log, or nobody knows and f.failed is set.
func (f *FileStore) append(frames []byte) error {
	if _, err := f.log.WriteAt(frames, f.end); err != nil {
		undo := f.log.Truncate(f.end)
		if undo == nil {
			undo = f.log.Sync()
		}
		if undo != nil {
			err = fmt.Errorf("%w: %w, and it could not be taken back: %w; close it and open it again", ErrStoreFailed, err, undo)
			f.fail(err)
		}
		return err
	}
	if err := f.log.Sync(); err != nil {
		err = fmt.Errorf("%w: %w; close it and open it again", ErrStoreFailed, err)
		f.fail(err)
		return err
	}
	f.end += int64(len(frames))
	f.sealed = false
	return nil
}

// fail makes the store refuse every later save.
func (f *FileStore) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// doubt notes the services of a batch that may or may not be on disk.
func (f *FileStore) doubt(batch []*pendingSave) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		return
	}
	f.inDoubt = map[string]bool{}
	for _, s := range batch {
		f.inDoubt[s.service] = true
	}
}

// refuse tells a whole batch that it was not saved, or may not have been.
func refuse(batch []*pendingSave, err error) {
	for _, s := range batch {
		s.finish(fmt.Errorf("strategy: save %q: %w", s.service, err))
	}
}

// publish shows what is now on disk.
func (f *FileStore) publish(placed []placement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range placed {
		if p.save == nil {
			continue
		}
		size := frameHead + int64(len(p.save.record))
		e := f.services[p.save.service]
		if e == nil {
			e = &fileEntry{}
			f.services[p.save.service] = e
		}
		f.live += size - e.size
		*e = fileEntry{rev: p.save.rev, at: p.at, size: size, state: p.save.state}
	}
}

// seal proves for everything in the log that it was on disk, so that damage to
// the last batch cannot pass for a torn tail any more.
func (f *FileStore) seal() error {
	if err := f.append(appendFrame(nil, f.end)); err != nil {
		return err
	}
	f.sealed = true
	return nil
}
