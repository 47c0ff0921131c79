// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
)

const (
	defaultLease = 15 * time.Second
	// leaveTime bounds the word that a replica that ends leaves behind.
	leaveTime = 2 * time.Second
	// forgotten is after how many lease times a replica that died is swept away.
	forgotten = 20
)

// Sharding shares the services among the replicas of a program. The zero Sharding does
// not: the one replica does everything.
type Sharding struct {
	// Shards is into how many parts the services are cut; at least as many as there will
	// be replicas. All replicas must say the same.
	Shards int
	// Namespace and Name are of the Leases: Name-0 and so on for the shards, Name-replica-ID
	// for the replicas. Both are required.
	Namespace, Name string
	// Identity is unique among the replicas: a pod's name. Empty is the host's name and a
	// random number.
	Identity string
	// Lease is after how long a replica that is not heard of is taken for dead. 0 is 15
	// seconds. A replica says that it lives three times as often.
	Lease time.Duration
}

func (o Sharding) check() (Sharding, error) {
	switch {
	case o.Shards < 0 || o.Shards > 1024:
		return o, fmt.Errorf("strategy/kube: Sharding.Shards is %d; at most 1024", o.Shards)
	case o.Shards > 0 && (o.Namespace == "" || o.Name == ""):
		return o, errors.New("strategy/kube: Sharding.Namespace and Name are required; they say where the Leases are")
	case o.Lease != 0 && o.Lease < time.Second:
		return o, fmt.Errorf("strategy/kube: Sharding.Lease is %v; at least a second", o.Lease)
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "replica"
		}
		o.Identity = fmt.Sprintf("%s-%06x", host, rand.Uint32()&0xffffff)
	}
	return o, nil
}

// shards is which shards this replica works on.
//
// There is a Lease for every replica and one for every shard. A replica renews its own,
// however many shards it has; a shard's is written only when the shard changes hands, under
// its resourceVersion, and leaseTransitions counts that. Who renews is alive, by the
// watcher's own monotonic clock: no two clocks are compared. Everybody computes the same
// fair share from the same list; who has too much lets go, who has too little takes what
// nobody holds whom anybody has heard of.
//
// None of it is needed for safety. A replica that was paused past its lease goes on for a
// moment beside its successor; the Rev it saves over and the fence it writes under are too
// old by then. Leases only keep two from doing the same work, and if all of them are gone,
// they are made again.
type shards struct {
	options Sharding
	leases  dynamic.ResourceInterface
	log     *slog.Logger
	// gained is told of every shard that becomes ours.
	gained func(shard int)

	mu     sync.Mutex
	held   map[int]int64 // shard to epoch
	valid  time.Time     // until when others let us be
	heard  map[string]heard
	epochs map[int]int64 // highest seen
}

// heard is when this replica last noticed that another one had renewed.
type heard struct {
	renewed string
	at      time.Time
}

func newShards(client dynamic.Interface, o Sharding, log *slog.Logger, gained func(int)) *shards {
	return &shards{
		options: o, leases: client.Resource(leaseResource).Namespace(o.Namespace), log: log, gained: gained,
		held: map[int]int64{}, heard: map[string]heard{}, epochs: map[int]int64{},
	}
}

// holds says whether this replica works on the service.
func (s *shards) holds(service string) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[shardOf(service, s.options.Shards)]
	return ok && time.Now().Before(s.valid)
}

// run shares until the context ends, and then says that this replica leaves.
func (s *shards) run(ctx context.Context) {
	for {
		pause := s.options.Lease / 3
		if err := s.turn(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("shards", "identity", s.options.Identity, "err", err)
			pause /= 4
		}
		timer := time.NewTimer(pause - rand.N(pause/8))
		select {
		case <-ctx.Done():
			timer.Stop()
			s.leave(context.WithoutCancel(ctx))
			return
		case <-timer.C:
		}
	}
}

// turn renews, looks who is there, lets go and takes.
func (s *shards) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Lease/3)
	defer cancel()
	sent := time.Now()
	if err := s.renew(ctx, sent); err != nil {
		return err
	}
	s.renewed(sent)
	listed, err := s.list(ctx)
	if err != nil {
		return err
	}
	members := s.alive(ctx, listed)
	holders := make([]string, s.options.Shards)
	for i := range holders {
		holders[i] = listed[s.shardName(i)].holder
	}
	var errs []error
	for i, owner := range assign(members, holders) {
		if err := s.settle(ctx, i, owner, listed[s.shardName(i)], members); err != nil && !raced(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// renewed lets this replica be for another lease. What it held before a gap it has to take
// anew: its services have been let go.
func (s *shards) renewed(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sent.Before(s.valid) {
		clear(s.held)
	}
	s.valid = sent.Add(s.options.Lease)
}

// alive are the members who have renewed within their lease, and this one. Who has been
// dead for long is swept away.
func (s *shards) alive(ctx context.Context, listed map[string]lease) []string {
	members := []string{s.options.Identity}
	now := time.Now()
	seen := map[string]heard{}
	for name, l := range listed {
		id := l.member
		if id == "" || id == s.options.Identity {
			continue
		}
		h := s.heard[id]
		if h.renewed != l.renewed {
			h = heard{l.renewed, now}
		}
		seen[id] = h
		switch silent := now.Sub(h.at); {
		case silent < l.duration && l.holder != "":
			members = append(members, id)
		case silent > forgotten*l.duration:
			if err := s.remove(ctx, name, l); err != nil && !raced(err) {
				s.log.Warn("shards: a dead replica's lease stays", "lease", name, "err", err)
			}
		}
	}
	s.heard = seen
	return members
}

// settle makes one shard ours, or not ours.
func (s *shards) settle(ctx context.Context, shard int, owner string, l lease, members []string) error {
	me := s.options.Identity
	s.epochs[shard] = max(s.epochs[shard], l.transitions)
	switch {
	case l.holder == me && owner == me:
		s.take(shard, l.transitions)
		return nil
	case l.holder == me:
		s.drop(shard)
		return s.pass(ctx, s.shardName(shard), l, "", l.transitions)
	}
	s.drop(shard)
	if owner != me || l.holder != "" && slices.Contains(members, l.holder) {
		return nil // not ours, or not yet let go
	}
	epoch := s.epochs[shard] + 1
	if err := s.pass(ctx, s.shardName(shard), l, me, epoch); err != nil {
		return err
	}
	s.take(shard, epoch)
	return nil
}

func (s *shards) take(shard int, epoch int64) {
	s.mu.Lock()
	_, had := s.held[shard]
	s.held[shard] = epoch
	s.mu.Unlock()
	if !had {
		s.log.Info("shard taken", "shard", shard, "epoch", epoch, "identity", s.options.Identity)
		s.gained(shard)
	}
}

func (s *shards) drop(shard int) {
	s.mu.Lock()
	_, had := s.held[shard]
	delete(s.held, shard)
	s.mu.Unlock()
	if had {
		s.log.Info("shard let go", "shard", shard, "identity", s.options.Identity)
	}
}

func (s *shards) shardName(i int) string { return s.options.Name + "-" + strconv.Itoa(i) }
