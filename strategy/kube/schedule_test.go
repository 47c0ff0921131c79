// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/race"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of the schedules of faults")
	schedules = flag.Uint64("schedules", 0, "how many schedules of faults are carried out; 0 is 100, or 30 with the race detector")
)

const (
	// lease is how long a replica may be silent. Who is paused is so for twice as long.
	lease = 2 * time.Second
	// together is how many schedules are under way at a time; most of each is waiting.
	together = 16
	// patience is how long everything may take to come to rest once there are no faults.
	patience = 3 * time.Minute
)

// rates are the faults between a replica and the API server.
var rates = kubetest.Rates{
	Lost: 0.03, Dropped: 0.03, Conflict: 0.03, Invalid: 0.01, TooMany: 0.02, Internal: 0.02, Unavailable: 0.02, Silent: 0.2, Expired: 0.1,
}

// TestNoScheduleOfFaultsBreaksAPromise has two replicas share rollouts on a real API server,
// each schedule in a namespace of its own: requests fail, replies are lost, watches fall
// silent, replicas are killed and paused past their lease, Leases vanish, and people release
// another version, hold, approve, abort and delete meanwhile. All the while the API server
// is killed and etcd stands still now and then. Every route is held against the promises
// when it is written, and everything must come to rest where it belongs.
//
// A schedule that failed is repeated with -seed N -schedules 1, as far as real time allows.
func TestNoScheduleOfFaultsBreaksAPromise(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true})
	cluster.InstallCRDs(t, kube.CRD())
	count := *schedules
	if count == 0 {
		count = 100
		if race.Enabled {
			count = 30
		}
	}
	work := make(chan *schedule, count)
	var all []*schedule
	for seed := range count {
		s := newSchedule(t, cluster, *firstSeed+seed)
		all = append(all, s)
		work <- s
	}
	close(work)
	var workers sync.WaitGroup
	for range together {
		workers.Go(func() {
			for s := range work {
				s.run()
			}
		})
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	outages := disturb(t, cluster, ended)
	total := map[string]int{"outages of the API server or of etcd": outages}
	for _, s := range all {
		for what, n := range s.did {
			total[what] += n
		}
		for _, r := range s.replicas {
			for what, n := range r.faults.Count() {
				total["requests "+string(what)] += n
			}
		}
		for _, x := range s.targets {
			total["routes written"] += x.taken
			total["stale writes refused"] += x.fenced
		}
	}
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%6d %s", total[what], what)
	}
	if count >= 100 && total["stale writes refused"] == 0 {
		t.Error("no write came too late: the schedules show nothing about fences")
	}
}

// disturb lets the control plane fail until all has ended.
func disturb(t *testing.T, cluster *kubetest.Cluster, ended <-chan struct{}) (outages int) {
	t.Helper()
	for {
		select {
		case <-ended:
			return outages
		case <-time.After(12 * time.Second):
		}
		if outages++; outages%2 == 1 {
			cluster.KillAPIServer(t)
			time.Sleep(time.Second)
			cluster.StartAPIServer(t)
		} else {
			cluster.Pause(t, kubetest.Etcd)
			time.Sleep(lease + time.Second)
			cluster.Resume(t, kubetest.Etcd)
		}
	}
}

// schedule is one world: a namespace with rollouts, the replicas that carry them out, the
// routers, and what happens to them.
type schedule struct {
	*testing.T
	seed      uint64
	cluster   *kubetest.Cluster
	client    dynamic.Interface // of the people: nothing fails for them but the server itself
	store     *kube.Store
	namespace string
	ctx       context.Context //nolint:containedctx // it lives as long as the schedule
	gated     bool            // half is left with an approval
	targets   map[string]*target
	replicas  []*replica // all that ever were
	alive     [2]*replica
	calmed    atomic.Bool

	dice   *rand.Rand
	wants  map[string]string // the candidate asked for last, by service; "" where the object was deleted
	did    map[string]int
	mu     sync.Mutex
	orders map[order]bool
	story  []string
}

// order is one that a person has given.
type order struct {
	verb, service string
	run           uint64
}

func newSchedule(t *testing.T, cluster *kubetest.Cluster, seed uint64) *schedule {
	t.Helper()
	config := cluster.Config()
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &schedule{
		T: t, seed: seed, cluster: cluster, client: client, namespace: cluster.Namespace(t), dice: rand.New(rand.NewPCG(seed, 0)),
		targets: map[string]*target{}, wants: map[string]string{}, did: map[string]int{}, orders: map[order]bool{},
	}
	s.gated = s.dice.IntN(3) == 0
	if s.store, err = kube.NewStore(client, kube.Options{Namespace: s.namespace}); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"one", "two"} {
		s.targets[service] = &target{s: s, name: service, memory: traffic.NewMemory(traffic.Options{})}
	}
	return s
}

// run carries the schedule out.
func (s *schedule) run() {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	s.ctx = ctx
	if err := s.begin(); err != nil {
		s.wrong("begin: %v", err)
		return
	}
	for range 4 + s.dice.IntN(4) {
		time.Sleep(time.Duration(200+s.dice.IntN(1200)) * time.Millisecond)
		if err := s.happen(); err != nil {
			s.wrong("%v", err)
		}
	}
	s.calmed.Store(true)
	for _, r := range s.alive {
		r.faults.Stop()
		r.gate.calm()
	}
	for service := range s.targets {
		if s.wants[service] != "" {
			if err := s.settle(service); err != nil {
				s.wrong("%v", err)
			}
		} else if err := s.gone(service); err != nil {
			s.wrong("%v", err)
		}
	}
	for _, r := range s.alive {
		r.cancel()
		<-r.ended
	}
}

// begin makes the objects and starts the replicas.
func (s *schedule) begin() error {
	approval := ""
	if s.gated {
		approval = `,"approval":{}`
	}
	step := `{"set":[{"target":"web","split":{"candidate":"%d%%"}}],"hold":"300ms","checks":["errors"]%s}`
	plan := fmt.Sprintf(`{"lanes":[{"name":"web","steps":[`+step+","+step+","+step+`]}],"back":{"drain":"100ms"}}`, 10, "", 50, approval, 100, "")
	for service := range s.targets {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"rheostat.dev/v1alpha1","kind":"Rollout","metadata":{"name":%q},
			"spec":{"stable":{"version":"v1"},"plan":%s}}`, service, plan)); err != nil {
			return err
		}
		if err := s.create(object); err != nil {
			return err
		}
		if err := s.release(service); err != nil {
			return err
		}
	}
	if err := errors.Join(s.start(0), s.start(1)); err != nil {
		return err
	}
	s.alive[0].gate.hold(applying, 2*lease)
	return nil
}

// wrong is what no schedule may show.
func (s *schedule) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Errorf("seed %d: %s\n%s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.story, "\n"))
}

// tell remembers what happened, for whoever reads of a failure.
func (s *schedule) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, "  "+time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (s *schedule) ordered(verb, service string, run uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orders[order{verb, service, run}]
}
