// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress_test

import (
	"context"
	"fmt"
	"log"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/ingress"
)

// A canary of 5%, and back.
func Example() {
	s := cluster(nil)
	client, err := dynamic.NewForConfig(s.Config()) // yours comes from a kubeconfig
	if err != nil {
		log.Fatal(err)
	}
	r, err := ingress.New(client, "prod", "web", ingress.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for i, percent := range []float64{5, 0} {
		route := traffic.Route{
			Arms:  traffic.Arms{Stable: "web-a", Candidate: "web-b"},
			Split: traffic.Split{Candidate: traffic.Percent(percent)},
		}
		if err := r.Apply(ctx, uint64(i+1), route); err != nil {
			log.Fatal(err)
		}
		seen, err := r.Observe(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(seen.Route, "is", seen.Evidence, notes(s, "web-candidate"))
	}
	// Output:
	// 5% to web-b, rest to web-a is written map[canary:true canary-weight:5]
	// 0% to web-b, rest to web-a is written map[canary:true canary-weight:0]
}
