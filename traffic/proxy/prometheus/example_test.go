// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
	"github.com/rheostat-go/rheostat/traffic/proxy/prometheus"
)

func Example() {
	v1, _ := url.Parse("http://127.0.0.1:8081")
	v2, _ := url.Parse("http://127.0.0.1:8082")
	p, err := proxy.New(map[string][]*url.URL{"v1": {v1}, "v2": {v2}}, proxy.Options{Default: "v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prom.NewRegistry() // served by promhttp.HandlerFor(registry, …)
	registry.MustRegister(prometheus.New(p))

	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	if err := p.Apply(context.Background(), 1, route); err != nil {
		fmt.Println(err)
		return
	}
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP rheostat_proxy_weight_ratio Share of the requests that the route gives an arm.
# TYPE rheostat_proxy_weight_ratio gauge
rheostat_proxy_weight_ratio{arm="v1"} 0.95
rheostat_proxy_weight_ratio{arm="v2"} 0.05
`), "rheostat_proxy_weight_ratio")
	fmt.Println(err)
	// Output: <nil>
}
