// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command shift turns data planes under load and counts what is lost: sixteen
// clients, each with a connection that stays open, send POSTs that nobody sends
// twice, while the weight climbs 0, 1, 5, 10, 25, 50, 100 per cent and then flips
// between nothing and everything. It prints how many requests failed, how far each
// split was from what was asked, and how long after Apply had returned the last
// request began that still got the old side.
//
//	GOWORK=off go run ./cmd/shift
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

var (
	clients = flag.Int("clients", 16, "connections")
	each    = flag.Int("each", 10_000, "`requests` at each step of the ladder")
	flips   = flag.Int("flips", 100, "`times` that everything moves at once")
	short   = flag.Int("short", 400, "`requests` after each flip")
	only    = flag.String("only", "", "`names` of the data planes, with commas; all if empty")
)

func main() {
	flag.Parse()
	fmt.Println("| data plane | requests | failed | splits asked and met, largest deviation in σ | Apply p50 | until Observe shows it p50 | last on the old side |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, p := range planes {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		if err := try(p); err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", p.name, err)
		}
	}
}

// try turns one data plane and prints its row.
func try(p plane) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer r.stop()
	t := &turning{run: r, ctx: ctx}
	if err := t.set(0); err != nil {
		return err
	}
	load, quiet := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range *clients {
		wg.Go(func() { t.load(load) })
	}
	worst, splits := 0.0, []string{}
	for _, percent := range []float64{0, 1, 5, 10, 25, 50, 100} {
		w := traffic.Percent(percent)
		if err := t.set(w); err != nil {
			quiet()
			return err
		}
		n, k := t.counted(*each)
		share := float64(w) / float64(traffic.Full)
		splits = append(splits, fmt.Sprintf("%.4g→%.2f", percent, 100*float64(k)/float64(n)))
		deviation := math.Abs(float64(k)-share*float64(n)) / math.Sqrt(float64(n)*max(share*(1-share), 1e-9))
		worst = max(worst, deviation)
	}
	for i := range *flips {
		if err := t.set(traffic.Full * traffic.Weight(i%2)); err != nil { //nolint:gosec // 0 or 1
			quiet()
			return err
		}
		t.counted(*short)
	}
	quiet()
	wg.Wait()
	slices.Sort(t.applies)
	slices.Sort(t.shows)
	fmt.Printf("| %s | %d | %d%s | %s; %.1f | %v | %v | %v |\n", p.name, t.sent, t.failed, t.firstFailure(),
		strings.Join(splits, " "), worst, t.applies[len(t.applies)/2].Round(time.Microsecond),
		t.shows[len(t.shows)/2].Round(time.Microsecond), t.late.Round(time.Microsecond))
	return nil
}
