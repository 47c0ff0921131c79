// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package routertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// NewRequest is q over HTTP, to a host and port. A POST has a body.
func NewRequest(ctx context.Context, method, host string, q traffictest.Request) (*http.Request, error) {
	values := url.Values{}
	for k, v := range q.Query {
		values.Set(k, v)
	}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/?"+values.Encode(), body)
	if err != nil {
		return nil, err
	}
	for k, v := range q.Header {
		req.Header.Set(k, v)
	}
	for k, v := range q.Cookie {
		req.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	return req, nil
}

// ReadAnswer reads and closes what an arm has answered. Anything but a 200 is an error.
func ReadAnswer(res *http.Response) (traffictest.Answer, error) {
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode != http.StatusOK {
		err = errors.New("no answer of an arm")
	}
	if err != nil {
		return traffictest.Answer{}, fmt.Errorf("%s %q: %w", res.Status, body, err)
	}
	answer := traffictest.Answer{Arm: string(body), Cookie: map[string]string{}}
	for _, cookie := range res.Cookies() {
		answer.Cookie[cookie.Name] = cookie.Value
	}
	return answer, nil
}

// Client is one connection that stays open and is never replaced by another.
type Client struct {
	host string
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to a host and port.
func Dial(ctx context.Context, host string) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &Client{host, conn, bufio.NewReader(conn)}, nil
}

// Send is a POST, which nobody replays.
func (c *Client) Send(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
	req, err := NewRequest(ctx, http.MethodPost, c.host, q)
	if err != nil {
		return traffictest.Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := req.Write(c.conn); err != nil {
		return traffictest.Answer{}, err
	}
	res, err := http.ReadResponse(c.in, req)
	if err != nil {
		return traffictest.Answer{}, err
	}
	return ReadAnswer(res)
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// Connect dials a host and port for Subject.Connect of the suite.
func Connect(host string) func(context.Context) (*traffictest.Conn, error) {
	return func(ctx context.Context) (*traffictest.Conn, error) {
		c, err := Dial(ctx, host)
		if err != nil {
			return nil, err
		}
		return &traffictest.Conn{Send: c.Send, Close: c.Close}, nil
	}
}
