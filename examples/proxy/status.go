// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// status is what GET / tells.
type status struct {
	Fence   uint64               `json:"fence"`
	Route   *traffic.Route       `json:"route"` // null before any
	Leaving bool                 `json:"leaving,omitempty"`
	Arms    map[string]armStatus `json:"arms"`
}

type armStatus struct {
	Weight   traffic.Weight        `json:"weight"`
	Mirror   traffic.Weight        `json:"mirror,omitempty"`
	InFlight int                   `json:"inFlight"`
	Requests uint64                `json:"requests"`
	Errors   uint64                `json:"errors"`
	Canceled uint64                `json:"canceled"`
	Since    time.Time             `json:"since"`
	Backends []proxy.BackendStatus `json:"backends"`
	Copies   proxy.Copies          `json:"copies"`
}

func (d *desk) show(w http.ResponseWriter, _ *http.Request) {
	s := status{Leaving: d.leaving.Load(), Arms: map[string]armStatus{}}
	if route, fence := d.proxy.Route(); !route.IsZero() {
		s.Fence, s.Route = fence, &route
	}
	for _, name := range d.proxy.Arms() {
		requests, failed, _, since, ok := d.proxy.Totals(name)
		if !ok {
			continue // it was removed just now
		}
		a := armStatus{
			InFlight: d.proxy.InFlight(name), Requests: requests, Errors: failed, Canceled: d.proxy.Canceled(name),
			Since: since, Backends: d.proxy.Backends(name), Copies: d.proxy.Copies(name),
		}
		a.Weight, a.Mirror = d.shares(name)
		a.Copies.Latency = nil // it is for /metrics
		s.Arms[name] = a
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(s) // a client that left is no error of ours
}

// shares are the parts of the requests, and of the copies, that the arm gets.
func (d *desk) shares(arm string) (weight, mirror traffic.Weight) {
	switch route, _ := d.proxy.Route(); {
	case route.IsZero() && (arm == d.byDefault || len(d.proxy.Arms()) == 1):
		return traffic.Full, 0
	case arm == route.Arms.Stable:
		return traffic.Full - route.Split.Candidate, 0
	case arm == route.Arms.Candidate:
		return route.Split.Candidate, route.Split.Mirror
	}
	return 0, 0
}

// gets reports whether any request, or a copy of one, goes to the arm.
func (d *desk) gets(arm string) bool {
	weight, mirror := d.shares(arm)
	route, _ := d.proxy.Route()
	return weight+mirror > 0 || arm == route.Arms.Candidate && len(route.Split.Match) > 0
}
