// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// statusGone is what is noted for a client that left before it was answered;
// nobody receives it.
const statusGone = 499

// cookieKey is the context's key of a Set-Cookie line for the answer.
type cookieKey struct{}

// ServeHTTP sends the request to the arm that the route in force picks for it,
// and the answer back: bodies are streamed, server-sent events and answers of
// unknown length flushed at once, upgrades such as WebSocket joined through. The
// Host header is passed on as it came. A backend that cannot be reached is a
// 502, one that does not answer in time a 504; no route yet is a 503.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, a, give := p.begin(r)
	if a == nil {
		http.Error(w, "service unavailable: no route has been applied yet", http.StatusServiceUnavailable)
		return
	}
	// The reverse proxy leaves by a panic when a client or a backend breaks off.
	defer a.inFlight.done()
	if give != "" {
		line := p.setCookie(now.cookie, give, r.TLS != nil || p.options.TrustForwarded && r.Header.Get("X-Forwarded-Proto") == "https")
		r = r.WithContext(context.WithValue(r.Context(), cookieKey{}, line))
	}
	a.handler.ServeHTTP(w, r)
}

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

func newArm(p *Proxy, name string) *arm {
	a := &arm{name: name}
	a.counters.begin()
	a.handler = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      &sender{p, a},
		ModifyResponse: giveCookie,
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { p.fail(a, w, r, err) },
		ErrorLog:       slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BufferPool:     &p.buffers,
	}
	return a
}

// rewrite leaves nearly everything as it came; the address is added when a
// backend has been chosen.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	// The query is the backend's to read, however odd it looks.
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.Host = pr.In.Host
	if p.options.TrustForwarded {
		if prior := pr.In.Header["X-Forwarded-For"]; prior != nil {
			pr.Out.Header["X-Forwarded-For"] = prior
		}
	}
	pr.SetXForwarded()
	if !p.options.TrustForwarded {
		pr.Out.Header.Del(MirrorHeader)
	}
	if p.options.TrustForwarded {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if prior := pr.In.Header[name]; prior != nil {
				pr.Out.Header[name] = prior
			}
		}
	}
	// The server fills in trailers once the body was read; a copy would miss them.
	pr.Out.Trailer = pr.In.Trailer
	pr.Out.Body = watchUpload(pr.Out.Body)
}

func giveCookie(res *http.Response) error {
	if line, ok := res.Request.Context().Value(cookieKey{}).(string); ok {
		res.Header.Add("Set-Cookie", line)
	}
	return nil
}

// fail answers in the backend's stead.
func (p *Proxy) fail(a *arm, w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
	case clientLeft(r.Context()) || errors.Is(err, errUpload):
		w.WriteHeader(statusGone)
		return
	case errors.Is(err, ErrNoBackend):
		http.Error(w, "service unavailable: no backend takes connections", http.StatusServiceUnavailable)
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		http.Error(w, "gateway timeout: the backend did not answer in time", http.StatusGatewayTimeout)
	default:
		http.Error(w, "bad gateway: the backend cannot be reached or broke off", http.StatusBadGateway)
	}
	p.log.WarnContext(r.Context(), "backend did not answer", "arm", a.name, "method", r.Method, "err", err)
}

// bufferPool saves an allocation of 32 KiB a request.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *bufferPool) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
