// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"regexp"
	"strconv"
	"time"
)

// Proxy is for the metrics of the embedded proxy, as traffic/proxy/prometheus exposes
// them. The arms are the label arm. Where several routes are scraped, choose one
// with Where.
func Proxy() Query {
	return Query{
		Name: "proxy", Stable: `arm="$stable"`, Candidate: `arm="$candidate"`,
		Requests: `rheostat_proxy_requests_total`, Errors: `rheostat_proxy_request_errors_total`,
		Latency: `rheostat_proxy_request_duration_seconds_bucket`,
	}
}

// Arms is for what observe/prometheus exposes of arms: any middleware that counts.
// The arms are the label arm of the check's service and target.
func Arms() Query {
	return Query{
		Name: "arms", Where: `service="$service",target="$target"`, Stable: `arm="$stable"`, Candidate: `arm="$candidate"`,
		Requests: `rheostat_requests_total`, Errors: `rheostat_request_errors_total`,
		Latency: `rheostat_request_duration_seconds_bucket`,
	}
}

// Istio is for Istio's standard metrics, counted by the sidecars of the workloads
// that answer. The arms are workloads in a namespace: Deployments that are named
// like the arms. For arms that are versions of one workload, set Stable to
// `destination_version="$stable"` and Candidate likewise. Errors are answers of 500
// and above; latencies are in milliseconds.
func Istio(namespace string) Query {
	return Query{
		Name: "istio", Where: `reporter="destination",` + is("destination_workload_namespace", namespace),
		Stable: `destination_workload="$stable"`, Candidate: `destination_workload="$candidate"`,
		Requests: `istio_requests_total`, Errors: `istio_requests_total{response_code=~"5.."}`,
		Latency: `istio_request_duration_milliseconds_bucket`, Unit: time.Millisecond,
	}
}

// Linkerd is for the metrics of Linkerd's proxies, counted where requests arrive. The
// arms are Deployments in a namespace that are named like them. Errors are what
// Linkerd classifies as failures; latencies are in milliseconds.
func Linkerd(namespace string) Query {
	return Query{
		Name: "linkerd", Where: `direction="inbound",` + is("namespace", namespace),
		Stable: `deployment="$stable"`, Candidate: `deployment="$candidate"`,
		Requests: `response_total`, Errors: `response_total{classification="failure"}`,
		Latency: `response_latency_ms_bucket`, Unit: time.Millisecond,
	}
}

// Nginx is for ingress-nginx. The arms are an Ingress and the canary Ingress beside
// it, which the controller tells apart by the label canary: it is empty for stable.
// Their names in the rollout do not matter. Errors are answers of 500 and above;
// latencies are of whole requests.
func Nginx(namespace, ingress string) Query {
	return Query{
		Name: "nginx", Where: is("namespace", namespace) + "," + is("ingress", ingress),
		Stable: `canary=""`, Candidate: `canary!=""`,
		Requests: `nginx_ingress_controller_requests`, Errors: `nginx_ingress_controller_requests{status=~"5.."}`,
		Latency: `nginx_ingress_controller_request_duration_seconds_bucket`,
	}
}

// Envoy is for what Envoys count by cluster, whoever controls them. stable and
// candidate are expressions for the names of the clusters, in which $stable and
// $candidate are the arms. With Envoy Gateway, whose clusters are rules of a route,
// each arm needs a rule of its own: `httproute/shop/checkout/rule/0` and so on.
// Errors are answers of 500 and above, those that Envoy gave in the cluster's stead
// among them; latencies are in milliseconds.
func Envoy(stable, candidate string) Query {
	return envoy("envoy", "envoy_cluster_name=~"+strconv.Quote(stable), "envoy_cluster_name=~"+strconv.Quote(candidate))
}

