// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// quick is how long the suite waits for subjects in memory, which take no time.
const quick = 15 * time.Millisecond

var errBroken = errors.New("the target is broken")

// target is a whole target in memory: its configuration, a control plane that
// can be broken, and a data plane that does what is configured unless one of its
// parts is exchanged.
type target struct {
	*traffic.Memory
	plane

	mu     sync.Mutex
	broken map[Fault]chan struct{} // closed when it is mended
	rest   string
	arms   map[string]traffic.Reading

	settle time.Duration
	copies atomic.Uint64
	busy   atomic.Int64 // writers at this moment, for those that get in each other's way
	salt   atomic.Pointer[string]
}

func newTarget(o traffic.Options) *target {
	return &target{
		Memory: traffic.NewMemory(o),
		plane:  rightPlane(),
		settle: quick,
		broken: map[Fault]chan struct{}{},
		rest:   "# ours\nlisten 80\n\nroute /other\n",
		arms:   map[string]traffic.Reading{"stable": {}, "candidate": {}},
	}
}

// subject is the router r over the target, with every hook there is.
func (t *target) subject(r traffic.Router) Subject {
	s := Subject{
		Router:   r,
		Settle:   t.settle,
		Requests: 1000,
		Foreign: func(_ context.Context, route traffic.Route, writer string) error {
			t.Foreign(route, writer)
			return nil
		},
		Send:    t.send,
		Connect: func(context.Context) (*Conn, error) { return &Conn{Send: t.send, Close: func() {}}, nil },
		Copies:  t.copies.Load,
		Break:   func(_ context.Context, f Fault) (func(), error) { return t.breaks(f), nil },
		Another: func(context.Context) (traffic.Router, error) { return r, nil },
		Rest: func(context.Context) (string, error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.rest, nil
		},
	}
	s.Restart = func(context.Context) (Subject, error) { return t.subject(r), nil }
	return s
}

// memory is a subject without a data plane.
func memory(o traffic.Options) Subject {
	m := traffic.NewMemory(o)
	return Subject{Router: m, Settle: quick, Foreign: func(_ context.Context, route traffic.Route, writer string) error {
		m.Foreign(route, writer)
		return nil
	}}
}

// breaks makes a fault.
func (t *target) breaks(f Fault) (mend func()) {
	mended := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken[f] = mended
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.broken, f)
		close(mended)
	})
}

// isBroken is nil, or a channel that is closed when the fault is mended.
func (t *target) isBroken(f Fault) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.broken[f]; c != nil {
		return c
	}
	return nil
}

// blind reports whether the control plane is broken.
func (t *target) blind() bool {
	return t.isBroken(Down) != nil || t.isBroken(Hanging) != nil || t.isBroken(Garbage) != nil
}

// control makes a call to the control plane.
func (t *target) control(ctx context.Context, call func() error) error {
	switch {
	case t.isBroken(Down) != nil, t.isBroken(Garbage) != nil:
		return errBroken
	}
	if mended := t.isBroken(Hanging); mended != nil {
		select {
		case <-mended:
			return errBroken
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := call(); t.isBroken(Deaf) == nil {
		return err
	}
	return errBroken
}

// Apply is what a right router does.
func (t *target) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	return t.control(ctx, func() error { return t.Memory.Apply(ctx, fence, r) })
}

// Observe is what a right router does.
func (t *target) Observe(ctx context.Context) (seen traffic.Seen, err error) {
	err = t.control(ctx, func() (err error) { seen, err = t.Memory.Observe(ctx); return err })
	if err != nil {
		return traffic.Seen{}, err
	}
	return seen, nil
}

// Meter is what a right router tells.
func (t *target) Meter(context.Context) (map[string]traffic.Reading, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.arms), nil
}

// edit spoils the configuration that is not the router's.
func (t *target) edit(change func(string) string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = change(t.rest)
}

// send is what the data plane makes of a request.
func (t *target) send(ctx context.Context, q Request) (Answer, error) {
	route, err := t.view(t)
	if err != nil {
		return Answer{}, err
	}
	if route.IsZero() {
		return Answer{}, errors.New("no route")
	}
	answer := Answer{Arm: route.Arms.Stable}
	if name := route.Split.Sticky.Cookie; name != "" && q.Cookie[name] == "" {
		id := randomID()
		answer.Cookie = map[string]string{name: id}
		q.Cookie = map[string]string{name: id}
	}
	if salt := t.salt.Load(); salt != nil {
		q = salted(route, q, *salt)
	}
	if t.pick(route, q) {
		answer.Arm = route.Arms.Candidate
	} else if t.copying(route) {
		if err := t.copied(ctx, t, route.Arms.Candidate); err != nil {
			return Answer{}, err
		}
	}
	return answer, t.answer(ctx, answer.Arm)
}

// answer lets an arm answer a request.
func (t *target) answer(ctx context.Context, arm string) error {
	t.count(arm, +1)
	defer t.count(arm, -1)
	return t.arm(ctx, arm)
}

// arm is the backend of that name.
func (t *target) arm(ctx context.Context, arm string) error {
	if arm != "candidate" {
		return nil
	}
	if t.isBroken(CandidateFailing) != nil {
		return errBroken
	}
	if mended := t.isBroken(CandidateHanging); mended != nil {
		select {
		case <-mended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (t *target) count(arm string, active int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.arms[arm]
	if active > 0 {
		r.Requests++
	}
	r.Active += uint64(active) //nolint:gosec // it wraps down by one
	t.arms[arm] = r
}

func randomID() string {
	b := make([]byte, 12)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26)) //nolint:gosec // an identity, no secret
	}
	return string(b)
}
