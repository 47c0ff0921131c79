// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	grpcsplit "github.com/rheostat-go/rheostat/traffic/grpc"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func TestCapsAreTheOnesOnRecord(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	routertest.Caps(t, routertest.Row{Router: "traffic/grpc", Note: "in the client", Caps: newConn(t, arms, grpcsplit.Options{}).Caps()})
}

// TestAClientIsOnTheSameSideByHTTPAndByGRPC asks package proxy and a Conn about
// the same users under the same route.
func TestAClientIsOnTheSameSideByHTTPAndByGRPC(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	backends := map[string][]*url.URL{}
	for name := range arms {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		backends[name] = []*url.URL{u}
	}
	p, err := proxy.New(backends, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: p.RoundTripper()}
	for i, sticky := range []traffic.Sticky{{Header: "X-User"}, {Cookie: "side"}} {
		route := split(traffic.Percent(30))
		route.Split.Sticky = sticky
		apply(t, c, uint64(i+1), route)
		if err := p.Apply(t.Context(), uint64(i+1), route); err != nil {
			t.Fatal(err)
		}
		on := map[string]int{}
		for user := range 300 {
			name, value := "X-User", "user-"+strconv.Itoa(user)
			if sticky.Cookie != "" {
				name, value = "Cookie", "other=1; side="+value
			}
			byGRPC, err := ask(t.Context(), c, name, value)
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://service.example/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(name, value)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			byHTTP, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || byGRPC != string(byHTTP) {
				t.Fatalf("%s: %s is on %q by gRPC and on %q by HTTP (%v)", name, value, byGRPC, byHTTP, err)
			}
			on[byGRPC]++
		}
		if on["candidate"] < 60 || on["candidate"] > 120 {
			t.Errorf("%v, want about 30%% of 300 on the candidate", on)
		}
	}
}

func TestNamesThatNoCallHasAreRefused(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	for _, name := range []string{"Content-Type", "grpc-timeout", "Host", "user-agent", "TE"} {
		byMatch, bySticky := split(0), split(0)
		byMatch.Split.Match = []traffic.Match{{Header: name}}
		bySticky.Split.Sticky.Header = name
		for _, r := range []traffic.Route{byMatch, bySticky} {
			if err := c.Apply(t.Context(), 1, r); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: %v, want it unsupported", name, err)
			}
		}
	}
	bad := split(0)
	bad.Split.Match = []traffic.Match{{Header: "x-ok"}, {Cookie: "a b"}}
	if err := c.Apply(t.Context(), 1, bad); err == nil || !strings.Contains(err.Error(), "match[1]") {
		t.Errorf("%v, want an error that names the match", err)
	}
}

func TestARouteIsRestoredOrNotAtAll(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	o := grpcsplit.Options{File: filepath.Join(t.TempDir(), "route.json")}
	apply(t, newConn(t, arms, o), 7, split(traffic.Full))
	c := newConn(t, arms, o)
	if got, err := ask(t.Context(), c); err != nil || got != "candidate" {
		t.Errorf("%q, %v answered first after a restart, want candidate", got, err)
	}
	if _, err := grpcsplit.New(map[string]*grpc.ClientConn{"stable": arms["stable"]}, o); err == nil || !strings.Contains(err.Error(), "give New every arm") {
		t.Errorf("%v, want an error about the arm", err)
	}
	if err := os.WriteFile(o.File, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := grpcsplit.New(arms, o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v, want an error about the file", err)
	}
	o.File = filepath.Join(t.TempDir(), "missing", "route.json")
	if _, err := grpcsplit.New(arms, o); err == nil {
		t.Error("no error about a folder that is not there")
	}
	if _, err := grpcsplit.New(arms, grpcsplit.Options{Default: "v9"}); err == nil || !strings.Contains(err.Error(), "candidate, stable") {
		t.Errorf("%v, want an error that names the arms", err)
	}
}

func TestRoomIsWhoCanBeReached(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	dead, err := grpc.NewClient("127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	see := func(ctx context.Context) traffic.Room {
		seen, err := c.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return seen.Room
	}
	if got := see(t.Context()); got != traffic.Plenty {
		t.Errorf("room %+v, want plenty", got)
	}
	if err := c.SetArm("candidate", dead); err != nil {
		t.Fatal(err)
	}
	if got, want := see(t.Context()), (traffic.Room{Known: true, Stable: traffic.Full}); got != want {
		t.Errorf("room %+v with a candidate that cannot be reached, want %+v", got, want)
	}
	c = newConn(t, arms, grpcsplit.Options{Room: func(context.Context) (traffic.Room, error) { return traffic.Plenty, errors.New("not now") }})
	apply(t, c, 1, split(0))
	if got := see(t.Context()); got.Known {
		t.Errorf("room %+v, want it not known", got)
	}
}

func TestArmsComeAndGo(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	if err := c.RemoveArm("candidate"); err == nil || !strings.Contains(err.Error(), "in force") {
		t.Errorf("%v, want an error about the route", err)
	}
	third, _ := dial(t, "v3")
	if err := c.SetArm("v3", third); err != nil {
		t.Fatal(err)
	}
	apply(t, c, 2, traffic.Route{Arms: traffic.Arms{Stable: "stable", Candidate: "v3"}, Split: traffic.Split{Candidate: traffic.Full}})
	if got, err := ask(t.Context(), c); err != nil || got != "v3" {
		t.Errorf("%q, %v, want v3", got, err)
	}
	if err := c.RemoveArm("candidate"); err != nil {
		t.Error(err)
	}
	if got := c.Arms(); strings.Join(got, " ") != "stable v3" {
		t.Errorf("arms %v", got)
	}
	if c.SetArm("", third) == nil || c.SetArm("v4", nil) == nil || c.RemoveArm("v4") == nil {
		t.Error("no error about an arm without a name, without a ClientConn or that is not there")
	}
}
