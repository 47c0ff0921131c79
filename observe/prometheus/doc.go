// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package prometheus counts what is told about rollouts, for Prometheus to
// scrape.
//
// [New] makes an [Observer] that is an observe.Observer on one side and a
// prometheus Collector on the other. Its metrics are those of the table in
// observe.Metrics. Every label is bounded, whatever comes in: services, checks,
// targets and environments that come after a label is full are counted under
// [Other], and of versions the ones not heard of for the longest time lose their
// series.
//
// [NewArms] exposes the request counters of a data plane, such as the embedded
// proxy, arm by arm.
//
// Counters and the memory of what is under way start anew with the process, as
// is usual with Prometheus; an event's Started and Failing times let durations
// be right nevertheless.
package prometheus
