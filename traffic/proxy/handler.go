// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// statusGone is what is noted for a client that left before it was answered;
// nobody receives it.
const statusGone = 499

// ServeHTTP sends the request to the arm that the route in force picks for it,
// and the answer back. Bodies and trailers are streamed both ways, server-sent
// events and answers of unknown length flushed at once, interim answers passed on,
// upgrades such as WebSocket joined through. The Host header is passed on as it
// came.
//
// What the proxy answers itself is
//   - 502 where the backend cannot be reached or breaks off,
//   - 504 where it does not answer in time,
//   - 503 without a route, without a backend that takes connections, and above
//     Options.MaxInFlight,
//   - 400 for a target that is neither a path nor a URL with a host,
//   - 413 for a body longer than Options.MaxBody,
//   - 501 for a CONNECT, also that of HTTP/2 for WebSocket.
//
// An answer that breaks off in the middle breaks off here, too: half of one is
// never made to look whole.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.refuse(w, r, http.StatusNotImplemented, "not implemented: CONNECT is not passed on; WebSocket goes by an upgrade of HTTP/1.1")
		return
	}
	if r.URL.Opaque != "" {
		p.refuse(w, r, http.StatusBadRequest, "bad request: the target is neither a path nor a URL with a host")
		return
	}
	now, a, give := p.begin(r)
	if a == nil {
		p.refuse(w, r, http.StatusServiceUnavailable, "service unavailable: no route has been applied yet")
		return
	}
	defer a.inFlight.done()
	if limit := p.options.MaxInFlight; limit > 0 && a.inFlight.count() > int64(limit) {
		w.Header().Set("Retry-After", "1")
		p.refuse(w, r, http.StatusServiceUnavailable, "service unavailable: "+strconv.Itoa(limit)+" requests are under way already")
		return
	}
	if limit := p.options.MaxBody; limit > 0 {
		if r.ContentLength > limit {
			p.refuse(w, r, http.StatusRequestEntityTooLarge, tooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	cookie := ""
	if give != "" {
		cookie = p.setCookie(now.cookie, give, r.TLS != nil || p.options.TrustForwarded && r.Header.Get("X-Forwarded-Proto") == "https")
	}
	p.forward(w, r, a, cookie)
}

// refuse answers a request that is not sent on.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	if p.options.Access != nil {
		defer p.access(r, Access{Begun: time.Now(), Status: status, Err: errors.New(why)})
	}
	http.Error(w, why, status)
}

const tooLarge = "request body too large"

// begin picks an arm and counts the request as under way there.
func (p *Proxy) begin(r *http.Request) (*plan, *arm, string) {
	for {
		now := p.plan.Load()
		if a, give, ok := p.beginOn(now, r); ok {
			return now, a, give
		}
	}
}

// beginOn begins on a plan unless it was exchanged meanwhile. It looks again
// after counting: a request is either seen by Drained after an Apply, or follows
// that Apply.
func (p *Proxy) beginOn(now *plan, r *http.Request) (a *arm, give string, ok bool) {
	if a, give = now.pick(r); a == nil {
		return nil, "", true
	}
	a.inFlight.begin()
	if p.plan.Load() != now {
		a.inFlight.done()
		return nil, "", false
	}
	return a, give, true
}

// fail answers in the backend's stead.
func (p *Proxy) fail(a *arm, w http.ResponseWriter, r *http.Request, err error) (status int) {
	var long *http.MaxBytesError
	var timeout net.Error
	var text string
	switch {
	case errors.As(err, &long):
		status, text = http.StatusRequestEntityTooLarge, tooLarge
	case clientLeft(r.Context()) || errors.Is(err, errUpload):
		w.WriteHeader(statusGone)
		return statusGone
	case errors.Is(err, ErrNoBackend):
		status, text = http.StatusServiceUnavailable, "service unavailable: no backend takes connections"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		status, text = http.StatusGatewayTimeout, "gateway timeout: the backend did not answer in time"
	default:
		status, text = http.StatusBadGateway, "bad gateway: the backend cannot be reached or broke off"
	}
	http.Error(w, text, status)
	p.log.WarnContext(r.Context(), "backend did not answer", "arm", a.name, "method", r.Method, "err", err)
	return status
}
