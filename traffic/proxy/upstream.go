// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"
)

const (
	// idleTimeout is how long a connection that nobody uses is kept.
	idleTimeout = 90 * time.Second
	// headLimit bounds the head of an answer, interim answers included.
	headLimit = 1 << 20
)

// upstream is the connections to a backend that are idle. Only those of HTTP/1.1
// without TLS are here: an http.Transport wakes two goroutines of its own for
// each request, while here who asks writes and reads in his own. The zero
// upstream works.
type upstream struct {
	mu    sync.Mutex
	idle  []*conn // the one used last at the end
	gone  bool    // the backend is no longer the arm's: keep none
	timer *time.Timer
}

// take is an idle connection that its backend has not closed, nil if there is none.
func (u *upstream) take() *conn {
	for {
		u.mu.Lock()
		n := len(u.idle) - 1
		if n < 0 {
			u.mu.Unlock()
			return nil
		}
		c := u.idle[n]
		u.idle[n] = nil
		u.idle = u.idle[:n]
		u.mu.Unlock()
		if c.quiet() {
			return c
		}
		_ = c.Close() // it was closed from the other side
	}
}

// put keeps a connection for the next request.
func (u *upstream) put(c *conn) {
	c.since = time.Now()
	u.mu.Lock()
	kept := !u.gone && len(u.idle) < idlePerHost
	if kept {
		u.idle = append(u.idle, c)
		if u.timer == nil {
			u.timer = time.AfterFunc(idleTimeout, u.prune)
		}
	}
	u.mu.Unlock()
	if !kept {
		_ = c.Close() // nothing is under way on it
	}
}

// prune closes what has been idle for too long.
func (u *upstream) prune() {
	u.mu.Lock()
	before := time.Now().Add(-idleTimeout)
	n := sort.Search(len(u.idle), func(i int) bool { return u.idle[i].since.After(before) })
	old := append([]*conn(nil), u.idle[:n]...)
	rest := copy(u.idle, u.idle[n:])
	clear(u.idle[rest:])
	u.idle, u.timer = u.idle[:rest], nil
	if rest > 0 {
		u.timer = time.AfterFunc(u.idle[0].since.Sub(before), u.prune)
	}
	u.mu.Unlock()
	closeAll(old)
}

// closeIdle closes what is idle, and with gone whatever would be so later.
func (u *upstream) closeIdle(gone bool) {
	u.mu.Lock()
	old := u.idle
	u.idle, u.gone = nil, u.gone || gone
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	u.mu.Unlock()
	closeAll(old)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // nothing is under way on it
	}
}

// unsentError marks what failed before a byte of the request was sent.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

var dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}

// roundTrip has the backend answer over a connection of this package's own. On one
// that was idle, which the backend may be about to close, a request that got no
// answer goes out once more, over a new one, if not a byte of it had been sent or
// if it is safe to be sent twice.
//
// What is not plain, see appendHead, is errNotPlain.
func (b *backend) roundTrip(req *http.Request, t *trip) (*http.Response, error) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	f := framed(req)
	head, plain := appendHead(buf[:0], req, f)
	if !plain {
		return nil, errNotPlain
	}
	if c := b.conns.take(); c != nil {
		res, again, err := c.exchange(req, head, f, t)
		if err == nil || !again || req.Context().Err() != nil {
			return res, err
		}
	}
	c, err := b.dial(req.Context())
	if err != nil {
		return nil, unsentError{err}
	}
	res, _, err := c.exchange(req, head, f, t)
	return res, err
}

func (b *backend) dial(ctx context.Context) (*conn, error) {
	to, err := dialer.DialContext(ctx, "tcp", address(b.url))
	if err != nil {
		return nil, err
	}
	return newConn(to, &b.conns)
}

// replayable reports whether a request means the same when it is sent twice. It
// is the rule of http.Transport.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return req.Header["Idempotency-Key"] != nil || req.Header["X-Idempotency-Key"] != nil
}

var (
	errNotPlain = errors.New("not a plain request")
	errSwitched = errors.New("the backend switched protocols unasked")
	errHeadSize = errors.New("the head of the backend's answer is longer than 1 MiB")
	errStatus   = errors.New("the backend answered with a status that is none")
)
