// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked means that another FileStore has the directory open. The error
	// that wraps it is a *LockedError.
	ErrLocked = errors.New("strategy: directory is in use by another store")
	// ErrCorrupt means that a store's file does not hold what was written to it.
	// The error that wraps it is a *CorruptError.
	ErrCorrupt = errors.New("strategy: file is corrupt")
	// ErrStoreFailed means that a FileStore can no longer tell what is on disk,
	// because the disk failed in the middle of a save. It takes no saves until it
	// is closed and opened again.
	ErrStoreFailed = errors.New("strategy: store no longer knows what is on disk")
	// ErrStoreClosed is returned by a FileStore that was closed.
	ErrStoreClosed = errors.New("strategy: store is closed")
)

// LockedError says who has a directory open.
type LockedError struct {
	Dir string
	// PID is the process, or 0 if it has not said.
	PID int
}

// Error names the directory and the process.
func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%v: %s has %s open; stop it, or use another directory", ErrLocked, who, e.Dir)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// CorruptError says where a file stops being what was written.
type CorruptError struct {
	File string
	// Offset is the byte at which the first bad record begins.
	Offset int64
	Why    string
}

// Error says where, why and what to do.
func (e *CorruptError) Error() string {
	if e.Offset == 0 {
		return fmt.Sprintf("%v: %s: %s; restore the directory from a copy, or, to begin without any rollout, move it away",
			ErrCorrupt, e.File, e.Why)
	}
	return fmt.Sprintf("%v: %s at byte %d: %s; restore the directory from a copy, or, to lose everything saved from there on, run: truncate -s %d %s",
		ErrCorrupt, e.File, e.Offset, e.Why, e.Offset, e.File)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
