// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package proxy

// ownConns is false where a connection cannot be looked at without reading from
// it: http.Transport, which always reads, carries all requests there.
const ownConns = false

func (c *conn) quiet() bool { return false }

func (c *conn) peek(uintptr) {}
