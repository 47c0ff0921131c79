// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package route53

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/internal/note"
)

const (
	// sum is what the weights of the two arms add up to. Route 53 takes 0 to 255
	// for each; of the sums that divide a million, this one meets the usual steps.
	sum = 200
	// tries bounds how often a write that others were faster with is begun again.
	tries = 5
)

// API is the calls that a Router makes. *route53.Client of the SDK has them.
type API interface {
	// ListResourceRecordSets reads record sets.
	ListResourceRecordSets(ctx context.Context, in *r53.ListResourceRecordSetsInput, o ...func(*r53.Options)) (*r53.ListResourceRecordSetsOutput, error)
	// ChangeResourceRecordSets carries out a batch, wholly or not at all.
	ChangeResourceRecordSets(ctx context.Context, in *r53.ChangeResourceRecordSetsInput, o ...func(*r53.Options)) (*r53.ChangeResourceRecordSetsOutput, error)
	// GetChange tells whether a change has reached all name servers.
	GetChange(ctx context.Context, in *r53.GetChangeInput, o ...func(*r53.Options)) (*r53.GetChangeOutput, error)
}

// Options say which records are turned.
type Options struct {
	// Zone is the identity of the hosted zone, such as "Z0123456789". Required.
	Zone string
	// Name is the name in DNS that both record sets have. Required.
	Name string
	// Types are the types of the record sets, all turned in the same write. None is A.
	Types []types.RRType
	// Fence is the name of the TXT record for the fence. "" is "_rheostat." and
	// Name, without a leading "*.".
	Fence string
	// Lag is how long after INSYNC the last client asks anew: the TTL, and
	// what your clients add to it. 0 is two minutes. Apply refuses to give the
	// candidate traffic while a record set's TTL is longer.
	Lag time.Duration
	// Propagation is how long a change of which AWS says nothing must have been
	// seen before it counts as Programmed. 0 is two minutes.
	Propagation time.Duration
}

// Router turns the weights of one name. It is safe for concurrent use.
type Router struct {
	api API
	o   Options

	mu      sync.Mutex
	written followed // by this Router
	seen    followed // by anybody else
}

var _ traffic.Router = (*Router)(nil)

// New is the router of one name. It asks AWS nothing.
func New(api API, o Options) (*Router, error) {
	switch {
	case api == nil:
		return nil, errors.New("route53: api: give it a client of the SDK")
	case o.Zone == "":
		return nil, errors.New("route53: zone: name the hosted zone")
	case o.Name == "":
		return nil, errors.New("route53: name: name the record sets")
	case o.Lag < 0 || o.Propagation < 0:
		return nil, errors.New("route53: lag and propagation: must not be below 0")
	}
	o.Name = canonical(o.Name)
	if len(o.Types) == 0 {
		o.Types = []types.RRType{types.RRTypeA}
	}
	o.Types = slices.Clone(o.Types)
	if o.Fence == "" {
		o.Fence = "_rheostat." + strings.TrimPrefix(o.Name, `\052.`)
	}
	if o.Fence = canonical(o.Fence); o.Fence == o.Name {
		return nil, fmt.Errorf("route53: fence: %s is the name of the records themselves; a TXT record needs its own", o.Fence)
	}
	if o.Lag == 0 {
		o.Lag = 2 * time.Minute
	}
	if o.Propagation == 0 {
		o.Propagation = 2 * time.Minute
	}
	return &Router{api: api, o: o}, nil
}

// Caps says that steps of half a per cent can be had, that the zone refuses stale
// writers, and how long DNS takes.
func (r *Router) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Full / sum, Fencing: true, Evidence: traffic.Programmed, Lag: r.o.Lag}
}

// Apply writes the weights and the fence in one batch, which fails if anything
// in it is not as it was read. It refuses a name that has weight on a record set
// that is no arm, and to send traffic to an arm without a record set.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("route53: apply: %w", context.Cause(ctx))
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return fmt.Errorf("route53: apply: %w", err)
	}
	if err := r.write(ctx, note.Note{Fence: fence, Route: route}); err != nil {
		return fmt.Errorf("route53: apply: %w", err)
	}
	return nil
}

// write reads, decides and writes, and begins again when others were faster.
func (r *Router) write(ctx context.Context, want note.Note) error {
	var refused error
	var before string
	for range tries {
		now, err := r.read(ctx)
		if err != nil {
			return err
		}
		state, err := now.state()
		if err != nil {
			return err
		}
		if refused != nil && state == before {
			return refused // nobody was faster: AWS does not want this batch
		}
		if err := now.note.Admit(want.Fence, want.Route); err != nil {
			return err
		}
		if now.holds(want) {
			return nil
		}
		changes, err := now.changes(want, r.o)
		if err != nil {
			return err
		}
		out, err := r.api.ChangeResourceRecordSets(ctx, &r53.ChangeResourceRecordSetsInput{
			HostedZoneId: &r.o.Zone,
			ChangeBatch:  &types.ChangeBatch{Changes: changes, Comment: aws.String("rheostat: " + want.String())},
		})
		var invalid *types.InvalidChangeBatch
		switch {
		case err == nil:
			r.follow(want, aws.ToString(out.ChangeInfo.Id))
			return nil
		case !errors.As(err, &invalid):
			return fmt.Errorf("change record sets: %w", err)
		}
		before, refused = state, fmt.Errorf("change record sets: %w", err)
	}
	return fmt.Errorf("%w: %w", traffic.ErrConflict, refused)
}

// Observe reads the weights, whoever wrote them. Types that do not agree are an
// error, and so is a name whose weights are no split of two. Room is not known:
// wrap the router with traffic.WithRoom or traffic.AssumeRoom.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	now, err := r.read(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("route53: observe: %w", err)
	}
	seen := traffic.Seen{Evidence: traffic.Written}
	if seen.Route, err = now.route(r.o.Types); err != nil {
		return traffic.Seen{}, fmt.Errorf("route53: observe: %s: %w", r.o.Name, err)
	}
	if seen.Route.Equal(now.note.Route) {
		seen.Fence = now.note.Fence
	}
	everywhere, err := r.everywhere(ctx, now.key(seen.Route))
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("route53: observe: %w", err)
	}
	if everywhere {
		seen.Evidence = traffic.Programmed
	}
	return seen, nil
}

// followed is a state of the records, and what is known of its way to the name servers.
type followed struct {
	key    string
	change string    // "" if AWS cannot be asked
	since  time.Time // when it was first seen
	done   bool
}

// follow keeps the change that brought a route.
func (r *Router) follow(want note.Note, change string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = followed{key: (&records{note: want}).key(want.Route), change: change}
}

// everywhere reports whether the state of that key is on all name servers.
func (r *Router) everywhere(ctx context.Context, key string) (bool, error) {
	r.mu.Lock()
	state := r.written
	if state.key != key {
		if r.seen.key != key {
			r.seen = followed{key: key, since: time.Now()}
		}
		state = r.seen
	}
	r.mu.Unlock()
	switch {
	case state.done:
		return true, nil
	case state.change == "":
		return time.Since(state.since) >= r.o.Propagation, nil
	}
	out, err := r.api.GetChange(ctx, &r53.GetChangeInput{Id: &state.change})
	if err != nil {
		return false, fmt.Errorf("get change: %w", err)
	}
	if out.ChangeInfo == nil || out.ChangeInfo.Status != types.ChangeStatusInsync {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.written == state {
		r.written.done = true
	}
	return true, nil
}
