// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rheostat-go/rheostat/traffic"
	grpcsplit "github.com/rheostat-go/rheostat/traffic/grpc"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const (
	unary  = "/test.Arm/Name"
	stream = "/test.Arm/Names"
)

var streams = &grpc.StreamDesc{StreamName: "Names", ServerStreams: true, ClientStreams: true}

// server answers with its name, unless it is told to hang or to fail.
type server struct {
	name  string
	mode  atomic.Int32 // of the kind traffictest.Fault, 0 is well
	mends chan struct{}
	code  atomic.Uint32
}

func (s *server) answer(ctx context.Context) error {
	switch traffictest.Fault(s.mode.Load()) { //nolint:gosec // it came from one
	case traffictest.CandidateHanging:
		select {
		case <-s.mends:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	case traffictest.CandidateFailing:
		return status.Error(codes.Internal, "told to fail")
	default:
	}
	if code := codes.Code(s.code.Load()); code != codes.OK {
		return status.Error(code, "told to")
	}
	return nil
}

var service = grpc.ServiceDesc{
	ServiceName: "test.Arm",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Name", Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		s, _ := srv.(*server)
		if err := dec(&emptypb.Empty{}); err != nil {
			return nil, err
		}
		return wrapperspb.String(s.name), s.answer(ctx)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Names", ServerStreams: true, ClientStreams: true, Handler: func(srv any, ss grpc.ServerStream) error {
		s, _ := srv.(*server)
		for {
			if err := ss.RecvMsg(&emptypb.Empty{}); errors.Is(err, io.EOF) {
				return s.answer(ss.Context())
			} else if err != nil {
				return err
			}
			if err := ss.SendMsg(wrapperspb.String(s.name)); err != nil {
				return err
			}
		}
	}}},
}

// dial is a ClientConn to a real server on loopback, which both end with the test.
func dial(t *testing.T, name string) (*grpc.ClientConn, *server) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{name: name}
	g := grpc.NewServer()
	g.RegisterService(&service, s)
	go func() { _ = g.Serve(lis) }()
	t.Cleanup(g.Stop)
	to, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return to, s
}

// pair is two arms called as the suite calls them.
func pair(t *testing.T) (arms map[string]*grpc.ClientConn, candidate *server) {
	t.Helper()
	stable, _ := dial(t, "stable")
	to, candidate := dial(t, "candidate")
	return map[string]*grpc.ClientConn{"stable": stable, "candidate": to}, candidate
}

func newConn(t *testing.T, arms map[string]*grpc.ClientConn, o grpcsplit.Options) *grpcsplit.Conn {
	t.Helper()
	c, err := grpcsplit.New(arms, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func split(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "stable", Candidate: "candidate"}, Split: traffic.Split{Candidate: w}}
}

func apply(t *testing.T, c *grpcsplit.Conn, fence uint64, r traffic.Route) {
	t.Helper()
	if err := c.Apply(t.Context(), fence, r); err != nil {
		t.Fatal(err)
	}
}

// ask makes a unary call and tells who answered.
func ask(ctx context.Context, c grpc.ClientConnInterface, pairs ...string) (string, error) {
	reply := &wrapperspb.StringValue{}
	err := c.Invoke(metadata.AppendToOutgoingContext(ctx, pairs...), unary, &emptypb.Empty{}, reply)
	return reply.GetValue(), err
}

func sender(c grpc.ClientConnInterface) func(context.Context, traffictest.Request) (traffictest.Answer, error) {
	return func(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
		var pairs, cookies []string
		for k, v := range q.Header {
			pairs = append(pairs, k, v)
		}
		for k, v := range q.Cookie {
			cookies = append(cookies, k+"="+v)
		}
		if cookies != nil {
			pairs = append(pairs, "cookie", strings.Join(cookies, "; "))
		}
		arm, err := ask(ctx, c, pairs...)
		return traffictest.Answer{Arm: arm}, err
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		arms, candidate := pair(t)
		return subject(t, arms, candidate, grpcsplit.Options{File: filepath.Join(t.TempDir(), "route.json")})
	})
}

func subject(t *testing.T, arms map[string]*grpc.ClientConn, candidate *server, o grpcsplit.Options) traffictest.Subject {
	t.Helper()
	var again func(context.Context) (traffictest.Subject, error)
	again = func(context.Context) (traffictest.Subject, error) {
		c, err := grpcsplit.New(arms, o)
		if err != nil {
			return traffictest.Subject{}, err
		}
		return traffictest.Subject{
			Router: c, Send: sender(c), Restart: again,
			Connect: func(context.Context) (*traffictest.Conn, error) {
				return &traffictest.Conn{Send: sender(c), Close: func() {}}, nil
			},
			Break: func(_ context.Context, f traffictest.Fault) (func(), error) {
				if f != traffictest.CandidateHanging && f != traffictest.CandidateFailing {
					return nil, fmt.Errorf("%v: %w", f, errors.ErrUnsupported) // there is no control plane
				}
				mends := make(chan struct{})
				candidate.mends = mends
				candidate.mode.Store(int32(f))
				return func() {
					if candidate.mode.Swap(0) != 0 {
						close(mends)
					}
				}, nil
			},
		}, nil
	}
	s, err := again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
