// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command soak holds a proxy under load for as many requests as a day brings,
// while the weight changes every second, and prints what it keeps of memory and
// goroutines. Each tenth line should look like the first.
//
//	GOWORK=off go run ./cmd/soak -requests 10000000
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func main() {
	requests := flag.Uint64("requests", 10_000_000, "`requests` until the end")
	clients := flag.Int("clients", 32, "connections at once; each is opened anew after a thousand requests or so")
	flag.Parse()
	if err := soak(*requests, *clients); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(requests uint64, clients int) error {
	p, err := proxy.New(map[string][]*url.URL{"v1": {backend("v1"), backend("v1")}, "v2": {backend("v2"), backend("v2")}}, proxy.Options{})
	if err != nil {
		return err
	}
	front := httptest.NewServer(p)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var sent, failed atomic.Uint64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := converse(ctx, front.Listener.Addr().String(), &sent); err != nil {
					failed.Add(1)
					fmt.Fprintln(os.Stderr, "soak:", err)
				}
			}
		})
	}
	fmt.Println("| requests | failed | weights | heap MiB | resident MiB | goroutines | requests/s |")
	fmt.Println("|---|---|---|---|---|---|---|")
	begun, next := time.Now(), requests/20
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for fence := uint64(1); sent.Load() < requests; fence++ {
		if err := p.Apply(ctx, fence, route()); err != nil {
			return err
		}
		<-tick.C
		if n := sent.Load(); n >= next {
			next += requests / 20
			fmt.Printf("| %d | %d | %d | %.1f | %.1f | %d | %.0f |\n", n, failed.Load(), fence, float64(bench.Heap())/(1<<20),
				float64(resident())/(1<<20), runtime.NumGoroutine(), float64(n)/time.Since(begun).Seconds())
		}
	}
	stop()
	wg.Wait()
	front.Close()
	return nil
}

// route is any that a rollout could ask for.
func route() traffic.Route {
	r := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	r.Split.Candidate = traffic.Weight(rand.Uint32N(uint32(traffic.Full) + 1)) //nolint:gosec // a load, no secret
	switch rand.IntN(4) {                                                      //nolint:gosec // likewise
	case 0:
		r.Split.Sticky.Cookie = "side"
	case 1:
		r.Split.Match = []traffic.Match{{Header: "X-Preview"}, {Query: "preview"}}
	case 2:
		if (&proxy.Proxy{}).Caps().Mirror {
			r.Split.Mirror = traffic.Percent(5)
		}
	}
	return r
}

func backend(name string) *url.URL {
	body := bytes.Repeat([]byte(name[1:]), 1024)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(body)
	}))
	u, err := url.Parse(s.URL)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return u
}

// converse sends about a thousand requests on one connection.
func converse(ctx context.Context, address string, sent *atomic.Uint64) error {
	conn, err := net.Dial("tcp", address) //nolint:noctx // it is on this machine
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for range 500 + rand.IntN(1000) { //nolint:gosec // a load, no secret
		if ctx.Err() != nil {
			return nil
		}
		if _, err := io.WriteString(conn, "POST /path?preview= HTTP/1.1\r\nHost: soak.example\r\nContent-Length: 10\r\nCookie: side=abc\r\n\r\n0123456789"); err != nil {
			return err
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close() // it was read to its end
		if err != nil || n != 1024 || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s with %d bytes: %w", res.Status, n, err)
		}
		sent.Add(1)
	}
	return nil
}

// resident is what the kernel keeps in memory for this process.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	var all, pages int64
	if err == nil {
		_, err = fmt.Sscan(string(text), &all, &pages)
	}
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
