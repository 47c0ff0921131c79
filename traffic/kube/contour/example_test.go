// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour_test

import (
	"context"
	"fmt"
	"log"

	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/contour"
)

// A canary of 5%.
func Example() {
	s := cluster(declared)
	client, err := dynamic.NewForConfig(s.Config()) // yours comes from a kubeconfig
	if err != nil {
		log.Fatal(err)
	}
	r, err := contour.New(client, "prod", "web", contour.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	route := traffic.Route{
		Arms:  traffic.Arms{Stable: "web-a", Candidate: "web-b"},
		Split: traffic.Split{Candidate: traffic.Percent(5)},
	}
	if err := r.Apply(ctx, 1, route); err != nil {
		log.Fatal(err)
	}
	seen, err := r.Observe(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(seen.Route, "is", seen.Evidence) // programmed, once Contour has taken it
	text, _ := yaml.Marshal(s.Object(httpproxies, "prod", "web")["spec"])
	fmt.Print(string(text))
	// Output:
	// 5% to web-b, rest to web-a is written
	// routes:
	// - conditions:
	//   - prefix: /
	//   services:
	//   - name: web-a
	//     port: 80
	//     protocol: h2c
	//     weight: 950
	//   - name: web-b
	//     port: 80
	//     protocol: h2c
	//     weight: 50
	//   timeoutPolicy:
	//     response: 5s
	// virtualhost:
	//   fqdn: shop.example.com
}
