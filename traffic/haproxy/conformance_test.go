// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package haproxy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("with a file", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, withNeighbours)
		traffictest.Run(t, func(t *testing.T) traffictest.Subject { return subject(t, s, s.file()) })
	})
	t.Run("giving cookies", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, func(s *server) {
			s.config.GiveCookies = true
			s.config.When = "{ path_beg / } or { path /never }"
			s.config.Name = "web"
			withNeighbours(s)
		})
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			subject := subject(t, s, haproxy.Options{})
			subject.Restart = nil // nothing is kept
			subject.Break = nil   // as above
			return subject
		})
	})
	t.Run("without names", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, func(s *server) { s.config = haproxy.Config{Map: s.config.Map} })
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			// What differs is what is refused; the rest is as above.
			whole := subject(t, s, s.file())
			return traffictest.Subject{Router: whole.Router, Foreign: whole.Foreign, Restart: whole.Restart, Another: whole.Another}
		})
	})
}

// Another rollout does not meet the same clients first.
func TestAnotherCandidateHasOtherClients(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(haproxy.Options{})
	data := &pool{front: s.front}
	t.Cleanup(data.close)
	route := split(traffic.Percent(50))
	route.Split.Sticky.Header = "X-User"
	on := func() (list []int) {
		t.Helper()
		for id := range 100 {
			answer, err := data.send(t.Context(), request("X-User", fmt.Sprint(id)))
			if err != nil {
				t.Fatal(err)
			}
			if answer.Arm == route.Arms.Candidate {
				list = append(list, id)
			}
		}
		return list
	}
	apply(t, r, 1, route)
	first := on()
	route.Arms.Stable, route.Arms.Candidate = route.Arms.Candidate, route.Arms.Stable
	apply(t, r, 2, route)
	if second := on(); slices.Equal(first, second) {
		t.Errorf("both candidates have the clients %v", first)
	}
}

// withNeighbours adds configuration of others, with a map of their own.
func withNeighbours(s *server) {
	s.write("other.map", "/a stable\n/b candidate\n0: 500000|x|y|-|,\n")
	s.more = fmt.Sprintf("frontend other\n    bind %s\n    use_backend %%[path,map(%s)]\n", routertest.FreeAddress(s.t), filepath.Join(s.dir, "other.map"))
}

var reference = regexp.MustCompile(`(?m)^0x[0-9a-f]+ `)

// subject is the server, cleared, behind a relay.
func subject(t *testing.T, s *server, o haproxy.Options) traffictest.Subject {
	t.Helper()
	s.must("clear map " + s.config.Map)
	s.write("route.map", "")
	data := &pool{front: s.front}
	t.Cleanup(data.close)
	between := newRelay(t, s.socket)
	instance := func(context.Context) (traffic.Router, error) {
		return haproxy.New("unix", between.path, s.config, o)
	}
	router, err := instance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	subject := traffictest.Subject{
		Router:  router,
		Send:    data.send,
		Connect: routertest.Connect(s.front),
		Foreign: func(_ context.Context, r traffic.Route, _ string) error { return s.foreign(r) },
		Break: func(ctx context.Context, f traffictest.Fault) (func(), error) {
			switch f {
			case traffictest.Down, traffictest.Hanging, traffictest.Garbage, traffictest.Deaf:
				return between.breaks(f), nil
			}
			return s.arms["candidate"].Break(ctx, f)
		},
		Another: instance,
		Rest: func(context.Context) (string, error) {
			text, err := os.ReadFile(filepath.Join(s.dir, "haproxy.cfg"))
			if s.more != "" {
				listed, also := s.ask("show map " + filepath.Join(s.dir, "other.map"))
				return string(text) + reference.ReplaceAllString(listed, ""), errors.Join(err, also)
			}
			return string(text), err
		},
	}
	subject.Restart = func(ctx context.Context) (traffictest.Subject, error) {
		data.close()
		s.kill()
		s.start()
		next := subject
		var err error
		next.Router, err = instance(ctx)
		return next, err
	}
	return subject
}

// foreign changes the value of the entry in force, as somebody does by hand.
func (s *server) foreign(r traffic.Route) error {
	listed, err := s.ask("show map " + s.config.Map)
	if err != nil {
		return err
	}
	value := fmt.Sprintf("%d|%s|%s|-|,", r.Split.Candidate, r.Arms.Stable, r.Arms.Candidate)
	fields := strings.Fields(listed)
	if len(fields) < 2 {
		return fmt.Errorf("no entry in %q", listed)
	}
	answer, err := s.ask("set map " + s.config.Map + " " + fields[1] + " " + value)
	if err == nil && answer != "\n" {
		err = errors.New(answer)
	}
	return err
}
