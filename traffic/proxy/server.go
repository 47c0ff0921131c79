// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"time"
)

const (
	headTimeout   = 10 * time.Second
	clientIdle    = 3 * time.Minute
	clientHead    = 64 << 10
	clientStreams = 1000
)

// NewServer is a server for h, a Proxy or what is in front of one, with what a port
// that anybody can reach needs: ten seconds and 64 KiB for a request's head, three
// minutes for a connection without a request, HTTP/1.1, HTTP/2, and HTTP/2 without
// TLS, at most 1000 requests at once on one connection. Bodies may take as long as
// they like, since streams do. Change what does not suit before it listens.
func NewServer(h http.Handler) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headTimeout, IdleTimeout: clientIdle, MaxHeaderBytes: clientHead,
		Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: clientStreams},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
