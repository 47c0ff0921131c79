// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command canary dials version 2 of a service in while it answers well.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func main() {
	web := must(proxy.New(map[string][]*url.URL{"v1": {service("v1")}, "v2": {service("v2")}}, proxy.Options{Default: "v1"}))
	go users(httptest.NewServer(web).URL)

	errorRate := must(analysis.NewThreshold(analysis.ErrorRate(analysis.FromTotals(web)), analysis.AtMost(0.01),
		analysis.ThresholdOptions{Interval: time.Second}))
	plan := must(strategy.Canary{Target: "web", Hold: 2 * time.Second, Checks: []string{"error rate"}}.Plan())
	wiring := strategy.Wiring{Routers: map[string]traffic.Router{"web": web}, Judges: map[string]analysis.Judge{"error rate": errorRate}}
	runner := must(strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{}, Wire: strategy.Fixed(wiring), Poll: time.Second / 4, Log: slog.Default(),
	}))
	must(runner.Start(context.Background(), "web", strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan}))
	end := must(runner.Run(context.Background(), "web")) // its error says why a rollout went home
	fmt.Println(end.Release.Candidate.Version, end.Phase)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func service(version string) *url.URL { // stands in for yours
	answer := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Version", version) }
	return must(url.Parse(httptest.NewServer(http.HandlerFunc(answer)).URL))
}

func users(url string) {
	for range time.Tick(5 * time.Millisecond) {
		if resp, err := http.Head(url); err == nil {
			resp.Body.Close()
		}
	}
}
