// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package strategy

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

// lockDir refuses: two processes that write one log would destroy it.
func lockDir(string) (io.Closer, error) {
	return nil, fmt.Errorf("strategy: FileStore needs flock, which %s does not have; use another Store: %w", runtime.GOOS, errors.ErrUnsupported)
}
