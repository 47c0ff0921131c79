// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"log"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
)

// A canary of 5%, and of all testers.
func Example() {
	s := onlyOneRule()
	client, err := dynamic.NewForConfig(s.Config()) // yours comes from a kubeconfig
	if err != nil {
		log.Fatal(err)
	}
	r, err := gateway.NewHTTPRoute(client, "prod", "web", gateway.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	route := traffic.Route{
		Arms:  traffic.Arms{Stable: "web-a", Candidate: "web-b"},
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
	o := unstructured.Unstructured{Object: s.Object(httproutes, "prod", "web")}
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	text, _ := yaml.Marshal(list)
	fmt.Print(string(text))
	// Output:
	// 5% to web-b, rest to web-a, 1 matches is written
	// - backendRefs:
	//   - name: web-b
	//     port: 80
	//     weight: 1
	//   matches:
	//   - headers:
	//     - name: X-Tester
	//       type: Exact
	//       value: "yes"
	//     path:
	//       type: PathPrefix
	//       value: /
	//   name: rheostat-match-0
	// - backendRefs:
	//   - name: web-a
	//     port: 80
	//     weight: 950000
	//   - name: web-b
	//     port: 80
	//     weight: 50000
}

func onlyOneRule() *kubefake.Server {
	s := cluster()
	s.Add(httproutes, "HTTPRoute", "prod", "web", kubefake.Parse(`
spec:
  parentRefs: [{name: edge}]
  rules:
  - backendRefs: [{name: web-a, port: 80}]
`))
	return s
}
