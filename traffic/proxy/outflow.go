// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// shortBody is how long a request's body may be that is read before the
	// request is sent, and sent with it in one go.
	shortBody = 8 << 10
	// continueTimeout is how long a client that expects to be told to go on is
	// kept waiting; backends that know nothing of it say nothing.
	continueTimeout = time.Second
	// lastBytes is how long a backend that has answered may take to accept what
	// is being sent to it.
	lastBytes = time.Second
)

// outflow sends a request's body while its answer is waited for.
type outflow struct {
	c       *conn
	req     *http.Request
	framing framing
	timeout time.Duration
	goOn    chan bool // nil unless the client expects to be told
}

func newOutflow(c *conn, req *http.Request, f framing, t *trip) *outflow {
	o := &outflow{c: c, req: req, framing: f, timeout: t.timeout}
	if expectsContinue(req) {
		o.goOn = make(chan bool, 1)
	}
	return o
}

func expectsContinue(req *http.Request) bool {
	for _, value := range req.Header["Expect"] {
		if strings.EqualFold(strings.TrimSpace(value), "100-continue") {
			return true
		}
	}
	return false
}

// proceed says whether the body is wanted. Only the first word counts.
func (o *outflow) proceed(wanted bool) {
	if o == nil || o.goOn == nil {
		return
	}
	select {
	case o.goOn <- wanted:
	default:
	}
}

// wanted waits until it is known whether the body is.
func (o *outflow) wanted() bool {
	if o.goOn == nil {
		return true
	}
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case wanted := <-o.goOn:
		return wanted
	case <-timer.C:
		return true
	case <-o.req.Context().Done():
		return false
	}
}

var errUnwanted = errors.New("the backend has answered and does not want the body")

// run sends the body and lets go of the connection.
func (o *outflow) run() {
	defer o.c.leave()
	read, err := error(nil), errUnwanted
	if o.wanted() {
		read, err = o.send()
	}
	_ = o.req.Body.Close() // it has been read, or is of no use
	if read != nil {
		err = read
	}
	o.c.bodySent(err, o.timeout)
	if read != nil {
		_ = o.c.Conn.Close() // the backend must not take half a body for a whole one
	}
}

// bodySent takes note that the body has been sent, or why not.
func (c *conn) bodySent(err error, timeout time.Duration) {
	if err != nil {
		c.broken.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.fault = true, err
	if err != nil && errors.Is(err, errWrite) {
		c.fault = nil // the backend may have closed this half, and answered
	}
	if !c.begun && timeout > 0 {
		c.timed = true
		_ = c.SetDeadline(time.Now().Add(timeout)) // it fails where Read will, too
	}
}

// hurry bounds the time for the rest of the body, when the answer is over.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sent {
		c.timed = true
		_ = c.SetWriteDeadline(time.Now().Add(lastBytes)) // it fails where Write will, too
	}
}

var errWrite = errors.New("send the body")

// send copies the body. read is why it could not be read; err why it could not
// be written.
func (o *outflow) send() (read, err error) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	if o.framing.chunked {
		return o.sendChunks(buf)
	}
	for left := o.framing.length; left > 0; {
		n, err := o.req.Body.Read(buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		if n > 0 {
			if _, err := o.c.Conn.Write(buf[:n]); err != nil {
				return nil, fmt.Errorf("%w: %w", errWrite, err)
			}
		}
		if err != nil && left > 0 {
			return shorter(err), nil
		}
	}
	return nil, nil
}

func shorter(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// room is what a chunk needs in front and behind: its size in hexadecimal and
// two line ends.
const (
	roomBefore = 6
	roomBehind = 2
)

func (o *outflow) sendChunks(buf []byte) (read, err error) {
	for {
		n, err := o.req.Body.Read(buf[roomBefore : len(buf)-roomBehind])
		if n > 0 {
			if _, err := o.c.Conn.Write(chunk(buf, n)); err != nil {
				return nil, fmt.Errorf("%w: %w", errWrite, err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			tail, err := o.trailer(buf[:0])
			if err != nil {
				return err, nil
			}
			if _, err := o.c.Conn.Write(tail); err != nil {
				return nil, fmt.Errorf("%w: %w", errWrite, err)
			}
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}

// chunk frames the n bytes in buf from roomBefore on, in place.
func chunk(buf []byte, n int) []byte {
	var size [roomBefore]byte
	digits := strconv.AppendInt(size[:0], int64(n), 16)
	begin := roomBefore - len(digits) - 2
	copy(buf[begin:], digits)
	copy(buf[roomBefore-2:], "\r\n")
	copy(buf[roomBefore+n:], "\r\n")
	return buf[begin : roomBefore+n+2]
}

// trailer is the end of the chunks. What the body has brought along is there now.
func (o *outflow) trailer(b []byte) ([]byte, error) {
	b = append(b, "0\r\n"...)
	for name, values := range o.req.Trailer {
		for _, value := range values {
			if !isToken(name) || frames(name) || !isValue(value) {
				return nil, fmt.Errorf("the request's trailer %q cannot be sent on", name)
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, value...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...), nil
}
