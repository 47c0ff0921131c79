// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

// BenchmarkLoad is a process that starts with 10,000 flags in Redis.
func BenchmarkLoad(b *testing.B) {
	r := startServer(b)
	rdb := connect(b, r.address)
	const n = 10_000
	fill(b, rdb, n)
	b.ReportAllocs()
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		s := newStore(b, rdb, redisflags.Options{})
		if err := s.Watch(ctx, func(u flags.Update) {
			if len(u.Flags) != n {
				b.Errorf("%d flags", len(u.Flags))
			}
			stop()
		}); ctx.Err() == nil {
			b.Fatal(err)
		}
		stop()
	}
}

// BenchmarkReload is the full reload of a watcher whose 10,000 flags have not changed.
func BenchmarkReload(b *testing.B) {
	r := startServer(b)
	rdb := connect(b, r.address)
	fill(b, rdb, 10_000)
	s := newStore(b, rdb, redisflags.Options{Reload: time.Nanosecond})
	b.ReportAllocs()
	for b.Loop() { // each Watch begins with one, over what the last one knew
		ctx, stop := context.WithCancel(b.Context())
		if err := s.Watch(ctx, func(flags.Update) { stop() }); ctx.Err() == nil {
			b.Fatal(err)
		}
		stop()
	}
}

// BenchmarkVisible is the time from before Put until a client in another process has the flag.
func BenchmarkVisible(b *testing.B) {
	r := startServer(b)
	writer := newStore(b, connect(b, r.address), redisflags.Options{})
	version := put(b, writer, percent("a", 0))
	client := run(b, newStore(b, connect(b, r.address), redisflags.Options{}))
	if err := client.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for n := 1; b.Loop(); n++ {
		f := percent("a", n%100_000)
		f.Version = version
		f.Why = fmt.Sprint(n)
		began := time.Now()
		version = put(b, writer, f)
		for seen := range client.Changes(b.Context(), "a") {
			if seen.Version == version {
				break
			}
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
