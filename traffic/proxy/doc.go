// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package proxy is the embedded data plane: a [Proxy] is a [traffic.Router] that
// carries the requests itself, as an [net/http.Handler] in front of two arms
// or, without a hop, as the [net/http.RoundTripper] of a client.
//
//	p, err := proxy.New(map[string][]*url.URL{"v1": {v1}, "v2": {v2}}, proxy.Options{File: "route.json", Default: "v1"})
//	...
//	http.ListenAndServe(":8080", p)
//
// For each request a match on a header or cookie decides first, then the sticky
// key, then chance. The choice and its arm's counters never disagree with
// [Proxy.Apply]: once Apply has returned, no request begins on the old route,
// keep-alive connections included, and [Proxy.Drained] tells when the last that
// had begun there is over.
//
// A route's Mirror sends the candidate copies of stable's requests, within
// [MirrorLimits] and marked by [MirrorHeader]. Stable's clients never wait for
// them, and what is not copied is counted in [Proxy.Copies].
//
// An arm is one backend or many. Each request goes to the one of two at random with
// less to do; a backend that fails is left alone as [Ejection] says, a request that
// it did not take goes to another, and [Proxy.Run], for those who run it, checks
// them all the time. [Proxy.Backends] tells how they fare.
//
// What it does not do: a client that sticks to an arm does not stick to one of its
// backends, so what a session needs must not be in one backend's memory. And no
// request is sent again that may have reached a backend and is not idempotent.
package proxy
