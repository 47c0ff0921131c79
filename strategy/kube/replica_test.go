// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
)

var errDead = errors.New("the process is dead")

// What a process does may be held up before it is done: one kind alone, or everything.
const (
	saving   = "save"  // a write of a status
	applying = "apply" // of a route
	anything = ""
)

// gate is what a process does everything through: where it stands still as a paused one
// does, and goes on later with what it was about to do; and where it ends as a killed one
// does, after which nothing has any effect.
type gate struct {
	mu    sync.Mutex
	armed bool
	trap  string        // what the next pause begins at
	pause time.Duration // how long it takes
	shut  chan struct{} // closed when it is over; nil when there is none
	dead  chan struct{}
}

func newGate() *gate { return &gate{dead: make(chan struct{})} }

// hold pauses the process for d, when it is about to do something of the kind.
func (g *gate) hold(kind string, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed, g.trap, g.pause = true, kind, d
}

// calm lets the process be, once a pause that has begun is over.
func (g *gate) calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = false
}

func (g *gate) kill() { close(g.dead) }

// pass waits while the process is paused.
func (g *gate) pass(kind string) error {
	g.mu.Lock()
	if g.armed && g.shut == nil && (g.trap == kind || g.trap == anything) {
		shut := make(chan struct{})
		g.armed, g.shut = false, shut
		time.AfterFunc(g.pause, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.shut == shut {
				close(shut)
				g.shut = nil
			}
		})
	}
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-g.dead:
		}
	}
	select {
	case <-g.dead:
		return errDead
	default:
		return nil
	}
}

type transport func(*http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// wrap puts the gate before a transport, and behind it too: who is paused does not hear
// the reply.
func (g *gate) wrap(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		kind := "request"
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/status") {
			kind = saving
		}
		if err := g.pass(kind); err != nil {
			return nil, err
		}
		response, err := next.RoundTrip(r)
		if gone := g.pass("reply"); gone != nil {
			if err == nil {
				response.Body.Close()
			}
			return nil, gone
		}
		return response, err
	})
}

// replica is one process with a Controller, a client of its own and faults of its own.
type replica struct {
	s      *schedule
	name   string
	gate   *gate
	faults *kubetest.Faults
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	dice *rand.Rand
}

// start begins one more process, in a place.
func (s *schedule) start(place int) error {
	number := uint64(len(s.replicas)) + 1
	r := &replica{
		s: s, name: fmt.Sprint("replica-", number), gate: newGate(), ended: make(chan struct{}),
		faults: &kubetest.Faults{Seed: s.seed<<8 + number, Rates: rates},
		dice:   rand.New(rand.NewPCG(s.seed, number)),
	}
	config := s.cluster.Config()
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return r.gate.wrap(r.faults.Wrap(next)) })
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	c, err := kube.NewController(client, kube.ControllerOptions{
		Options:  kube.Options{Namespace: s.namespace},
		Config:   strategy.Config{Poll: 250 * time.Millisecond, Machine: strategy.Machine{FlapWindow: -1}},
		Wire:     r.wire,
		Sharding: kube.Sharding{Shards: 3, Namespace: s.namespace, Name: "rheostat", Identity: r.name, Lease: lease},
		Workers:  2,
	})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(s.ctx)
	go func() {
		defer close(r.ended)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			s.wrong("%s: Run returned %v", r.name, err)
		}
	}()
	s.replicas, s.alive[place] = append(s.replicas, r), r
	return nil
}

// kill ends the process wherever it is.
func (r *replica) kill() {
	r.gate.kill()
	r.cancel()
	<-r.ended
}

// wire gives every rollout a router of its own, and a judge that knows which candidates
// are bad, and from which step on: what it says depends on the position alone.
func (r *replica) wire(_ context.Context, x kube.Rollout) (strategy.Wiring, error) {
	judge := analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		if err := r.gate.pass("judge"); err != nil {
			return analysis.Finding{}, err
		}
		if from, bad := badFrom(c.Candidate); bad && c.Step >= from {
			return c.Finding(analysis.Fail, "it is a bad one"), nil
		}
		return c.Finding(analysis.Pass, ""), nil
	})
	return strategy.Wiring{
		Routers: map[string]traffic.Router{"web": lossy{r, r.s.targets[x.Service]}},
		Judges:  map[string]analysis.Judge{"errors": judge},
	}, nil
}

// lossy is the way from one process to a router.
type lossy struct {
	replica *replica
	target  *target
}

var errNoReply = errors.New("no reply")

// lost says whether a call fails, one in 25.
func (l lossy) lost() bool {
	l.replica.mu.Lock()
	defer l.replica.mu.Unlock()
	return l.replica.dice.IntN(25) == 0 && !l.replica.s.calmed.Load()
}

// Caps are the router's.
func (l lossy) Caps() traffic.Caps { return l.target.memory.Caps() }

// Apply may fail before it has done anything, and after.
func (l lossy) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := l.replica.gate.pass(applying); err != nil {
		return err
	}
	if l.lost() {
		return errNoReply
	}
	// Who was paused does not know what time it is: the write arrives however late.
	if err := l.target.apply(context.WithoutCancel(ctx), l.replica.name, fence, route); err != nil {
		return err
	}
	if l.lost() {
		return errNoReply
	}
	return l.replica.gate.pass("reply")
}

// Observe may fail.
func (l lossy) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := l.replica.gate.pass("observe"); err != nil {
		return traffic.Seen{}, err
	}
	if l.lost() {
		return traffic.Seen{}, errNoReply
	}
	return l.target.memory.Observe(ctx)
}
