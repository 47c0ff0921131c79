// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// plane is a data plane that can be started.
type plane struct {
	name  string
	start func(ctx context.Context) (*running, error)
}

// running is one that was.
type running struct {
	router traffic.Router
	// connect opens a connection of a client's own, and tells how to send one
	// request on it, which names the arm that answered, and how to end it.
	connect func() (send func() (arm string, err error), end func(), err error)
	stop    func()
}

var planes = []plane{
	{"traffic/proxy", startProxy},
	{"traffic/grpc", startGRPC},
	{"traffic/haproxy", startHAProxy},
	{"traffic/xds", startXDS},
	{"traffic/nginx", startNginx},
}

// backend is a server that answers with its name what it has read to the end.
func backend(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(len(posted)) {
			http.Error(w, "half a request", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, name)
	}))
}

// backends starts both arms.
func backends() (stable, candidate *url.URL, stop func(), err error) {
	s, c := backend(arms.Stable), backend(arms.Candidate)
	stop = func() { s.Close(); c.Close() }
	if stable, err = url.Parse(s.URL); err != nil {
		return nil, nil, stop, err
	}
	candidate, err = url.Parse(c.URL)
	return stable, candidate, stop, err
}

func startProxy(context.Context) (*running, error) {
	stable, candidate, stop, err := backends()
	if err != nil {
		return nil, err
	}
	p, err := proxy.New(map[string][]*url.URL{arms.Stable: {stable}, arms.Candidate: {candidate}}, proxy.Options{})
	if err != nil {
		return nil, err
	}
	front := httptest.NewServer(p)
	return &running{p, posts(front.Listener.Addr().String()), func() { front.Close(); stop() }}, nil
}

const posted = "a body that is sent once"

// posts are POSTs on raw connections to address: what fails is not sent again.
func posts(address string) func() (func() (string, error), func(), error) {
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: shift.example\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(posted), posted)
	return func() (func() (string, error), func(), error) {
		conn, err := net.Dial("tcp", address) //nolint:noctx // it is on this machine
		if err != nil {
			return nil, nil, err
		}
		r := bufio.NewReader(conn)
		send := func() (string, error) {
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				return "", err
			}
			if _, err := io.WriteString(conn, request); err != nil {
				return "", err
			}
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				return "", err
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusOK {
				return "", fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body)))
			}
			return string(body), err
		}
		return send, func() { _ = conn.Close() }, nil
	}
}
