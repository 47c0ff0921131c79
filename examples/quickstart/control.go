// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rheostat-go/rheostat/strategy"
)

// operator is who gives the orders that come over the control address.
const operator = "operator"

// loopback is the address to listen at. Whoever reaches the control address
// moves traffic, so it must be out of reach of other machines.
func loopback(address string) (*net.TCPAddr, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen at %q: %w", address, err)
	}
	if !at.IP.IsLoopback() {
		return nil, fmt.Errorf("listen at %q: only loopback, such as 127.0.0.1:8090: nobody is asked for a password here", address)
	}
	return at, nil
}

// control is the handler of the control address.
func control(runner *strategy.Runner, look func(context.Context) (report, error), metrics prom.Gatherer) http.Handler {
	mux := http.NewServeMux()
	for name, order := range map[string]func(context.Context, string, string, string) error{
		"hold": runner.Hold, "resume": runner.Resume, "abort": runner.Abort, "promote": runner.Promote,
	} {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			err := order(r.Context(), web, operator, r.FormValue("why"))
			switch {
			case errors.Is(err, strategy.ErrNoRun):
				http.Error(w, err.Error(), http.StatusConflict)
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			default:
				show(w, r, look)
			}
		})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { show(w, r, look) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return local(http.NewCrossOriginProtection().Handler(mux))
}

func show(w http.ResponseWriter, r *http.Request, look func(context.Context) (report, error)) {
	seen, err := look(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(seen) // a client that left is no error of ours
}

// local refuses requests under any name but that of this machine: a page in a
// browser could have its own name point here.
func local(h http.Handler) http.Handler {
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
