// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// room is what the arms of the plan could carry. An arm whose backends are all well
// is taken to have room for everything: how much it could bear, only its owner knows.
func (p *Proxy) room(ctx context.Context, now *plan) traffic.Room {
	if p.options.Room != nil {
		room, err := p.options.Room(ctx)
		if err != nil {
			return traffic.Room{}
		}
		return room
	}
	if !now.routed() {
		return traffic.Room{}
	}
	room := traffic.Room{Known: true}
	var wg sync.WaitGroup
	wg.Go(func() { room.Stable = p.part(ctx, now.stable) })
	wg.Go(func() { room.Candidate = p.part(ctx, now.candidate) })
	wg.Wait()
	if ctx.Err() != nil {
		// A check that was cut short says nothing about the arm.
		return traffic.Room{}
	}
	return room
}

// part is the part of the arm's backends that are well: what Run has seen of them
// lately, or a check now.
func (p *Proxy) part(ctx context.Context, a *arm) traffic.Weight {
	pool := a.pool.backends()
	var well atomic.Int64
	var wg sync.WaitGroup
	for _, b := range pool {
		switch is, known := b.well(); {
		case !known:
			wg.Go(func() {
				if p.check(ctx, b) == nil {
					well.Add(1)
				}
			})
		case is:
			well.Add(1)
		}
	}
	wg.Wait()
	return traffic.Weight(well.Load() * int64(traffic.Full) / int64(len(pool))) //nolint:gosec // at most Full
}

// well reports whether the backend is well, if that is known without a check.
func (b *backend) well() (is, known bool) {
	b.pool.mu.Lock()
	defer b.pool.mu.Unlock()
	if b.ejected && b.pool.at(time.Now()) < b.due {
		return false, true
	}
	return b.passed && !b.failing, b.seen
}

// check asks the backend to show that it is well.
func (p *Proxy) check(ctx context.Context, b *backend) error {
	ctx, cancel := context.WithTimeout(ctx, p.jury.rules.Timeout)
	defer cancel()
	if p.options.Health == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address(b.url))
		if err != nil {
			return err
		}
		_ = conn.Close() // it has served its purpose
		return nil
	}
	to := b.url.JoinPath(p.options.Health)
	if to.Scheme == h2c {
		to.Scheme = "http"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return err
	}
	res, err := p.via(b).RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	// A short body is read to the end, so that the connection can be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, bufferSize)); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answered %s", p.options.Health, res.Status)
	}
	return nil
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
