// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import "sync"

// bufferSize is enough for most heads, and for copying at full speed.
const bufferSize = 32 << 10

// buffers are shared by all that copies.
var buffers bufferPool

// bufferPool saves a request the allocation of its buffers. The zero bufferPool
// works.
type bufferPool struct{ pool sync.Pool }

// Get is a buffer of bufferSize bytes, in which anything may be.
func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

// Put gives back what Get gave, whole. Nobody may use it any more.
func (b *bufferPool) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
