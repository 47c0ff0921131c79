// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package proxy

import (
	"errors"
	"syscall"
)

// ownConns says whether connections can be looked at before they are used again.
const ownConns = true

// quiet reports whether an idle connection can carry a request: its backend has
// neither closed it nor sent what nobody asked for, which the next request would
// take for its answer. Control is used since Read would heed an old deadline.
func (c *conn) quiet() bool {
	c.still = false
	if err := c.raw.Control(c.look); err != nil {
		return false
	}
	return c.still
}

func (c *conn) peek(fd uintptr) {
	_, _, err := syscall.Recvfrom(int(fd), c.one[:], syscall.MSG_PEEK)
	c.still = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)
}
