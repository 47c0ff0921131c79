// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

const (
	headerTimeout = time.Minute
	dialTimeout   = 5 * time.Second
	// idlePerHost is how many idle connections are kept to a backend. With the
	// two of http.DefaultTransport a proxy dials for nearly every request.
	idlePerHost = 1024
)

// ErrNoRoute is returned by the RoundTripper while no route has been applied and
// there is no default backend.
var ErrNoRoute = errors.New("proxy: no route has been applied yet")

func newTransport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: timeout,
		ExpectContinueTimeout: time.Second,
		// The client's Accept-Encoding is passed on; nothing is unpacked here.
		DisableCompression: true,
	}
}

// h2c is the scheme of a backend that speaks HTTP/2 without TLS.
const h2c = "h2c"

// newH2C is a transport for such backends. All requests to one share a connection.
func newH2C(timeout time.Duration) *http.Transport {
	t := newTransport(timeout)
	t.Protocols = new(http.Protocols)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// RoundTripper is the data plane without a hop, for the Transport of an
// http.Client: each request goes to the backend that the route picks for it,
// whatever host its URL names, and that host is sent as Host. A sticky cookie is
// given in the answer, where a client's Jar finds it. A request counts as under
// way until its body is read to the end or closed.
func (p *Proxy) RoundTripper() http.RoundTripper { return roundTripper{p} }

type roundTripper struct{ p *Proxy }

func (rt roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	now, a, give := rt.p.begin(req)
	if a == nil {
		if req.Body != nil {
			_ = req.Body.Close() // the contract of a RoundTripper; there is an error already
		}
		return nil, ErrNoRoute
	}
	out := req.WithContext(req.Context())
	url := *req.URL
	out.URL = &url
	out.Host = req.Host
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	secure := req.URL.Scheme == "https"
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &upload{ReadCloser: req.Body}
	}
	t := &trip{traced: httptrace.ContextClientTrace(req.Context()) != nil, over: a.inFlight.done}
	res, err := (&sender{rt.p, a}).send(out, t)
	if err != nil {
		a.inFlight.done()
		return nil, err
	}
	res.Request = req
	if give != "" {
		res.Header.Add("Set-Cookie", rt.p.setCookie(now.cookie, give, secure))
	}
	return res, nil
}

// via is the transport for what the backend speaks.
func (p *Proxy) via(b *backend) http.RoundTripper {
	if b.url.Scheme == h2c {
		return p.h2c
	}
	return p.transport
}

// clientLeft tells a client that gave up from a deadline that passed: the
// second says that the arm was slow.
func clientLeft(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
