// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package bench

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// CPU is the time that this process has spent on processors so far, in user and
// in system code. On a machine that others use it says more than a clock does,
// and still counts what they cost: the caches that they empty.
func CPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(fmt.Sprintf("BUG: getrusage of this very process: %v", err))
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Heap is the bytes of the heap that are in use after a collection.
func Heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // a heap is smaller than that
}
