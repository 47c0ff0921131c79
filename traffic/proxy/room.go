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
	"sync/atomic"
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

// check is the part of the arm's backends that answer.
func (p *Proxy) check(ctx context.Context, a *arm) traffic.Weight {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	pool := a.pool.backends()
	var well atomic.Int64
	var wg sync.WaitGroup
	for _, b := range pool {
		wg.Go(func() {
			if p.answers(ctx, b) {
				well.Add(1)
			}
		})
	}
	wg.Wait()
	return traffic.Weight(well.Load() * int64(traffic.Full) / int64(len(pool))) //nolint:gosec // at most Full
}

// answers reports whether the backend shows that it is there.
func (p *Proxy) answers(ctx context.Context, b *backend) bool {
	if p.options.Health == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address(b.url))
		if err != nil {
			return false
		}
		_ = conn.Close() // it has served its purpose
		return true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath(p.options.Health).String(), http.NoBody)
	if err != nil {
		return false
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	// A short body is read to the end, so that the connection can be used again.
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, bufferSize))
	return err == nil && res.StatusCode < http.StatusBadRequest
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
