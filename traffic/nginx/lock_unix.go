// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package nginx

import (
	"errors"
	"os"
	"syscall"
)

// tryLock reports whether the file could be locked: for one who writes, or for
// any number who read. The lock goes with the process, however it ends.
func tryLock(f *os.File, shared bool) (bool, error) {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) //nolint:gosec // a file descriptor is small
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}

// hangUp asks a master process to read its configuration again.
func hangUp(pid int) error { return syscall.Kill(pid, syscall.SIGHUP) }
