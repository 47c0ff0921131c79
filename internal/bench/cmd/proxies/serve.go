// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// serve is a child's main: it prints where it serves, HTTP/1.1 and HTTP/2, and
// ends with its standard input.
func serve(role, backend string, size int) error {
	h, err := handler(role, backend, size)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "proxies:", err)
			os.Exit(1)
		}
	}()
	fmt.Println("http://" + l.Addr().String())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func handler(role, backend string, size int) (http.Handler, error) {
	u, err := url.Parse(backend)
	if err != nil {
		return nil, err
	}
	switch role {
	case "backend":
		body := bytes.Repeat([]byte("x"), size)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write(body)
		}), nil
	case "split":
		return split(u, traffic.Split{Candidate: 250_000})
	case "sticky":
		return split(u, traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Cookie: "side"}})
	case "tuned":
		return &httputil.ReverseProxy{
			BufferPool: &buffers{},
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 1024, IdleConnTimeout: 90 * time.Second,
				ResponseHeaderTimeout: time.Minute, DisableCompression: true,
			},
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(u)
				r.Out.Host = r.In.Host
				r.SetXForwarded()
			},
		}, nil
	case "default":
		return httputil.NewSingleHostReverseProxy(u), nil
	}
	return nil, fmt.Errorf("there is no role %q", role)
}

// split is the product: both arms are the same backend, so that all carry the same.
func split(u *url.URL, s traffic.Split) (http.Handler, error) {
	p, err := proxy.New(map[string][]*url.URL{"v1": {u}, "v2": {u}}, proxy.Options{})
	if err != nil {
		return nil, err
	}
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: s}
	if err := p.Apply(context.Background(), 1, route); err != nil {
		return nil, err
	}
	return p, nil
}

// buffers is what anybody who tunes a ReverseProxy gives it.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return buf[:]
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put((*[32 << 10]byte)(buf)) }
