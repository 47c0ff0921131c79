// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

func TestTheFlagsOutliveRedis(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	s := newStore(t, connect(t, r.address), redisflags.Options{})
	version := put(t, s, percent("a", 1))
	put(t, s, percent("b", 1))
	client := run(t, s)
	until(t, "the flags", func() bool { return shown(client, "a") == 1 && shown(client, "b") == 1 })
	r.kill()
	until(t, "the outage to be reported", func() bool { return client.Status().Err != nil })
	if shown(client, "a") != 1 || shown(client, "b") != 1 {
		t.Error("the outage has taken flags away")
	}
	r.start()
	until(t, "the source to be back", func() bool { return client.Status().Err == nil })
	f := percent("a", 2)
	f.Version = version
	put(t, s, f)
	until(t, "the change", func() bool { return shown(client, "a") == 2 })
}

func TestARedisThatComesBackEmptyTakesNoFlagAway(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	rdb := connect(t, r.address)
	s := newStore(t, rdb, redisflags.Options{Check: 100 * time.Millisecond})
	put(t, s, percent("a", 1))
	put(t, s, percent("b", 1))
	if err := s.Define(t.Context(), flags.Document{Layers: map[string]*flags.Layer{"l": {}}}); err != nil {
		t.Fatal(err)
	}
	client := run(t, s)
	until(t, "the flags", func() bool { return client.Status().Flags == 2 })
	lost := func(keys string) func() bool {
		return func() bool {
			var have strings.Builder
			for _, p := range client.Status().Problems {
				have.WriteString(p.Flag + p.Path + " ")
			}
			return have.String() == keys && client.Status().Flags >= 2
		}
	}
	r.kill()
	r.forget()
	r.start()
	until(t, "the empty Redis to be refused", func() bool { return errors.Is(client.Status().Err, redisflags.ErrEmpty) })
	if client.Status().Flags != 2 {
		t.Errorf("%d flags are left of 2", client.Status().Flags)
	}
	// Somebody writes one, so that it is not empty any more.
	put(t, s, percent("a", 2))
	until(t, "the flag that is there again", func() bool { return shown(client, "a") == 2 })
	until(t, "the other one to be a problem", lost("layers b "))
	if len(client.Document().Layers) != 1 {
		t.Error("the layer is gone")
	}
	// It stays so, until somebody says what is to become of it.
	put(t, s, percent("c", 2))
	until(t, "another flag", func() bool { return shown(client, "c") == 2 })
	until(t, "nothing else", lost("layers b "))
	rdb.Publish(t.Context(), "features:changes", "feature:b")
	rdb.Publish(t.Context(), "features:changes", "features:layers")
	until(t, "the lost flag to be let go", func() bool { return client.Status().Flags == 2 && shown(client, "b") == -1 })
}

func TestAnEmptyRedisIsBelievedOnlyIfTheOptionsSaySo(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	if err := newStore(t, c, redisflags.Options{}).Watch(t.Context(), func(flags.Update) { t.Error("something was published") }); !errors.Is(err, redisflags.ErrEmpty) {
		t.Errorf("Watch: %v, want ErrEmpty", err)
	}
	client := run(t, newStore(t, c, redisflags.Options{AllowEmpty: true}))
	until(t, "no flags", func() bool { return client.Status().Ready })
	// Flags that somebody has deleted are gone, the last one, too.
	s := newStore(t, c, redisflags.Options{})
	version := put(t, s, percent("a", 1))
	client = run(t, s)
	until(t, "the flag", func() bool { return shown(client, "a") == 1 })
	if err := s.Delete(t.Context(), "a", version); err != nil {
		t.Fatal(err)
	}
	until(t, "the flag to be gone", func() bool { return client.Status().Flags == 0 && client.Status().Err == nil })
}

