// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// quick is how long the suite waits for subjects in memory, which take no time.
const quick = 15 * time.Millisecond

// memory is a subject without a data plane.
func memory(o traffic.Options) Subject {
	m := traffic.NewMemory(o)
	return subject(m, m)
}

// subject wraps the router r over the memory m, whose hooks it has.
func subject(m *traffic.Memory, r traffic.Router) Subject {
	return Subject{Router: r, Settle: quick, Foreign: func(_ context.Context, route traffic.Route, writer string) error {
		m.Foreign(route, writer)
		return nil
	}}
}

// plane is a data plane in memory that does what the router shows, unless one of
// its parts is exchanged.
type plane struct {
	pick  func(traffic.Route, Request) bool
	chose func(traffic.Route, Request) bool // without a match
}

func rightPlane() *plane {
	p := &plane{}
	p.chose = chooses
	p.pick = func(route traffic.Route, q Request) bool {
		return matched(route, q) || p.chose(route, q)
	}
	return p
}

// over is the subject s with a data plane, and with a restart that loses nothing.
func (p *plane) over(s Subject) Subject {
	s.Requests = 1000
	s.Send = func(ctx context.Context, q Request) (Answer, error) {
		seen, err := s.Router.Observe(ctx)
		if err != nil {
			return Answer{}, err
		}
		if seen.Route.IsZero() {
			return Answer{}, errors.New("no route")
		}
		answer := Answer{Arm: seen.Route.Arms.Stable}
		if name := seen.Route.Split.Sticky.Cookie; name != "" && q.Cookie[name] == "" {
			id := randomID()
			answer.Cookie = map[string]string{name: id}
			q = Request{Header: q.Header, Cookie: map[string]string{name: id}}
		}
		if p.pick(seen.Route, q) {
			answer.Arm = seen.Route.Arms.Candidate
		}
		return answer, nil
	}
	s.Restart = func(context.Context) (Subject, error) { return p.over(s), nil }
	return s
}

func randomID() string {
	b := make([]byte, 12)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26)) //nolint:gosec // an identity, no secret
	}
	return string(b)
}

func matched(route traffic.Route, q Request) bool {
	for _, m := range route.Split.Match {
		got := q.Header[m.Header]
		if m.Cookie != "" {
			got = q.Cookie[m.Cookie]
		}
		if got != "" && (m.Value == "" || got == m.Value) {
			return true
		}
	}
	return false
}

func key(route traffic.Route, q Request) string {
	if name := route.Split.Sticky.Cookie; name != "" {
		return q.Cookie[name]
	}
	return q.Header[route.Split.Sticky.Header]
}

// place is where a key stands between 0 and everything.
func place(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x % uint64(traffic.Full)
}

func chooses(route traffic.Route, q Request) bool {
	if k := key(route, q); k != "" {
		return place(k) < uint64(route.Split.Candidate)
	}
	return rand.Uint32N(uint32(traffic.Full)) < uint32(route.Split.Candidate) //nolint:gosec // chance, no secret
}
