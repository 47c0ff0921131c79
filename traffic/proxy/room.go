// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// checkTimeout is how long a backend may take to show that it is there.
const checkTimeout = time.Second

// room is what the arms of the plan could carry. An arm that answers is taken
// to have room for everything: how much it could bear, only its owner knows.
func (p *Proxy) room(ctx context.Context, now *plan) traffic.Room {
	if p.options.Room != nil {
		room, err := p.options.Room(ctx)
		if err != nil {
			return traffic.Room{}
		}
		return room
	}
	if !now.routed {
		return traffic.Room{}
	}
	room := traffic.Room{Known: true}
	var wg sync.WaitGroup
	wg.Go(func() { room.Stable = p.check(ctx, now.stable) })
	wg.Go(func() { room.Candidate = p.check(ctx, now.candidate) })
	wg.Wait()
	if ctx.Err() != nil {
		// A check that was cut short says nothing about the arm.
		return traffic.Room{}
	}
	return room
}

// check is Full if the arm answers, and nothing otherwise.
func (p *Proxy) check(ctx context.Context, a *arm) traffic.Weight {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	target := a.target.Load()
	if p.options.Health == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address(target))
		if err != nil {
			return 0
		}
		_ = conn.Close() // it has served its purpose
		return traffic.Full
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.JoinPath(p.options.Health).String(), http.NoBody)
	if err != nil {
		return 0
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	// A short body is read to the end, so that the connection can be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, bufferSize)); err != nil || res.StatusCode >= http.StatusBadRequest {
		return 0
	}
	return traffic.Full
}

// address is the URL's host with its port.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
