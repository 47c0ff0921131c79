// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// lock keeps one writer at a time at an include, while it reads, compares,
// writes, tests and reloads. Its file holds which generation nginx was last told
// to load, for an nginx that cannot be asked.
type lock struct {
	path string // of the include
	file *os.File
}

// lock waits for its turn to write.
func (r *Router) lock(ctx context.Context) (*lock, error) {
	path, err := r.resolve()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return (&lock{path, f}).wait(ctx, false)
}

// share waits until nobody writes. Where nobody has written yet there is no lock
// file, and reading makes none.
func (r *Router) share(ctx context.Context) (*lock, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	path, err := r.resolve()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path + ".lock")
	if errors.Is(err, fs.ErrNotExist) {
		return &lock{path: path}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	return (&lock{path, f}).wait(ctx, true)
}

// wait asks for the lock until it is given or ctx ends. Asking again, rather than
// a call that blocks, leaves nothing behind when ctx ends.
func (l *lock) wait(ctx context.Context, shared bool) (*lock, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		ok, err := tryLock(l.file, shared)
		if ok {
			return l, nil
		}
		if err == nil {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				err = fmt.Errorf("another writer is at work: %w", context.Cause(ctx))
			}
		}
		return nil, errors.Join(fmt.Errorf("lock: %w", err), l.file.Close())
	}
}

func (l *lock) release() {
	if l.file != nil {
		_ = l.file.Close() // which also gives up the lock
	}
}

// mark is the generation that nginx was last told to load.
func (l *lock) mark() (string, error) {
	text, err := io.ReadAll(io.NewSectionReader(l.file, 0, 64))
	if err != nil {
		return "", fmt.Errorf("lock: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// setMark notes it. What cannot be noted is asked for once more, no worse.
func (l *lock) setMark(generation string) error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(generation+"\n"), 0)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}
