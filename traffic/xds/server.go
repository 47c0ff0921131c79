// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// defaultClients is how many clients there may be unless Options say otherwise.
	defaultClients = 10_000
	// A client that has gone without a word is noticed after these two.
	pingAfter, pingTimeout = 20 * time.Second, 10 * time.Second
	// clientPings is how often clients may ask whether the server is there.
	clientPings = 5 * time.Second
)

// Options shape a [Server]. The zero value works.
type Options struct {
	// Clients bounds how many streams of clients there may be at once; one more is
	// refused as ResourceExhausted. 0 is 10,000.
	Clients int

	// GRPC are options of the server that Serve makes, such as credentials: without
	// these it is in plain text, and anybody who reaches it can read every route.
	GRPC []grpc.ServerOption
}

// Server is a control plane for any number of services. It is safe for concurrent
// use; make it with [New].
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	options Options
	// boot begins all versions, so that those of a server before are others.
	boot string

	mu      sync.Mutex
	routers map[string]*Router
	config  *config
	changed chan struct{} // closed and exchanged with the config
	clients map[*client]struct{}
}

// New makes a server without routers.
func New(o Options) *Server {
	if o.Clients <= 0 {
		o.Clients = defaultClients
	}
	return &Server{
		options: o,
		boot:    strconv.FormatInt(time.Now().UnixNano(), 36),
		routers: map[string]*Router{},
		config:  &config{resources: map[string]map[string]resource{}},
		changed: make(chan struct{}),
		clients: map[*client]struct{}{},
	}
}

// Register serves ADS on a gRPC server of the caller's. It should notice clients
// that have gone without a word: see [keepalive.ServerParameters].
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
}

// Serve serves ADS on lis until ctx ends, which is no error, or the listener
// fails. It closes lis. Make all routers before.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPings, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}, s.options.GRPC...)...)
	s.Register(g)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { g.Stop(); close(stopped) })
	err := g.Serve(lis)
	if !stop() {
		<-stopped
		return nil
	}
	return fmt.Errorf("xds: serve: %w", err)
}

// config is all resources at one moment. It is never changed, only exchanged.
type config struct {
	seq       uint64
	resources map[string]map[string]resource // by type and name
}

// resource is one that clients may ask for.
type resource struct {
	typeURL, name string
	body          []byte
	seq           uint64 // of the config that it last changed with
	router        string
	// For a listener: everything is asked for by Envoys, names by gRPC clients.
	onlyNamed, onlyWildcard bool
}

// publish replaces the resources of one router.
func (s *Server) publish(router string, list []resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &config{seq: s.config.seq + 1, resources: map[string]map[string]resource{}}
	for typeURL, known := range s.config.resources {
		next.resources[typeURL] = maps.Clone(known)
		maps.DeleteFunc(next.resources[typeURL], func(_ string, r resource) bool { return r.router == router })
	}
	for _, r := range list {
		r.seq, r.router = next.seq, router
		if was, ok := s.config.resources[r.typeURL][r.name]; ok && bytes.Equal(was.body, r.body) {
			r.seq = was.seq
		}
		if next.resources[r.typeURL] == nil {
			next.resources[r.typeURL] = map[string]resource{}
		}
		next.resources[r.typeURL][r.name] = r
	}
	s.config = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// add reserves the router's name.
func (s *Server) add(r *Router) error {
	if r.name == "" || strings.ContainsFunc(r.name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '/' }) {
		return fmt.Errorf("name %q: want letters, digits and dashes", r.name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routers[r.name] != nil {
		return errors.New("there is a router of that name already")
	}
	s.routers[r.name] = r
	return nil
}

func (s *Server) remove(r *Router) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.routers, r.name)
}
