// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package prometheus exposes an embedded proxy's counters for Prometheus to scrape.
//
//	registry.MustRegister(prometheus.New(p))
//
// The proxy counts anyway; its counters are read when they are scraped, so that
// no request costs anything more. The metrics, for each arm:
//
//	rheostat_proxy_requests_total             requests answered, or left without an answer
//	rheostat_proxy_request_errors_total       those that were errors, as Proxy.Totals has it
//	rheostat_proxy_requests_canceled_total    requests given up by clients before an answer
//	rheostat_proxy_requests_in_flight         requests and copies under way
//	rheostat_proxy_request_duration_seconds   time until an answer began, a histogram
//	rheostat_proxy_copies_total               what became of mirrored requests, by outcome
//	rheostat_proxy_copy_duration_seconds      time until the answer to a copy began
//	rheostat_proxy_backends                   backends, by state
//
// and of the route in force, as soon as there is one:
//
//	rheostat_proxy_weight_ratio               share of the requests that an arm gets
//	rheostat_proxy_mirror_ratio               share of stable's requests copied to an arm
//	rheostat_proxy_route_fence                fence that the route was applied under
//
// The outcomes of a copy are answered, error, busy, large, cut, late and upgrade:
// see proxy.Copies. An arm's series end with the arm, and no label has a backend's
// address, so that a thousand replicas that come and go make no series. Several
// proxies in one registry need a label each: register them with
// prometheus.WrapRegistererWith.
//
// The metrics of observe/prometheus have other names: both can be in one registry.
package prometheus
