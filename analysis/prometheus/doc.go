// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package prometheus counts what two arms answer by what Prometheus has scraped of them.
//
//	src, err := prometheus.New("http://prometheus:9090", prometheus.Istio("shop"), prometheus.Options{})
//	judge, err := analysis.NewCompare(src, analysis.Default())
//
// A [Query] names the metrics and the labels that tell the arms apart; functions such
// as [Istio], [Linkerd] and [Proxy] have those of a data plane. Anything that
// speaks Prometheus' query API will do: Thanos, Mimir, VictoriaMetrics.
//
// # How it counts
//
// The server is asked for raw samples, never for a rate: of both arms and of all
// metrics with one selector, as of one moment. What a series has counted is added up
// here, sample by sample, before arms are summed:
//
//   - A value that fell is a counter that started over. It counts from 0.
//   - A series that was not there when the candidate first got traffic counts from 0:
//     the first errors of a candidate are born together with their series. The one
//     exception is a server that knows nothing at all from before that moment; series
//     first seen in its first five minutes count from their first sample.
//   - A series that disappears keeps what it gave. If it returns within an hour it
//     goes on where it was.
//   - An arm without any series has counted nothing. If neither arm has one, that is
//     an error, and so is a newest sample older than [Options.Stale], a value that
//     is not a number, an answer with warnings, and one that is too large.
//
// Classic histograms become counts per bucket; replicas whose bounds differ are an
// error that names them.
//
// Native histograms are put into 129 fixed buckets, those of schema 3 from a
// millisecond to 64 seconds, that grow by nine per cent each. Of a histogram of schema 3
// or finer each of these bounds is a bound, and the share of requests above it is exact.
// Within a bucket of a coarser one there are bounds that it does not have: its requests
// are dealt to the fixed buckets that it covers, as many to each, which is interpolation
// that takes the logarithms of latencies to be spread evenly. So two arms can be compared
// whose histograms have different schemas, as when one has reached its limit of buckets.
// A bound that no schema has, of a histogram with bounds of its own, is moved up to the
// next, by nine per cent at most. What is near zero, and what is above all finite bounds,
// counts as slow as it can have been. No quantile is ever estimated.
//
// # Halves of stable
//
// The same samples say how much stable's replicas differ from each other, by the label
// that tells them apart: [Source.Halves] costs no request, [Source.History] one when a
// judge begins. An [analysis.Compare] divides its evidence by what it learns from them.
//
// # Restarts
//
// Totals are those since [analysis.Check.Exposed]. They are computed from samples
// alone: a process that starts over reads the samples since then again, in pieces
// of a quarter of an hour, and comes to the same totals. What is kept in memory only
// saves that. It reads two hours back at most: in a rollout that goes on for longer,
// totals after a restart begin at a later moment and say so in [analysis.Counts.Since],
// which costs the judge one block and counts nothing twice.
//
// # What the server must do
//
// Keep raw samples for three hours, and count each program once. Two Prometheus
// that scrape the same need their samples deduplicated, or all requests count double and
// evidence weighs double; with Thanos that is dedup=true, beside
// partial_response=false and max_source_resolution=0s in [Options.Params]. A judge's
// interval should be no shorter than the scrape interval.
//
// Connections are made as Prometheus makes its own, and are counted in the default
// registry of its client library, as net_conntrack_dialer_conn_*.
package prometheus