func TestARestoredRedisThatHasCountedAsFarAgainIsNoticed(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{Check: 50 * time.Millisecond})
	put(t, s, percent("a", 1))
	client := run(t, s)
	until(t, "the flag", func() bool { return shown(client, "a") == 1 })
	// Another history, with as many writes.
	set(t, c, "feature:a", theirs)
	c.Del(t.Context(), "features:log")
	c.XAdd(t.Context(), &redis.XAddArgs{Stream: "features:log", Values: []string{"version", "1", "key", "feature:a"}})
	until(t, "the flag of the other history", func() bool { return shown(client, "a") == 10_000 })
}

// blind has a scan find nothing, as one does on a node that a slot moves away from.
type blind struct{ between }

func (*blind) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		err := next(ctx, c)
		if scan, ok := c.(*redis.ScanCmd); ok {
			scan.SetVal(nil, 0)
		}
		return err
	}
}

func TestAFlagThatAScanDoesNotFindIsNotGone(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	s := newStore(t, c, redisflags.Options{Reload: 20 * time.Millisecond})
	put(t, s, percent("a", 1))
	client := run(t, s)
	until(t, "the flag", func() bool { return shown(client, "a") == 1 })
	c.AddHook(&blind{})
	set(t, c, "feature:a", theirs)
	until(t, "a reload", func() bool { return shown(client, "a") == 10_000 })
	c.Del(t.Context(), "feature:a")
	until(t, "the flag to be gone when it is", func() bool { return client.Status().Flags == 0 })
}

func TestForeignWritesAreToldByTheReloadAtTheLatest(t *testing.T) {
	t.Parallel()
	_, c := mini(t)
	set(t, c, "feature:a", theirs)
	set(t, c, "feature:b", theirs)
	client := run(t, newStore(t, c, redisflags.Options{Reload: 50 * time.Millisecond}))
	until(t, "the flags", func() bool { return client.Status().Flags == 2 })
	set(t, c, "feature:a", `{"enabled":true,"rollout":{"type":"percentage","percentage":11}}`)
	c.Del(t.Context(), "feature:b")
	until(t, "the write and the deletion", func() bool { return shown(client, "a") == 11_000 && client.Status().Flags == 1 })
	before, _ := client.Flag("a")
	updated := client.Status().Updated
	until(t, "a few reloads", func() bool { return time.Since(updated) > 300*time.Millisecond })
	if after, _ := client.Flag("a"); after != before || client.Status().Updated != updated {
		t.Error("a reload that found nothing has published something")
	}
	// And at once where they say so.
	quiet := run(t, newStore(t, c, redisflags.Options{}))
	until(t, "the flag", func() bool { return shown(quiet, "a") == 11_000 })
	set(t, c, "feature:a", theirs)
	c.Publish(t.Context(), "features:changes", "feature:a")
	until(t, "the write that was named", func() bool { return shown(quiet, "a") == 10_000 })
}

func TestNoWriteIsMissedWhileTheSubscriberIsKilled(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	rdb := connect(t, r.address)
	// With a log that does not reach back, and with one that does.
	for _, log := range []int{1, 10_000} {
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, rdb, redisflags.Options{Check: time.Hour, Reload: time.Hour, Log: log})
		put(t, s, percent("a", 0))
		client := run(t, s)
		until(t, "the flag", func() bool { return shown(client, "a") == 0 })
		const rounds = 30
		for n := 1; n <= rounds; n++ {
			if err := rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"a", "b", "c"} {
				if _, err := flags.Edit(t.Context(), s, key, flags.Note{}, func(f *flags.Flag) error {
					f.Rollout.Percentage = flags.Percent(n)
					return nil
				}); errors.Is(err, flags.ErrNotFound) {
					put(t, s, percent(key, n))
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if n%3 == 0 || n == rounds { // at times before it has come back
				until(t, fmt.Sprint("write ", n), func() bool { return shown(client, "a") == n && shown(client, "b") == n && shown(client, "c") == n })
			}
		}
		if err := client.Status().Err; err != nil {
			t.Errorf("the client says %v", err)
		}
	}
}

