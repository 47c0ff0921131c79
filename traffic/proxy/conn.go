// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection to a backend. It carries one request at a time.
type conn struct {
	net.Conn
	home  *upstream
	in    *bufio.Reader
	left  int64 // how much of the answer's head may still come
	since time.Time

	raw   syscall.RawConn
	look  func(fd uintptr)
	one   [1]byte
	still bool
	abort func()

	// Who reads the answer and who sends the body, if that is another, both
	// let go of the connection; the last finds out whether it can be used again.
	parties atomic.Int32
	broken  atomic.Bool

	mu    sync.Mutex
	timed bool // a deadline is set
	begun bool // the answer has begun
	sent  bool // all of the request has been
	fault error
}

func newConn(to net.Conn, home *upstream) (*conn, error) {
	c := &conn{Conn: to, home: home}
	c.in = bufio.NewReader(c)
	c.abort = func() { _ = c.Conn.Close() } // it ends whatever waits for it
	c.look = c.peek
	s, ok := to.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T cannot be looked at", to)
	}
	var err error
	c.raw, err = s.SyscallConn()
	return c, err
}

// Read reads no more than a head may have, while one is read.
func (c *conn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadSize
	}
	if int64(len(b)) > c.left {
		b = b[:c.left]
	}
	n, err := c.Conn.Read(b)
	c.left -= int64(n)
	return n, err
}

// exchange sends a request, whose head is that, and reads its answer up to the
// body. again reports, when that failed, that the request may be sent over another
// connection.
func (c *conn) exchange(req *http.Request, head []byte, f framing, t *trip) (res *http.Response, again bool, err error) {
	ctx := req.Context()
	inline := f == framing{} || t.short != nil
	c.begin(inline, t.timeout)
	stop := context.AfterFunc(ctx, c.abort)
	var out *outflow
	defer func() {
		if err == nil {
			return
		}
		stop()
		out.proceed(false)
		c.release(false)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	if n, err := c.Conn.Write(append(head, t.short...)); err != nil {
		return nil, n == 0, fmt.Errorf("send the request: %w", err)
	}
	if !inline {
		out = newOutflow(c, req, f, t)
		go out.run()
	}
	res, some, err := c.answer(req, t, out)
	if err != nil {
		if fault := c.uploadFault(); fault != nil {
			err = fault
		}
		// One that is only late has the request, and may be at it still.
		late := errors.Is(err, os.ErrDeadlineExceeded)
		return nil, inline && !some && !late && replayable(req), err
	}
	out.proceed(false) // if it still waits, nobody wants its body
	c.join(res, stop, req.Close)
	return res, false, nil
}

// join makes the rest of the connection the answer's body.
func (c *conn) join(res *http.Response, stop func() bool, last bool) {
	body := &inflow{ReadCloser: res.Body, c: c, ctx: res.Request.Context(), stop: stop, clean: !res.Close && !last}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		c.answered(false)
		body.clean = false
		res.Body = &joined{body}
	case res.Body == http.NoBody:
		c.answered(true)
		body.end(true)
	default:
		c.answered(res.ContentLength >= 0 && int64(c.in.Buffered()) >= res.ContentLength)
		res.Body = body
	}
}

// begin readies the connection for a request. The answer is waited for no longer
// than timeout from when all of the request has been sent.
func (c *conn) begin(inline bool, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.begun, c.sent, c.fault = headLimit, false, inline, nil
	parties := int32(2)
	if inline {
		parties = 1
	}
	c.parties.Store(parties)
	switch {
	case inline && timeout > 0:
		c.timed = true
		_ = c.SetDeadline(time.Now().Add(timeout)) // it fails where Write will, too
	case c.timed:
		c.timed = false
		_ = c.SetDeadline(time.Time{})
	}
}

// answered ends the time limit, since a body may take as long as it likes. When
// the whole of it is here it cannot be late, which spares most answers a call.
func (c *conn) answered(whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.left = true, math.MaxInt64
	if c.timed && !whole {
		c.timed = false
		_ = c.SetDeadline(time.Time{}) // it fails where Read will, too
	}
}

// answer reads the head of the answer and hands on the interim ones before it.
// some reports whether any byte came.
func (c *conn) answer(req *http.Request, t *trip, out *outflow) (res *http.Response, some bool, err error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, false, fmt.Errorf("no answer: %w", err)
	}
	for {
		res, err := http.ReadResponse(c.in, req)
		switch {
		case err != nil:
			return nil, true, fmt.Errorf("read the answer: %w", err)
		case res.StatusCode == http.StatusSwitchingProtocols && req.Header["Upgrade"] == nil:
			return nil, true, errSwitched
		case res.StatusCode < http.StatusContinue:
			return nil, true, errStatus
		case res.StatusCode == http.StatusContinue:
			out.proceed(true)
		case res.StatusCode < http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols:
			if t.early != nil {
				t.early(res.StatusCode, res.Header)
			}
		default:
			return res, true, nil
		}
	}
}

// release lets go of the connection.
func (c *conn) release(ok bool) {
	if !ok {
		c.broken.Store(true)
		_ = c.Conn.Close() // who sends the body still is not held up
	}
	c.leave()
}

func (c *conn) leave() {
	switch {
	case c.parties.Add(-1) > 0:
	case c.broken.Load():
		_ = c.Conn.Close() // nobody uses it any more
	default:
		c.home.put(c)
	}
}

func (c *conn) uploadFault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// inflow is an answer's body. It frees the connection when it has been read to
// its end, and closes it when it is closed before.
type inflow struct {
	io.ReadCloser
	c     *conn
	ctx   context.Context //nolint:containedctx // the request's, which the body belongs to
	stop  func() bool
	clean bool // another answer can follow this one
	over  atomic.Bool
}

func (i *inflow) Read(b []byte) (int, error) {
	n, err := i.ReadCloser.Read(b)
	if err != nil {
		whole := errors.Is(err, io.EOF)
		i.end(whole) // from here on, the connection may be somebody else's
		if whole {
			return n, err
		}
		if fault := i.c.uploadFault(); fault != nil {
			err = fault
		}
		if i.ctx.Err() != nil {
			err = i.ctx.Err()
		}
	}
	return n, err
}

// Close does not read what is left: that could take for ever.
func (i *inflow) Close() error {
	i.end(false)
	return nil
}

func (i *inflow) end(whole bool) {
	if i.over.Swap(true) {
		return
	}
	going := i.stop() // or the connection is being closed
	i.c.hurry()
	i.c.release(going && whole && i.clean && i.c.in.Buffered() == 0)
}

// ready reports whether there is more to read that will not be waited for.
func (i *inflow) ready() bool { return !i.over.Load() && i.c.in.Buffered() > 0 }

// joined is a connection that has switched protocols.
type joined struct{ *inflow }

func (j *joined) Read(b []byte) (int, error)  { return j.c.in.Read(b) }
func (j *joined) Write(b []byte) (int, error) { return j.c.Conn.Write(b) }

// CloseWrite tells the backend that nothing more will come.
func (j *joined) CloseWrite() error {
	if w, ok := j.c.Conn.(closeWriter); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

type closeWriter interface{ CloseWrite() error }
