// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"context"
	"fmt"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/observe/prometheus"
)

func Example() {
	registry := prom.NewRegistry() // served by promhttp.HandlerFor(registry, …)
	metrics, err := prometheus.New(registry, prometheus.Options{Environment: "production"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = metrics.Observe(context.Background(), observe.Event{
		Service: "checkout", Run: 12, Rev: 340, Kind: observe.Promoted, Outcome: observe.OutcomePromoted, Version: "v2",
	})
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP deployments_total Deployments that ended, by version.
# TYPE deployments_total counter
deployments_total{environment="production",status="success",version="v2"} 1
`), "deployments_total")
	fmt.Println(err)
	// Output: <nil>
}
