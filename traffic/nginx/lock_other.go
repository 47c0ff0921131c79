// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package nginx

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func tryLock(*os.File, bool) (bool, error) {
	return false, fmt.Errorf("no file locks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func hangUp(int) error { return fmt.Errorf("no SIGHUP on %s: %w", runtime.GOOS, errors.ErrUnsupported) }
