// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command reconcile carries the rollouts of many services out from one queue, as
// a controller does: one turn, and back into the queue until the next is due.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

func main() {
	ctx := context.Background()
	routers := map[string]traffic.Router{"checkout": new(traffic.Memory), "search": new(traffic.Memory)}
	runner, err := strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{}, // yours may be the status of an object in Kubernetes
		Wire: func(_ context.Context, service string) (strategy.Wiring, error) {
			return strategy.Wiring{Routers: map[string]traffic.Router{"web": routers[service]}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	queue := make(chan string, len(routers))
	for service := range routers {
		release := strategy.NewRelease("v1", "v2")
		plan, err := strategy.Canary{Target: "web", Hold: 100 * time.Millisecond}.Plan()
		_, startErr := runner.Start(ctx, service, strategy.Request{Release: release, Plan: plan})
		if err := errors.Join(err, startErr); err != nil {
			log.Fatal(err)
		}
		queue <- service
	}
	for ended := 0; ended < len(routers); {
		service := <-queue
		decision, err := runner.Reconcile(ctx, service)
		wait := time.Until(decision.Wake)
		switch {
		case err != nil: // nothing is lost: the next turn looks again
			log.Print(err)
			wait = time.Second
		case decision.Wake.IsZero():
			fmt.Println(service, decision.State.Phase)
			ended++
			continue
		}
		time.AfterFunc(wait, func() { queue <- service })
	}
}
