// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
)

// backend is one address of an arm.
type backend struct {
	url    *url.URL
	active atomic.Int64 // requests under way
}

// setBackends exchanges the arm's backends and keeps those that stay.
func (a *arm) setBackends(urls []*url.URL) {
	known := map[string]*backend{}
	if pool := a.pool.Load(); pool != nil {
		for _, b := range *pool {
			known[b.url.String()] = b
		}
	}
	pool := make([]*backend, 0, len(urls))
	for _, u := range urls {
		b := known[u.String()]
		if b == nil {
			own := *u
			b = &backend{url: &own}
		}
		pool = append(pool, b)
	}
	a.pool.Store(&pool)
}

// choose is the backend for a request: of two at random the one with less to do
// (Mitzenmacher, "The Power of Two Choices", 2001), which comes close to the least
// loaded of all without looking at all. It is nil if there is none but not.
func (a *arm) choose(not *backend) *backend {
	pool := *a.pool.Load()
	switch n := len(pool); {
	case n == 1:
		if pool[0] == not {
			return nil
		}
		return pool[0]
	default:
		i := rand.IntN(n)     //nolint:gosec // chance, no secret
		j := rand.IntN(n - 1) //nolint:gosec // chance, no secret
		if j >= i {
			j++
		}
		one, other := pool[i], pool[j]
		if one == not || other != not && other.active.Load() < one.active.Load() {
			return other
		}
		return one
	}
}

// address is where the backend would have the request go.
func (b *backend) address(u *url.URL) {
	u.Scheme, u.Host = b.url.Scheme, b.url.Host
	if base := b.url; base.Path != "" && base.Path != "/" || base.RawPath != "" {
		joined := base.JoinPath(u.EscapedPath())
		u.Path, u.RawPath = joined.Path, joined.RawPath
	}
	if q := b.url.RawQuery; q != "" {
		u.RawQuery = strings.TrimSuffix(q+"&"+u.RawQuery, "&")
	}
}
