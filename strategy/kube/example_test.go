// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

// A rollout whose state is in the status of an object, and whose operator speaks through
// its spec.
func Example() {
	ctx := context.Background()
	// In a program: rest.InClusterConfig or clientcmd, and dynamic.NewForConfig.
	client, err := dynamic.NewForConfigAndClient(&rest.Config{QPS: -1}, &http.Client{Transport: newFakeAPI()})
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := kube.NewStore(client, kube.Options{Namespace: "prod"})
	if err != nil {
		fmt.Println(err)
		return
	}
	runner, err := strategy.NewRunner(strategy.Config{
		Store: store, Intent: store.Intent,
		Wire: strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": traffic.NewMemory(traffic.Options{})}}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := strategy.AllAtOnce{Targets: []string{"web"}, Bake: time.Millisecond}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	request := strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan}
	if _, err := runner.Start(ctx, "web", request); err != nil {
		fmt.Println(err)
		return
	}
	state, err := runner.Run(ctx, "web")
	fmt.Println(state.Phase, err)
	journal, err := store.Journal(ctx, "web")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range journal {
		fmt.Println(t.Kind)
	}
	// Output:
	// promoted <nil>
	// run started
	// lane armed
	// dials turned
	// step settled
	// lane done
	// run promoted
}
