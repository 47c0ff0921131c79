// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command router splits the jobs of a queue between two versions of a worker.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/rheostat-go/rheostat/traffic"
)

type queue struct { // a traffic.Router for whatever asks it who gets the next job
	mu   sync.Mutex
	seen traffic.Seen
}

func (q *queue) next() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if rand.N(traffic.Full) < q.seen.Route.Split.Candidate {
		return q.seen.Route.Arms.Candidate
	}
	return q.seen.Route.Arms.Stable
}

func (*queue) Caps() traffic.Caps { // any weight, a stale writer is refused, and Observe is certain
	return traffic.Caps{Granularity: 1, Fencing: true, Evidence: traffic.Effective}
}

func (q *queue) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	_, unable := q.Caps().Nearest(r.Split) // matches and the like, which Caps do not promise
	if err := errors.Join(ctx.Err(), r.Validate(), unable); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if had := q.seen; fence < had.Fence {
		return traffic.ErrFenced
	} else if fence == had.Fence && !had.Route.IsZero() && !had.Route.Equal(r) {
		return traffic.ErrConflict
	}
	q.seen = traffic.Seen{Route: r, Fence: fence, Evidence: traffic.Effective}
	return nil
}

func (q *queue) Observe(context.Context) (traffic.Seen, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.seen, nil
}

func main() {
	q, r := new(queue), traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Full}}
	fmt.Println(q.Apply(context.Background(), 7, r), q.next(), q.Apply(context.Background(), 6, r))
}