func TestAPartitionIsNoticedAndHealed(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	p := startProxy(t, r.address)
	direct := newStore(t, connect(t, r.address), redisflags.Options{})
	version := put(t, direct, percent("a", 1))
	client := run(t, newStore(t, connect(t, p.Addr().String()), redisflags.Options{Check: 200 * time.Millisecond}))
	until(t, "the flag", func() bool { return shown(client, "a") == 1 })
	for n := 2; n <= 3; n++ {
		p.hang(true)
		f := percent("a", n)
		f.Version = version
		version = put(t, direct, f)
		until(t, "the partition to be noticed", func() bool { return client.Status().Err != nil })
		if shown(client, "a") != n-1 {
			t.Error("the flag has changed")
		}
		p.hang(false)
		until(t, "the write behind it", func() bool { return shown(client, "a") == n })
	}
	p.drop() // which is noticed at once, and healed without a word
	f := percent("a", 9)
	f.Version = version
	put(t, direct, f)
	until(t, "the write after a cut", func() bool { return shown(client, "a") == 9 })
}

// counting counts what is sent.
type counting struct {
	between
	mu    sync.Mutex
	calls map[string]int
}

func (h *counting) count(cmds ...redis.Cmder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range cmds {
		h.calls[c.Name()]++
	}
}

func (h *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		h.count(c)
		return next(ctx, c)
	}
}

func (h *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.count(cmds...)
		return next(ctx, cmds)
	}
}

func (h *counting) of(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[name]
}

