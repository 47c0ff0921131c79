// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"context"
	"fmt"
	"log"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
)

// A canary of 5% between two subsets, the second of which is made first.
func Example() {
	s := cluster()
	client, err := dynamic.NewForConfig(s.Config()) // yours comes from a kubeconfig
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := istio.New(ctx, client, "prod", "subsets", istio.Options{Host: "web", Label: "version"})
	if err != nil {
		log.Fatal(err)
	}
	route := traffic.Route{
		Arms:  traffic.Arms{Stable: "blue", Candidate: "red"},
		Split: traffic.Split{Candidate: traffic.Percent(5), Match: []traffic.Match{{Header: "X-Tester", Value: "yes"}}},
	}
	if err := r.Apply(ctx, 1, route); err != nil {
		log.Fatal(err)
	}
	seen, err := r.Observe(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(seen.Route, "is", seen.Evidence)
	o := unstructured.Unstructured{Object: s.Object(virtualservices, "prod", "subsets")}
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "http")
	text, _ := yaml.Marshal(list)
	fmt.Print(string(text))
	// Output:
	// 5% to red, rest to blue, 1 matches is written
	// - match:
	//   - headers:
	//       x-tester:
	//         exact: "yes"
	//   name: rheostat-match-0,X-Tester
	//   route:
	//   - destination:
	//       host: web
	//       subset: red
	// - route:
	//   - destination:
	//       host: web
	//       subset: blue
	//     weight: 95
	//   - destination:
	//       host: web
	//       subset: red
	//     weight: 5
}