// Contour is for Contour's Envoys. The arms are Services in a namespace that are
// named like them; Contour names clusters namespace_service_port with a hash.
func Contour(namespace string) Query {
	return envoy("contour",
		"envoy_cluster_name=~"+strconv.Quote(quote(namespace)+"_${stable}_[0-9a-zA-Z-]+"),
		"envoy_cluster_name=~"+strconv.Quote(quote(namespace)+"_${candidate}_[0-9a-zA-Z-]+"))
}

// Gloo is for Gloo's Envoys. The arms are Upstreams that are named like them, in a
// namespace.
func Gloo(namespace string) Query {
	return envoy("gloo",
		"envoy_cluster_name=~"+strconv.Quote("${stable}_"+quote(namespace)),
		"envoy_cluster_name=~"+strconv.Quote("${candidate}_"+quote(namespace)))
}

// Kuma is for Kuma's data planes. The arms are Services in a namespace that are
// named like them, of any port.
func Kuma(namespace string) Query {
	return envoy("kuma",
		"kuma_io_service=~"+strconv.Quote("${stable}_"+quote(namespace)+"_svc_[0-9]+"),
		"kuma_io_service=~"+strconv.Quote("${candidate}_"+quote(namespace)+"_svc_[0-9]+"))
}

// AppMesh is for the Envoys of AWS App Mesh. The arms are Deployments in a namespace
// that are named like them: their pods are told by their names.
func AppMesh(namespace string) Query {
	q := envoy("app mesh",
		"kubernetes_pod_name=~"+strconv.Quote("${stable}-[0-9a-z]+-[0-9a-z]{5}"),
		"kubernetes_pod_name=~"+strconv.Quote("${candidate}-[0-9a-z]+-[0-9a-z]{5}"))
	q.Where = is("kubernetes_namespace", namespace)
	return q
}

// envoy counts as Envoy says.
func envoy(name, stable, candidate string) Query {
	return Query{
		Name: name, Stable: stable, Candidate: candidate,
		Requests: `envoy_cluster_upstream_rq`, Errors: `envoy_cluster_upstream_rq{envoy_response_code=~"5.."}`,
		Latency: `envoy_cluster_upstream_rq_time_bucket`, Unit: time.Millisecond,
	}
}

// Traefik is for Traefik's services. The arms are services that are named like them,
// of any provider: shop-checkout-80@kubernetescrd, checkout@file. Errors are answers
// of 500 and above.
func Traefik() Query {
	return Query{
		Name: "traefik", Stable: `service=~"$stable(@[a-z]+)?"`, Candidate: `service=~"$candidate(@[a-z]+)?"`,
		Requests: `traefik_service_requests_total`, Errors: `traefik_service_requests_total{code=~"5.."}`,
		Latency: `traefik_service_request_duration_seconds_bucket`,
	}
}

// HAProxy is for HAProxy's own exporter, where the arms are backends that are named
// like them. Errors are answers of 500 and above, HAProxy's own among them. It
// exposes no histogram, so that latency is not counted.
func HAProxy() Query {
	return Query{
		Name: "haproxy", Stable: `proxy="$stable"`, Candidate: `proxy="$candidate"`,
		Requests: `haproxy_backend_http_responses_total`, Errors: `haproxy_backend_http_responses_total{code="5xx"}`,
	}
}

// HAProxyServers is HAProxy for arms that are servers of one backend, named like them.
func HAProxyServers(backend string) Query {
	return Query{
		Name: "haproxy servers", Where: is("proxy", backend), Stable: `server="$stable"`, Candidate: `server="$candidate"`,
		Requests: `haproxy_server_http_responses_total`, Errors: `haproxy_server_http_responses_total{code="5xx"}`,
	}
}

// is is a matcher for a value of the program's own: a dollar in it stands for itself.
func is(label, value string) string { return label + "=" + strconv.Quote(literal(value)) }

// quote is an expression for a value of the program's own.
func quote(value string) string { return literal(regexp.QuoteMeta(value)) }