func TestAFloodOfGarbageAndWritesStaysBounded(t *testing.T) { // alone, for its figures
	r := startServer(t)
	direct := connect(t, r.address)
	const flagsN = 1000
	p := direct.Pipeline()
	for i := range flagsN {
		p.Set(t.Context(), fmt.Sprint("feature:f", i), theirs, 0)
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	rdb := connect(t, r.address)
	counts := &counting{calls: map[string]int{}}
	rdb.AddHook(counts)
	s := newStore(t, rdb, redisflags.Options{Reload: time.Hour})
	client := run(t, s)
	until(t, "the flags", func() bool { return client.Status().Flags == flagsN })
	loaded := counts.of("getrange")
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	huge := `{"enabled":true,"description":"` + strings.Repeat("x", 10<<20) + `"}`
	const messages = 30_000
	began := time.Now()
	for i := range messages / 100 {
		p := direct.Pipeline()
		for range 100 {
			p.Publish(t.Context(), "features:changes", fmt.Sprint("feature:f", rand.N(10)))
		}
		switch {
		case i%100 == 0:
			p.Set(t.Context(), "feature:f0", huge, 0)
		case i%10 == 0:
			p.Set(t.Context(), "feature:f1", `{"enabled":`, 0)
			p.Publish(t.Context(), "features:changes", "no name")
			p.Publish(t.Context(), "features:changes", "12 x")
		}
		if _, err := p.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	until(t, "the garbage to be reported", func() bool { return len(client.Status().Problems) == 2 })
	if client.Status().Flags != flagsN || shown(client, "f0") != 10_000 || shown(client, "f1") != 10_000 {
		t.Error("garbage has taken a flag away")
	}
	// A fetch each 10 ms of up to ten flags, and a load each time something was not understood.
	if asked, bound := counts.of("getrange")-loaded, int(took/(10*time.Millisecond)+10)*12; asked > bound {
		t.Errorf("%d messages in %v made it read %d values, want up to %d", messages, took, asked, bound)
	}
	if scans := counts.of("scan"); scans > 10 {
		t.Errorf("it scanned %d times", scans)
	}
	set(t, direct, "feature:f0", theirs)
	set(t, direct, "feature:f1", theirs)
	direct.Publish(t.Context(), "features:changes", "feature:f0")
	direct.Publish(t.Context(), "features:changes", "feature:f1")
	until(t, "no problem", func() bool { return len(client.Status().Problems) == 0 })
	until(t, "goroutines to be as many as before", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	until(t, "the heap to be as before", func() bool { return heapInUse() < heap+32<<20 })
	t.Logf("%d messages in %v: %d values read; heap %d kB before, %d kB after", messages, took, counts.of("getrange")-loaded, heap>>10, heapInUse()>>10)
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func TestWatchLeavesNothingBehind(t *testing.T) { // alone, likewise
	r := startServer(t)
	p := startProxy(t, r.address)
	s := newStore(t, connect(t, p.Addr().String()), redisflags.Options{})
	put(t, s, percent("a", 1))
	watch := func(during func()) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		err := s.Watch(ctx, func(flags.Update) {
			during()
			stop()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	}
	watch(func() {})
	before := runtime.NumGoroutine()
	for i := range 20 {
		watch(func() {
			if i%5 == 0 {
				p.drop()
			}
		})
	}
	until(t, "goroutines to be as many as before", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestTenThousandFlagsAreLoadedInBatches(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	rdb := connect(t, r.address)
	fill(t, rdb, 10_000)
	counts := &counting{calls: map[string]int{}}
	rdb.AddHook(counts)
	s := newStore(t, rdb, redisflags.Options{})
	put(t, s, percent("mine", 1))
	client := run(t, s)
	until(t, "the flags", func() bool { return client.Status().Flags == 10_001 })
	// A client that comes back after an outage loads nothing that has not changed.
	before := counts.of("getrange")
	put(t, s, percent("one-more", 1))
	r.kill()
	until(t, "the outage", func() bool { return client.Status().Err != nil })
	r.start()
	until(t, "the end of it", func() bool { return client.Status().Err == nil })
	until(t, "the new flag", func() bool { return client.Status().Flags == 10_002 })
	if asked := counts.of("getrange") - before; asked > 20 {
		t.Errorf("it read %d values anew", asked)
	}
}

// fill puts flags where another program would.
func fill(tb testing.TB, rdb *redis.Client, n int) {
	tb.Helper()
	for i := 0; i < n; i += 1000 {
		p := rdb.Pipeline()
		for k := i; k < min(i+1000, n); k++ {
			p.Set(tb.Context(), fmt.Sprint("feature:flag-", k), theirs, 0)
		}
		if _, err := p.Exec(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestAClusterKeepsAllInOneSlot(t *testing.T) {
	t.Parallel()
	r := startServer(t, "--cluster-enabled", "yes")
	direct := connect(t, r.address)
	if err := direct.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the cluster", func() bool { return strings.Contains(direct.ClusterInfo(t.Context()).Val(), "cluster_state:ok") })
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.address}, ReadTimeout: time.Second})
	defer rdb.Close()
	s := newStore(t, rdb, redisflags.Options{Prefix: "{flags}feature:", Meta: "{flags}features:"})
	put(t, s, percent("a", 1))
	version := put(t, s, percent("{b}", 1))
	if err := s.Define(t.Context(), flags.Document{Layers: map[string]*flags.Layer{"l": {}}}); err != nil {
		t.Fatal(err)
	}
	client := run(t, s)
	until(t, "the flags", func() bool { return shown(client, "a") == 1 && shown(client, "{b}") == 1 })
	f := percent("{b}", 2)
	f.Version = version
	put(t, s, f)
	until(t, "a change", func() bool { return shown(client, "{b}") == 2 && len(client.Document().Layers) == 1 })
	// A client that does not know it is a cluster says so, and writes nothing.
	_, err := newStore(t, direct, redisflags.Options{}).Put(t.Context(), percent("c", 1))
	if err == nil || !strings.Contains(err.Error(), "CROSSSLOT") {
		t.Errorf("Put over two slots: %v", err)
	}
}
