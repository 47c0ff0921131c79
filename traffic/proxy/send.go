// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// tries is how many backends a request is offered to that cannot be reached.
const tries = 3

// sender carries requests to the backends of one arm and counts how they fare.
type sender struct {
	p   *Proxy
	arm *arm
}

// trip is what the tries at a request have in common.
type trip struct {
	timeout time.Duration                      // until the answer begins
	early   func(code int, header http.Header) // takes interim answers, may be nil
	traced  bool                               // the caller has hooks of net/http/httptrace
	over    func()                             // is called when the answer is, may be nil

	backend *backend      // the one asked last
	short   []byte        // the body, if it has been read beforehand
	took    time.Duration // until the answer began, or there was none
}

// send sends the request and counts what the arm answered: how long until its
// header was there, and whether it was an error. A request that its client gave
// up counts as neither, for it says nothing about the arm.
func (s *sender) send(req *http.Request, t *trip) (*http.Response, error) {
	s.arm.given.Add(1)
	up, _ := req.Body.(*upload)
	s.p.mirror(s.arm, req)
	t.timeout = s.p.timeout
	var res *http.Response
	free, err := s.readShort(req, t)
	begun := time.Now()
	if err == nil {
		res, err = s.try(req, t)
		free()
	}
	if up != nil {
		up.settle()
	}
	t.took = time.Since(begun)
	if err != nil {
		switch {
		case clientLeft(req.Context()):
			s.arm.canceled.Add(1)
		case up != nil && up.failed.Load():
			s.arm.canceled.Add(1)
			err = fmt.Errorf("%w: %w", errUpload, err)
		default:
			s.arm.answers.Record(t.took, true)
		}
		return nil, err
	}
	s.arm.answers.Record(t.took, res.StatusCode >= http.StatusInternalServerError)
	return res, nil
}

// short reports whether a body is read before the request is sent.
func (p *Proxy) short(req *http.Request) bool {
	return p.own && req.ContentLength > 0 && req.ContentLength <= shortBody && len(req.Trailer) == 0 && !expectsContinue(req)
}

// readShort reads a body that is short before the request is sent. The backend
// does not wait for a slow client then, and the request can go to another one.
func (s *sender) readShort(req *http.Request, t *trip) (free func(), err error) {
	free = func() {}
	if req.Body == nil || req.Body == http.NoBody || !s.p.short(req) {
		return free, nil
	}
	buf := buffers.Get()
	n, err := io.ReadFull(req.Body, buf[:req.ContentLength])
	if err == nil {
		var more int
		more, err = req.Body.Read(buf[n : n+1])
		if more > 0 {
			err = fmt.Errorf("the request's body is longer than its Content-Length, %d", n)
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	_ = req.Body.Close() // it has been read, or is of no use
	if err != nil {
		if up, ok := req.Body.(*upload); ok {
			up.failed.Store(true)
		}
		buffers.Put(buf)
		return free, shorter(err)
	}
	t.short = buf[:n]
	return func() { buffers.Put(buf) }, nil
}

// try sends the request to a backend of the arm, and to another one if that could
// not be reached and so has seen nothing of it.
func (s *sender) try(req *http.Request, t *trip) (res *http.Response, err error) {
	to := *req.URL
	for n := 1; ; n++ {
		b := s.arm.choose(t.backend)
		if b == nil {
			if err == nil {
				err = ErrNoBackend
			}
			return nil, err
		}
		t.backend = b
		*req.URL = to
		b.address(req.URL)
		b.active.Add(1)
		begun := time.Now()
		var cancel context.CancelFunc
		res, cancel, err = s.ask(b, req, t)
		b.ended(req, res, err, begun)
		if err == nil {
			s.receive(b, req, res, cancel, t.over)
			return res, nil
		}
		b.active.Add(-1)
		var unsent unsentError
		if n == tries || !errors.As(err, &unsent) || req.Context().Err() != nil || t.short == nil && !reopen(req) {
			return nil, err
		}
	}
}

// ask sends the request to a backend. cancel ends the answer from elsewhere, and
// must be called when it is over.
func (s *sender) ask(b *backend, req *http.Request, t *trip) (res *http.Response, cancel context.CancelFunc, err error) {
	if s.p.own && b.url.Scheme == "http" && !t.traced {
		if res, err = b.roundTrip(req, t); !errors.Is(err, errNotPlain) {
			return res, nil, err
		}
	}
	ctx, cancel := context.WithCancel(req.Context())
	var mu sync.Mutex // the transport calls from goroutines of its own, and late
	var over bool
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			if !over && t.early != nil && code != http.StatusContinue {
				t.early(code, http.Header(header))
			}
			return nil
		},
	}
	out := req.WithContext(httptrace.WithClientTrace(ctx, trace))
	if t.short != nil {
		body := bytes.Clone(t.short) // a transport may read it for longer than we do
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody() // it cannot fail
	}
	res, err = s.p.via(b).RoundTrip(out)
	mu.Lock()
	over = true
	mu.Unlock()
	if err != nil {
		cancel()
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" || s.p.own && !connected.Load() {
			err = unsentError{err}
		}
		return nil, nil, err
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	if res.StatusCode < http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		_ = res.Body.Close() // it is of no use
		cancel()
		return nil, nil, errStatus
	}
	res.Request = req
	return res, cancel, nil
}

// receive has the answer's body tell when it is over and whether it broke off.
func (s *sender) receive(b *backend, req *http.Request, res *http.Response, cancel context.CancelFunc, over func()) {
	if res.Body == http.NoBody {
		b.active.Add(-1)
		if cancel != nil {
			cancel()
		}
		if over != nil {
			over()
		}
		return
	}
	d := &download{ReadCloser: res.Body, ctx: req.Context(), arm: s.arm, backend: b, cancel: cancel, done: over}
	d.upload, _ = req.Body.(*upload)
	switched := res.StatusCode == http.StatusSwitchingProtocols
	if switched || res.StatusCode >= http.StatusInternalServerError {
		d.told.Store(true) // it is an error already, or ends as its protocol says
	}
	if switched || res.ContentLength < 0 {
		s.arm.open.add(d)
	}
	res.Body = d
	if rw, ok := d.ReadCloser.(io.ReadWriteCloser); ok && switched {
		res.Body = &duplex{d, rw}
	}
}
