// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// versionHeader names the version that answered.
const versionHeader = "Version"

// share of v3's answers that are errors, once it has begun to fail.
const failShare = 0.3

// service is one version of the web service.
type service struct {
	version string
	*server
	// failing makes some of its answers errors, and failed counts them.
	failing atomic.Bool
	failed  atomic.Uint64
}

func startService(version string) (*service, error) {
	s := &service{version: version}
	var err error
	s.server, err = listen("127.0.0.1:0", s)
	return s, err
}

// ServeHTTP takes a moment, as real services do.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pause := time.NewTimer(time.Millisecond + rand.N(3*time.Millisecond))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-r.Context().Done():
		return
	}
	w.Header().Set(versionHeader, s.version)
	if s.failing.Load() && rand.Float64() < failShare {
		s.failed.Add(1)
		http.Error(w, s.version+" cannot cope", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, "hello from "+s.version+"\n") // a client that left is no error of ours
}

// server is an http.Server that listens already.
type server struct {
	url  *url.URL
	http *http.Server
	done chan error
}

// listen serves h at a loopback address, and refuses any other.
func listen(address string, h http.Handler) (*server, error) {
	at, err := loopback(address)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return nil, err
	}
	s := &server{
		url:  &url.URL{Scheme: "http", Host: l.Addr().String()},
		http: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// stop lets requests under way finish, for a while. A connection that was opened
// and never used is not worth waiting for.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
