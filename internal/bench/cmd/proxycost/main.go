// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command proxycost compares the CPU that a proxied request costs: traffic/proxy
// with a split, against net/http/httputil's ReverseProxy, tuned as carefully and
// as it comes. Each runs in a process of its own, carries the same requests to
// the same backend, and tells its own getrusage; they take turns, so that what
// else the machine does falls on all of them. The ratio within a round is what
// to look at; microseconds are the machine's.
//
//	GOWORK=off go run ./cmd/proxycost
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() {
	role := flag.String("role", "", "what this process is; for the children")
	backend := flag.String("backend", "", "the backend's `URL`; for the children")
	requests := flag.Int("requests", 10_000, "`requests` a proxy carries in a round")
	clients := flag.Int("clients", 32, "requests under way at once")
	rounds := flag.Int("rounds", 8, "how often each proxy has its turn")
	flag.Parse()
	var err error
	if *role != "" {
		err = serve(*role, *backend)
	} else {
		err = compare(*requests, *clients, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxycost:", err)
		os.Exit(1)
	}
}

// contestants take turns; all are compared with tuned.
var contestants = []string{"tuned", "split", "sticky", "default"}

var described = map[string]string{
	"tuned":   "httputil.ReverseProxy, BufferPool, 1024 idle connections, no decompression",
	"split":   "traffic/proxy, 25% to the candidate by chance",
	"sticky":  "traffic/proxy, 25% to the candidate by a cookie that every request has",
	"default": "httputil.NewSingleHostReverseProxy as it comes",
}

func compare(requests, clients, rounds int) error {
	origin, err := spawn("backend", "")
	if err != nil {
		return err
	}
	defer origin.stop()
	children := map[string]*child{}
	defer func() {
		for _, c := range children {
			c.stop()
		}
	}()
	for _, name := range contestants {
		c, err := spawn(name, origin.url)
		if err != nil {
			return err
		}
		children[name] = c
		if _, err := c.cost(requests/10, clients); err != nil { // connections, caches
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	costs := map[string][]time.Duration{}
	for round := range rounds {
		for i := range contestants { // each begins a round as often as the others
			name := contestants[(round+i)%len(contestants)]
			cost, err := children[name].cost(requests, clients)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			costs[name] = append(costs[name], cost)
		}
	}
	fmt.Printf("CPU of the proxy per request, 1 KiB, %d at once, %d rounds of %d:\n", clients, rounds, requests)
	for _, name := range contestants {
		ratios := make([]float64, rounds)
		for i, cost := range costs[name] {
			ratios[i] = float64(cost) / float64(costs["tuned"][i])
		}
		slices.Sort(ratios)
		slices.Sort(costs[name])
		fmt.Printf("%-8s least %6.1f µs, median %6.1f µs; of tuned in the same round: median %.2f, %.2f to %.2f  (%s)\n", name,
			micros(costs[name][0]), micros(costs[name][rounds/2]), ratios[rounds/2], ratios[0], ratios[rounds-1], described[name])
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
