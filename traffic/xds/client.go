// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// The types that are served, in the order in which they are sent: what is named
// comes before what names it.
const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

var types = [...]string{clusterType, endpointType, listenerType, routeType}

const (
	maxNames  = 10_000 // that a client may ask for of one type
	maxDetail = 500    // bytes that are kept of what a client says
)

// client is one stream and what is known of it. The server's mutex guards it.
type client struct {
	node  string
	sent  uint64 // responses, which makes nonces
	types map[string]*subscription
}

// subscription is what a client wants of one type and has.
type subscription struct {
	names    []string
	wildcard bool
	// sent are the resources of the last response, by name and the seq of each;
	// nonce names it. One response of a type is under way at a time: a client that
	// is slow gets the newest next, and not all in between.
	sent    map[string]uint64
	nonce   string
	waiting bool // for the answer to it

	acked   map[string]uint64 // what the client has accepted
	refused map[string]uint64 // what it has refused since
	detail  string            // why
}

// StreamAggregatedResources serves one client.
func (s *Server) StreamAggregatedResources(ads discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	ctx := ads.Context()
	c := &client{types: map[string]*subscription{}}
	if p, ok := peer.FromContext(ctx); ok {
		c.node = p.Addr.String() // until it says its name
	}
	if err := s.join(c); err != nil {
		return err
	}
	defer s.leave(c)
	requests, failed := make(chan *discoveryv3.DiscoveryRequest), make(chan error, 1)
	go func() { // ends with the stream
		for {
			req, err := ads.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		response, changed := s.due(c)
		if response != nil {
			if err := ads.Send(response); err != nil {
				return err
			}
			continue
		}
		select {
		case req := <-requests:
			if err := s.take(c, req); err != nil {
				return err
			}
		case <-changed:
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (s *Server) join(c *client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) >= s.options.Clients {
		return status.Errorf(codes.ResourceExhausted, "xds: there are %d clients already", len(s.clients))
	}
	s.clients[c] = struct{}{}
	return nil
}

func (s *Server) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// take notes what a client asks for, and what it says to the last response.
func (s *Server) take(c *client, req *discoveryv3.DiscoveryRequest) error {
	if len(req.GetResourceNames()) > maxNames {
		return status.Errorf(codes.InvalidArgument, "xds: %d names; at most %d are served", len(req.GetResourceNames()), maxNames)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if node := req.GetNode(); node.GetId() != "" { // said once, with the first request
		c.node = name(node)
	}
	if !slices.Contains(types[:], req.GetTypeUrl()) {
		return nil
	}
	sub, known := c.types[req.GetTypeUrl()]
	if !known {
		sub = &subscription{}
		c.types[req.GetTypeUrl()] = sub
	} else if req.GetResponseNonce() != sub.nonce {
		return nil // it has not read the last response yet, and will say it all again
	}
	sub.want(req.GetResourceNames(), !known && goes(req.GetTypeUrl()))
	if sub.nonce == "" {
		return nil
	}
	sub.waiting = false
	if refusal := req.GetErrorDetail(); refusal != nil {
		sub.refused, sub.detail = sub.sent, clip(refusal.GetMessage(), maxDetail)
	} else {
		sub.acked, sub.refused, sub.detail = sub.sent, nil, ""
	}
	return nil
}

// want notes what the client asks for now. To ask for no name at all is to ask for
// everything when it is said first, and for nothing later. What it no longer asks
// for it forgets, and must be sent again if it asks again.
func (s *subscription) want(names []string, first bool) {
	s.names = names
	switch {
	case slices.Contains(names, "*"):
		s.wildcard = true
	case len(names) > 0:
		s.wildcard = false
	case first:
		s.wildcard = true
	}
	if s.wildcard {
		return
	}
	sent := map[string]uint64{}
	for _, name := range names {
		if seq, ok := s.sent[name]; ok {
			sent[name] = seq
		}
	}
	s.sent = sent
}

// goes reports whether a resource of the type goes by not being sent any more.
func goes(typeURL string) bool { return typeURL == listenerType || typeURL == clusterType }

// name is what errors call a client.
func name(node *corev3.Node) string {
	text := clip(node.GetId(), 100)
	if agent := node.GetUserAgentName(); agent != "" {
		text += " (" + clip(strings.TrimSpace(agent+" "+node.GetUserAgentVersion()), 50) + ")"
	}
	return text
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// due is the next response for the client, and counts it as sent; or nil, and
// what to wait for.
func (s *Server) due(c *client) (*discoveryv3.DiscoveryResponse, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, typeURL := range types {
		sub := c.types[typeURL]
		if sub == nil || sub.waiting {
			continue
		}
		list := s.config.wanted(typeURL, sub)
		if !sub.behind(typeURL, list) {
			continue
		}
		c.sent++
		sub.nonce, sub.waiting, sub.sent = strconv.FormatUint(c.sent, 10), true, map[string]uint64{}
		response := &discoveryv3.DiscoveryResponse{
			TypeUrl: typeURL, Nonce: sub.nonce, VersionInfo: fmt.Sprintf("%s.%d", s.boot, s.config.seq),
		}
		for _, r := range list {
			sub.sent[r.name] = r.seq
			response.Resources = append(response.Resources, &anypb.Any{TypeUrl: typeURL, Value: r.body})
		}
		return response, nil
	}
	return nil, s.changed
}

// wanted is what there is of what the client asks for.
func (c *config) wanted(typeURL string, sub *subscription) (list []resource) {
	all := c.resources[typeURL]
	if sub.wildcard {
		for _, r := range all {
			if !r.onlyNamed {
				list = append(list, r)
			}
		}
		return list
	}
	for _, name := range sub.names {
		if r, ok := all[name]; ok && !r.onlyWildcard {
			list = append(list, r)
		}
	}
	return list
}

// behind reports whether the client should be sent the list: something in it is
// new to it, or something it was sent is gone. It is never sent that all it asks
// for is gone when it comes: it may have that from a server before.
func (s *subscription) behind(typeURL string, list []resource) bool {
	for _, r := range list {
		if s.sent[r.name] != r.seq {
			return true
		}
	}
	return len(list) < len(s.sent) && goes(typeURL)
}

// knows reports whether the client has a resource as it is now, has refused it,
// or, with asks false, does not want it.
func (c *client) knows(r resource) (asks, has bool, refusal string) {
	sub := c.types[r.typeURL]
	switch {
	case sub == nil:
		return false, false, ""
	case sub.wildcard:
		asks = !r.onlyNamed
	default:
		asks = !r.onlyWildcard && slices.Contains(sub.names, r.name)
	}
	if !asks {
		return false, false, ""
	}
	if at, ok := sub.refused[r.name]; ok && at == r.seq && sub.acked[r.name] != r.seq {
		return true, false, sub.detail
	}
	return true, sub.acked[r.name] == r.seq, ""
}
