// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"fmt"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
)

// A canary beside a Deployment: its pods come before each step, and go when the traffic
// has shifted back to stable, which then runs the same.
func Example() {
	client := newCluster().client() // dynamic.NewForConfig of your cluster
	w, err := workload.New(client, workload.Options{
		Namespace: "prod",
		Router:    traffic.NewMemory(traffic.Options{}), // one of traffic/kube
		Template:  workload.Image("app", "registry.example/web"),
		Configs:   []string{"ConfigMap/web"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := w.Plan(strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(5), traffic.Percent(50), traffic.Full}})
	if err != nil {
		fmt.Println(err)
		return
	}
	forecast, err := strategy.Preview(plan)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range forecast.Lanes[0].Steps {
		fmt.Println(step.Step, step.Tasks, step.Dials[0].Split.Candidate)
	}
	fmt.Println("home:", forecast.Back.Tasks)
	wiring := strategy.Wiring{Routers: map[string]traffic.Router{"web": w.Router()}, Tasks: w.Tasks(plan)}
	fmt.Println(len(wiring.Tasks), "tasks")
	// Output:
	// 5% [capacity 5%] 5%
	// 50% [capacity 50%] 50%
	// 100% [capacity 100%] 100%
	// commit [] 100%
	// stable 100% [promote] 0%
	// release [release] 0%
	// home: [stable capacity]
	// 6 tasks
}
