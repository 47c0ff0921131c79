// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	if timeout == 0 {
		timeout = headerTimeout
	}
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: max(timeout, 0),
		ExpectContinueTimeout: time.Second,
		// The client's Accept-Encoding is passed on; nothing is unpacked here.
		DisableCompression: true,
	}
}

// RoundTripper is the data plane without a hop, for the Transport of an
// http.Client: each request goes to the backend that the route picks for it,
// whatever host its URL names, and that host is sent as Host. A sticky cookie is
// given in the answer, where a client's Jar finds it. A request counts as under
// way until its body is read to the end or closed.
func (p *Proxy) RoundTripper() http.RoundTripper { return roundTripper{p} }

type roundTripper struct{ p *Proxy }

func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	now, a, give := t.p.begin(req)
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
	out.Body = watchUpload(req.Body)
	res, err := (&sender{t.p, a}).RoundTrip(out)
	if err != nil {
		a.inFlight.done()
		return nil, err
	}
	res.Request = req
	if give != "" {
		res.Header.Add("Set-Cookie", t.p.setCookie(now.cookie, give, secure))
	}
	res.Body = whenOver(res.Body, a.inFlight.done)
	return res, nil
}

// clientLeft tells a client that gave up from a deadline that passed: the
// second says that the arm was slow.
func clientLeft(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// errUpload marks a request that ended because its own body could not be read.
var errUpload = errors.New("the client broke off its request")

// upload is a request's body that remembers whether reading it failed.
type upload struct {
	io.ReadCloser
	closed, failed atomic.Bool
}

func watchUpload(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	return &upload{ReadCloser: body}
}

func (u *upload) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	// The transport closes the body of a request that it gives up; a read that
	// fails from then on is no fault of the client.
	if err != nil && !errors.Is(err, io.EOF) && !u.closed.Load() {
		u.failed.Store(true)
	}
	return n, err
}

func (u *upload) Close() error {
	u.closed.Store(true)
	return u.ReadCloser.Close()
}

// download is an answer's body: an arm that breaks off in the middle is an
// error, too, although its header looked well.
type download struct {
	io.ReadCloser
	ctx  context.Context //nolint:containedctx // the request's, which the body belongs to
	arm  *arm
	told bool
}

func (d *download) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !d.told && !clientLeft(d.ctx) {
		d.told = true
		d.arm.counters.errors.Add(1)
	}
	return n, err
}

// whenOver calls done once, when body was read to its end or closed.
func whenOver(body io.ReadCloser, done func()) io.ReadCloser {
	h := &held{ReadCloser: body, done: sync.OnceFunc(done)}
	if w, ok := body.(io.Writer); ok {
		return struct { // an upgraded connection is written to, too
			*held
			io.Writer
		}{h, w}
	}
	return h
}

// held is a body that tells when it is over.
type held struct {
	io.ReadCloser
	done func()
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	if err != nil {
		h.done()
	}
	return n, err
}

func (h *held) Close() error {
	defer h.done()
	return h.ReadCloser.Close()
}
