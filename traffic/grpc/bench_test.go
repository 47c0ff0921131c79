// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/rheostat-go/rheostat/traffic"
)

// compiled is a Conn whose arms are never connected to.
func compiled(tb testing.TB, s traffic.Split) *Conn {
	tb.Helper()
	arms := map[string]*grpc.ClientConn{}
	for _, name := range []string{"v1", "v2"} {
		to, err := grpc.NewClient("127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { to.Close() })
		arms[name] = to
	}
	c, err := New(arms, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Apply(tb.Context(), 1, traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: s}); err != nil {
		tb.Fatal(err)
	}
	return c
}

func outgoing(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-user", "fedcba9876543210", "cookie", "theme=dark; side=fedcba9876543210")
}

func TestPickingAllocatesNothing(t *testing.T) {
	c := compiled(t, traffic.Split{Candidate: 500_000})
	ctx := outgoing(t.Context())
	if n := testing.AllocsPerRun(100, func() { c.begin(ctx).active.Add(-1) }); n != 0 {
		t.Errorf("a pick allocates %v times, want 0", n)
	}
}

func TestNoCallBeginsOnARouteThatHasGone(t *testing.T) {
	t.Parallel()
	c := compiled(t, traffic.Split{})
	old := c.plan.Load()
	if a, ok := c.beginOn(t.Context(), old); !ok || a.name != "v1" {
		t.Fatalf("%v, %v, want a call on v1", a, ok)
	}
	if err := c.Apply(t.Context(), 2, traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Full}}); err != nil {
		t.Fatal(err)
	}
	if a, ok := c.beginOn(t.Context(), old); ok {
		t.Errorf("a call began on %s after the route had gone", a.name)
	}
	readings, err := c.Meter(t.Context())
	if err != nil || readings["v1"] != (traffic.Reading{Requests: 1, Active: 1}) {
		t.Errorf("the meter says %+v, %v, want the one call", readings["v1"], err)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, bb := range []struct {
		name  string
		split traffic.Split
	}{
		{"random", traffic.Split{Candidate: 250_000}},
		{"header", traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Header: "X-User"}}},
		{"cookie", traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Cookie: "side"}}},
		{"match", traffic.Split{Match: []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Cookie: "side", Value: "fedcba9876543210"}}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p, ctx := compiled(b, bb.split).plan.Load(), outgoing(b.Context())
			b.ReportAllocs()
			for b.Loop() {
				p.pick(ctx)
			}
		})
	}
	b.Run("random and counted", func(b *testing.B) {
		c, ctx := compiled(b, traffic.Split{Candidate: 250_000}), outgoing(b.Context())
		b.ReportAllocs()
		for b.Loop() {
			c.begin(ctx).active.Add(-1)
		}
	})
}
