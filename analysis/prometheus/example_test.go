// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// A judge that compares the arms of an Istio mesh by what Prometheus has scraped.
func Example() {
	src, err := prometheus.New("http://prometheus:9090", prometheus.Istio("shop"), prometheus.Options{Timeout: 5 * time.Second})
	if err != nil {
		panic(err)
	}
	judge, err := analysis.NewCompare(src, analysis.Default())
	if err != nil {
		panic(err)
	}
	_ = judge // give it to the rollout as one of its Judges

	selector, err := src.Selector(analysis.Check{Stable: "checkout-v1", Candidate: "checkout-v2"})
	fmt.Println(selector, err)
	// Output:
	// {__name__=~"istio_request_duration_milliseconds_bucket|istio_requests_total",reporter="destination",destination_workload_namespace="shop",destination_workload=~"checkout-v1|checkout-v2"} <nil>
}

// A query of one's own: arms are pods of a release, and what failed has a label.
func ExampleQuery() {
	src, err := prometheus.New("https://mimir.example.com/prometheus", prometheus.Query{
		Name:      "checkout",
		Where:     `namespace="shop", service="$service"`,
		Stable:    `pod=~"$stable-[0-9a-z-]+"`,
		Candidate: `pod=~"$candidate-[0-9a-z-]+"`,
		Requests:  `http_requests_total`,
		Errors:    `http_requests_total{code=~"5.."}`,
		Latency:   `http_request_duration_seconds`, // a native histogram
	}, prometheus.Options{Headers: map[string]string{"X-Scope-OrgID": "shop"}})
	if err != nil {
		panic(err)
	}
	// A name is a name, whatever it looks like.
	selector, err := src.Selector(analysis.Check{Service: `checkout"} or {x="`, Stable: "v1", Candidate: "v1.1"})
	fmt.Println(selector, err)
	// Output:
	// {__name__=~"http_request_duration_seconds|http_requests_total",namespace="shop",service="checkout\"} or {x=\"",pod=~"(?:(?:v1)-[0-9a-z-]+)|(?:(?:v1\\.1)-[0-9a-z-]+)"} <nil>
}
