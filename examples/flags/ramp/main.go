// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command ramp rolls a flag out as it would a version: 1 %, 10 %, 50 % of the users, judged
// by what they meet. The new checkout fails one time in twenty, so it comes back.
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/flagramp"
	"github.com/rheostat-go/rheostat/traffic"
)

var newCheckout = flags.Bool("new-checkout", false)

func main() {
	end, share, err := rollOut(context.Background())
	fmt.Println(end, err)
	fmt.Println(share)
}

// rollOut returns how it ended, the share of the users that have the flag then, and why.
func rollOut(ctx context.Context) (strategy.Phase, flags.Percent, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	store := flags.NewMemory(&flags.Flag{Key: newCheckout.Key(), Enabled: true, Rollout: &flags.Rollout{Type: "percentage"}})
	client := must(flags.New(store, flags.Options{}))
	var outcomes analysis.Recorder
	var group sync.WaitGroup
	group.Go(func() { _ = client.Run(ctx) }) // it ends with ctx
	group.Go(func() { users(ctx, client, &outcomes) })

	options := analysis.Default()
	options.Pace.Interval = 250 * time.Millisecond
	judge := must(analysis.NewCompare(analysis.FromTotals(&outcomes), options))
	plan := must(strategy.Canary{
		Target: "flag", Hold: 3 * time.Second, Checks: []string{"checkouts succeed"},
		Weights: []traffic.Weight{traffic.Percent(1), traffic.Percent(10), traffic.Percent(50), traffic.Full},
	}.Plan())
	dial := must(flagramp.New(store, newCheckout.Key(), flagramp.Options{Client: client}))
	runner := must(strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{}, Poll: 100 * time.Millisecond,
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{"flag": dial}, Judges: map[string]analysis.Judge{"checkouts succeed": judge},
		}),
	}))
	must(runner.Start(ctx, "checkout", strategy.Request{Release: strategy.NewRelease("off", "on"), Plan: plan}))
	end, err := runner.Run(ctx, "checkout")
	stop()
	group.Wait()
	return end.Phase, must(store.Get(context.WithoutCancel(ctx), newCheckout.Key())).Rollout.Percentage, err
}

// users check out, and the program notes how it went by the variant they had.
func users(ctx context.Context, client *flags.Client, outcomes *analysis.Recorder) {
	for range time.Tick(time.Millisecond) {
		if ctx.Err() != nil {
			return
		}
		who := flags.User(fmt.Sprint("user-", rand.N(100_000)))
		d := newCheckout.Eval(client, &who)
		failed := d.Value && rand.N(20) == 0
		outcomes.Record(d.Variant, 20*time.Millisecond, failed)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
