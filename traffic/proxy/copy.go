// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// tee keeps what is read of a request's body for the copy that it sends once the
// body is complete.
type tee struct {
	io.ReadCloser
	p       *Proxy
	arm     *arm
	copy    *http.Request
	length  int64       // as announced, 0 or below if it was not
	trailer http.Header // the request's, which is filled in behind its body

	mu   sync.Mutex // a transport may close a body while it reads it
	body []byte
	over bool
}

// Read implements io.Reader.
func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
	case !t.keep(b[:n]): // it has said why
	case errors.Is(err, io.EOF), t.length > 0 && int64(len(t.body)) == t.length:
		t.send()
	case err != nil:
		t.drop(func(c *copyCounters) { c.cut.Add(1) })
	}
	return n, err
}

// Close implements io.Closer.
func (t *tee) Close() error {
	err := t.ReadCloser.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.drop(func(c *copyCounters) { c.cut.Add(1) })
	}
	return err
}

// keep adds to the body what was read, as far as the limits allow.
func (t *tee) keep(b []byte) bool {
	need, limit := len(t.body)+len(b), int(t.p.copying.limits.Body)
	if need > limit {
		t.drop(func(c *copyCounters) { c.large.Add(1) })
		return false
	}
	if need > cap(t.body) {
		// What a client announces is not kept for it before it is there.
		size := min(max(need, 2*cap(t.body)), limit)
		if !t.p.copying.keep(int64(size - cap(t.body))) {
			t.drop(func(c *copyCounters) { c.busy.Add(1) })
			return false
		}
		larger := make([]byte, len(t.body), size)
		copy(larger, t.body)
		t.body = larger
	}
	t.body = append(t.body, b...)
	return true
}

func (t *tee) drop(count func(*copyCounters)) {
	count(&t.arm.copies)
	t.p.copying.kept.Add(-int64(cap(t.body)))
	t.over, t.body, t.copy = true, nil, nil
}

func (t *tee) send() {
	req, body := t.copy, t.body
	t.over, t.body, t.copy = true, nil, nil
	if len(body) > 0 || len(t.trailer) > 0 {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody() // it cannot fail
	}
	if len(t.trailer) > 0 {
		req.Trailer, req.ContentLength = t.trailer.Clone(), -1
	}
	t.p.sendCopy(t.arm, req, int64(cap(body)))
}

// exchange sends a copy and forgets the answer. It outlives the request that it
// is a copy of, and ends by its time limit.
func (p *Proxy) exchange(a *arm, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), p.copying.limits.Timeout)
	defer cancel()
	begun := time.Now()
	res, err := p.tryCopy(a, req.WithContext(ctx))
	failed := err != nil || res.StatusCode >= http.StatusInternalServerError
	a.copies.sent.Record(time.Since(begun), failed)
	if err != nil {
		p.log.DebugContext(ctx, "backend did not answer a copy", "arm", a.name, "method", req.Method, "err", err)
		return
	}
	defer func() { _ = res.Body.Close() }() // nobody waits for the answer
	if res.StatusCode == http.StatusSwitchingProtocols {
		return // it was not asked to, and such a body knows no time limit
	}
	_, err = io.CopyN(io.Discard, res.Body, mirrorAnswer)
	if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil && !failed {
		a.copies.sent.Fail()
	}
}

// tryCopy makes an error of a panic in a Transport of the user's. Under a handler
// net/http catches it; here it would end the program, with all its requests.
func (p *Proxy) tryCopy(a *arm, req *http.Request) (res *http.Response, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("panic: %v", thrown)
		}
	}()
	res, err = (&sender{p, a}).try(req, &trip{timeout: p.copying.limits.Timeout})
	if res != nil {
		if body, ok := res.Body.(*download); ok {
			body.told.Store(true) // a copy that breaks off is no error of the arm's
		}
	}
	return res, err
}
