// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"hash/fnv"
	"math/rand/v2"

	"github.com/rheostat-go/rheostat/traffic"
)

// plane is how a data plane works, part by part, so that each can be exchanged.
type plane struct {
	view    func(*target) (traffic.Route, error)         // what it goes by
	pick    func(traffic.Route, Request) bool            // whether the candidate answers
	chose   func(traffic.Route, Request) bool            // the same without a match
	copying func(traffic.Route) bool                     // whether a request of stable's is copied
	copied  func(context.Context, *target, string) error // sends the copy to an arm
}

func rightPlane() (p plane) {
	return plane{
		view: func(t *target) (traffic.Route, error) {
			seen, err := t.Memory.Observe(context.Background())
			return seen.Route, err
		},
		chose:   chooses,
		copying: func(route traffic.Route) bool { return rand.Uint32N(uint32(traffic.Full)) < uint32(route.Split.Mirror) }, //nolint:gosec // chance
		copied: func(_ context.Context, t *target, arm string) error {
			t.copies.Add(1)
			go func() { _ = t.arm(context.Background(), arm) }()
			return nil
		},
	}.matching(matched)
}

// matching is p with another way to match.
func (p plane) matching(matches func(traffic.Route, Request) bool) plane {
	chose := p.chose
	p.pick = func(route traffic.Route, q Request) bool { return matches(route, q) || chose(route, q) }
	return p
}

// choosing is p with another way to choose.
func (p plane) choosing(chose func(traffic.Route, Request) bool) plane {
	p.chose = chose
	return p.matching(matched)
}

func matched(route traffic.Route, q Request) bool {
	for _, m := range route.Split.Match {
		if got := q.Header[m.Header] + q.Cookie[m.Cookie] + q.Query[m.Query]; got != "" && (m.Value == "" || got == m.Value) {
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

// salted is q with a key that is mixed with salt.
func salted(route traffic.Route, q Request, salt string) Request {
	k := key(route, q)
	if k == "" {
		return q
	}
	if name := route.Split.Sticky.Cookie; name != "" {
		return Request{Cookie: map[string]string{name: salt + k}}
	}
	return Request{Header: map[string]string{route.Split.Sticky.Header: salt + k}}
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
