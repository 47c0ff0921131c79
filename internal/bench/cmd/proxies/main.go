// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command proxies compares what a proxied request costs: traffic/proxy with a
// split, against net/http/httputil's ReverseProxy, tuned as carefully and as it
// comes, and against HAProxy, nginx and Caddy where they are installed. Each runs
// in a process of its own and carries the same requests to the same backend; they
// take turns, so that what else the machine does falls on all of them. CPU is what
// the kernel counts for the proxy's processes. The ratio within a round is what to
// look at; microseconds are the machine's.
//
//	GOWORK=off go run ./cmd/proxies
//	GOWORK=off go run ./cmd/proxies -size 65536 -h2
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// run is one comparison.
type run struct {
	requests, clients, rounds, size int
	h2                              bool
}

func main() {
	role := flag.String("role", "", "what this process is; for the children")
	backend := flag.String("backend", "", "the backend's `URL`; for the children")
	only := flag.String("only", "", "`names` of the proxies to compare with tuned, with commas; all if empty")
	var r run
	flag.IntVar(&r.requests, "requests", 10_000, "`requests` a proxy carries in a round")
	flag.IntVar(&r.clients, "clients", 32, "requests under way at once")
	flag.IntVar(&r.rounds, "rounds", 8, "how often each proxy has its turn")
	flag.IntVar(&r.size, "size", 1<<10, "`bytes` of an answer")
	flag.BoolVar(&r.h2, "h2", false, "HTTP/2 without TLS between the clients and the proxy")
	flag.Parse()
	var err error
	if *role != "" {
		err = serve(*role, *backend, r.size)
	} else {
		err = r.compare(*only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxies:", err)
		os.Exit(1)
	}
}

// result is what one turn of a proxy showed.
type result struct {
	cpu      time.Duration // per request
	rate     float64       // requests a second
	p50, p99 time.Duration
}

func (r run) compare(only string) error {
	origin, err := spawn("backend", "", r.size)
	if err != nil {
		return err
	}
	defer origin.stop()
	var names []string
	servers := map[string]*server{}
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, c := range contestants {
		if only != "" && c.name != "tuned" && !slices.Contains(strings.Split(only, ","), c.name) {
			continue
		}
		s, err := c.start(c.name, origin.url, r.size)
		if err != nil {
			fmt.Printf("%s is left out: %v\n", c.name, err)
			continue
		}
		servers[c.name] = s
		names = append(names, c.name)
		if _, err := r.turn(s, r.requests/10); err != nil { // connections, caches
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	results := map[string][]result{}
	for round := range r.rounds {
		for i := range names { // each begins a round as often as the others
			name := names[(round+i)%len(names)]
			res, err := r.turn(servers[name], r.requests)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			results[name] = append(results[name], res)
		}
	}
	r.print(names, results)
	return nil
}

func (r run) print(names []string, results map[string][]result) {
	protocol := "HTTP/1.1"
	if r.h2 {
		protocol = "h2c"
	}
	fmt.Printf("%s, answers of %d bytes, %d at once, %d rounds of %d; medians, and the ratio to tuned in the same round\n\n", protocol, r.size, r.clients, r.rounds, r.requests)
	fmt.Println("| proxy | CPU µs a request | of tuned | requests/s | p50 ms | p99 ms | what it is |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, name := range names {
		var cpu, ratio, rate, p50, p99 []float64
		for i, res := range results[name] {
			cpu = append(cpu, float64(res.cpu.Nanoseconds())/1e3)
			ratio = append(ratio, float64(res.cpu)/float64(results["tuned"][i].cpu))
			rate = append(rate, res.rate)
			p50 = append(p50, float64(res.p50.Microseconds())/1e3)
			p99 = append(p99, float64(res.p99.Microseconds())/1e3)
		}
		fmt.Printf("| %s | %.1f | %.2f (%.2f to %.2f) | %.0f | %.1f | %.1f | %s |\n", name,
			median(cpu), median(ratio), slices.Min(ratio), slices.Max(ratio), median(rate), median(p50), median(p99), described(name))
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
