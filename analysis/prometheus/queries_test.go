// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

func TestQueriesAskForWhatDataPlanesExpose(t *testing.T) {
	t.Parallel()
	const latency = `__name__=~"`
	for want, q := range map[string]prometheus.Query{
		`{__name__=~"rheostat_proxy_request_duration_seconds_bucket|rheostat_proxy_request_errors_total|rheostat_proxy_requests_total",arm=~"v1|v2"}`:                                                            prometheus.Proxy(),
		`{__name__=~"rheostat_request_duration_seconds_bucket|rheostat_request_errors_total|rheostat_requests_total",service="checkout",target="eu",arm=~"v1|v2"}`:                                               prometheus.Arms(),
		`{` + latency + `istio_request_duration_milliseconds_bucket|istio_requests_total",reporter="destination",destination_workload_namespace="shop",destination_workload=~"v1|v2"}`:                           prometheus.Istio("shop"),
		`{` + latency + `response_latency_ms_bucket|response_total",direction="inbound",namespace="sh$op",deployment=~"v1|v2"}`:                                                                                  prometheus.Linkerd("sh$op"),
		`{` + latency + `nginx_ingress_controller_request_duration_seconds_bucket|nginx_ingress_controller_requests",namespace="shop",ingress="web"}`:                                                            prometheus.Nginx("shop", "web"),
		`{` + latency + `envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_bucket",envoy_cluster_name=~"(?:a/(?:v1))|(?:b/(?:v2))"}`:                                                                      prometheus.Envoy("a/$stable", "b/$candidate"),
		`{` + latency + `envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_bucket",envoy_cluster_name=~"(?:shop_(?:v1)_[0-9a-zA-Z-]+)|(?:shop_(?:v2)_[0-9a-zA-Z-]+)"}`:                                    prometheus.Contour("shop"),
		`{` + latency + `envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_bucket",envoy_cluster_name=~"(?:(?:v1)_shop)|(?:(?:v2)_shop)"}`:                                                                prometheus.Gloo("shop"),
		`{` + latency + `envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_bucket",kuma_io_service=~"(?:(?:v1)_shop_svc_[0-9]+)|(?:(?:v2)_shop_svc_[0-9]+)"}`:                                             prometheus.Kuma("shop"),
		`{` + latency + `envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_bucket",kubernetes_namespace="shop",kubernetes_pod_name=~"(?:(?:v1)-[0-9a-z]+-[0-9a-z]{5})|(?:(?:v2)-[0-9a-z]+-[0-9a-z]{5})"}`: prometheus.AppMesh("shop"),
		`{` + latency + `traefik_service_request_duration_seconds_bucket|traefik_service_requests_total",service=~"(?:(?:v1)(@[a-z]+)?)|(?:(?:v2)(@[a-z]+)?)"}`:                                                  prometheus.Traefik(),
		`{__name__="haproxy_backend_http_responses_total",proxy=~"v1|v2"}`:                                                                                                                                       prometheus.HAProxy(),
		`{__name__="haproxy_server_http_responses_total",proxy="be",server=~"v1|v2"}`:                                                                                                                            prometheus.HAProxyServers("be"),
	} {
		s, err := prometheus.New("http://localhost:9090", q, prometheus.Options{})
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		if got, err := s.Selector(check(0)); err != nil || got != want {
			t.Errorf("%s asks\n%s, %v; want\n%s", q.Name, got, err, want)
		}
		if _, err := s.Selector(analysis.Check{}); q.Name != "nginx" && err == nil {
			t.Errorf("%s asks for arms that have no name", q.Name)
		}
	}
}
