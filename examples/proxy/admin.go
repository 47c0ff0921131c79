// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
	"github.com/rheostat-go/rheostat/traffic/proxy/prometheus"
)

// maxOrder bounds what is read of an order; a route is some hundred bytes.
const maxOrder = 1 << 20

// desk answers those who run the proxy.
type desk struct {
	proxy     *proxy.Proxy
	byDefault string // the arm that answers without a route
	leaving   *atomic.Bool
	metrics   prom.Gatherer
}

func registry(p *proxy.Proxy) prom.Gatherer {
	r := prom.NewRegistry()
	r.MustRegister(prometheus.New(p), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// observer only tells, to anybody.
func (d *desk) observer() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", d.ready)
	return mux
}

// admin takes orders, too: not from pages in a browser and, unless anywhere,
// not under a name that somebody has made point here.
func (d *desk) admin(anywhere bool) http.Handler {
	mux := d.observer()
	mux.HandleFunc("GET /{$}", d.show)
	mux.HandleFunc("PUT /route", d.setRoute)
	mux.HandleFunc("PUT /arms/{arm}", d.setArm)
	mux.HandleFunc("DELETE /arms/{arm}", d.removeArm)
	mux.HandleFunc("POST /arms/{arm}/drain", d.drain)
	h := http.MaxBytesHandler(http.NewCrossOriginProtection().Handler(mux), maxOrder)
	if anywhere {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
			http.Error(w, "ask by a loopback address", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (d *desk) ready(w http.ResponseWriter, _ *http.Request) {
	route, _ := d.proxy.Route()
	switch {
	case d.leaving.Load():
		http.Error(w, "leaving", http.StatusServiceUnavailable)
	case route.IsZero() && d.byDefault == "" && len(d.proxy.Arms()) != 1:
		http.Error(w, "no route, and no -default", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}

// setRoute applies {"fence": 7, "route": {…}}.
func (d *desk) setRoute(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Fence *uint64        `json:"fence"`
		Route *traffic.Route `json:"route"`
	}
	err := decode(r, &order)
	switch {
	case err == nil && order.Fence == nil:
		err = errors.New("fence: give the number that this writer was given when it took charge")
	case err == nil && order.Route == nil:
		err = errors.New("route: give one, with arms and split")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var file *fs.PathError
	switch err := d.proxy.Apply(r.Context(), *order.Fence, *order.Route); {
	case err == nil:
		d.show(w, r)
	case errors.Is(err, traffic.ErrFenced), errors.Is(err, traffic.ErrConflict):
		http.Error(w, err.Error(), http.StatusConflict)
	case errors.Is(err, errors.ErrUnsupported):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case errors.As(err, &file), r.Context().Err() != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// setArm takes {"backends": ["http://…"]}.
func (d *desk) setArm(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Backends []string `json:"backends"`
	}
	err := decode(r, &order)
	if err == nil {
		backends, parseErr := parseBackends(order.Backends)
		if err = parseErr; err == nil {
			err = d.proxy.SetArm(r.PathValue("arm"), backends...)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.show(w, r)
}

func (d *desk) removeArm(w http.ResponseWriter, r *http.Request) {
	if d.unknown(w, r) {
		return
	}
	if err := d.proxy.RemoveArm(r.PathValue("arm")); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	d.show(w, r)
}

// drain waits until nothing is under way to an arm that gets no more requests.
func (d *desk) drain(w http.ResponseWriter, r *http.Request) {
	if d.unknown(w, r) {
		return
	}
	arm, timeout := r.PathValue("arm"), 30*time.Second
	if text := r.FormValue("timeout"); text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout < 0 {
			http.Error(w, fmt.Sprintf("timeout: %q is not a time such as 30s", text), http.StatusBadRequest)
			return
		}
	}
	if d.gets(arm) {
		http.Error(w, fmt.Sprintf("the route sends %s requests: apply one that does not, first", arm), http.StatusConflict)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	if err := d.proxy.Drained(ctx, arm); err != nil {
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
		return
	}
	d.show(w, r)
}

func (d *desk) unknown(w http.ResponseWriter, r *http.Request) bool {
	arm := r.PathValue("arm")
	if slices.Contains(d.proxy.Arms(), arm) {
		return false
	}
	http.Error(w, fmt.Sprintf("no arm %q: known are %q", arm, d.proxy.Arms()), http.StatusNotFound)
	return true
}
