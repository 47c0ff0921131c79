// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// Rollouts is the resource that CRD defines.
var Rollouts = schema.GroupVersionResource{Group: "rheostat.dev", Version: "v1alpha1", Resource: "rollouts"}

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

const (
	// maxState bounds what a state may take of an object. etcd refuses 1.5 MiB, and the
	// object has a spec and a journal beside it.
	maxState = 1 << 20
	// defaultJournal is Options.Journal when that is 0.
	defaultJournal = 20
	// maxAttempts bounds how often a save is tried again while nobody else has saved.
	maxAttempts = 8
	// listed is how many objects one list brings at a time.
	listed = 100
)

// Options says where a Store keeps what. The zero Options are Rollouts of all namespaces.
type Options struct {
	// Namespace is where the objects are, and a service is named like its object. Empty
	// is everywhere, and a service is named "namespace/name".
	Namespace string
	// ConfigMaps keeps states in ConfigMaps, named "rheostat-" and the service, where the
	// CRD may not be installed. Whoever may write them can forge a state: grant it to the
	// controller alone.
	ConfigMaps bool
	// Resource and Kind are a custom resource of your own, in place of Rollout. It must
	// have the subresource status, and CRD's schema of it.
	Resource schema.GroupVersionResource
	Kind     string
	// Journal is how many transitions of a service are kept. 0 is 20. The Events that an
	// Events observer writes, and your logs, go further back.
	Journal int
}

// Store keeps every service's state in a Kubernetes object: in the status of a custom
// resource, or in a ConfigMap. A save is compared twice: with the state's Rev, and, in the
// write itself, with the resourceVersion of the object in which that Rev was read. What is
// loaded is read from the API server, never from a cache.
//
// It is safe for concurrent use, by any number of processes. It does not create
// namespaces, and deletes nothing: a service's state goes with its object.
type Store struct {
	client  dynamic.Interface
	options Options
	gvr     schema.GroupVersionResource
	kind    string
	// writer and saves make a mark that tells a save of ours whose reply was lost from
	// one of somebody else.
	writer string
	saves  atomic.Uint64
}

// NewStore keeps states through the client, and names the option that is wrong. Build the
// client with rest.Config.QPS -1, or as high as your services need: by default it waits
// to make no more than five requests a second.
func NewStore(client dynamic.Interface, o Options) (*Store, error) {
	switch {
	case client == nil:
		return nil, errors.New("strategy/kube: client is nil; make one with dynamic.NewForConfig")
	case o.Journal < 0:
		return nil, errors.New("strategy/kube: Options.Journal is negative; 0 is the default")
	case o.ConfigMaps && !o.Resource.Empty():
		return nil, errors.New("strategy/kube: Options.ConfigMaps and Options.Resource are both set; choose one")
	case o.Resource.Empty() != (o.Kind == ""):
		return nil, errors.New("strategy/kube: Options.Resource and Options.Kind go together; set both or none")
	}
	s := &Store{client: client, options: o, gvr: Rollouts, kind: "Rollout", writer: fmt.Sprintf("%08x", rand.Uint32())}
	switch {
	case o.ConfigMaps:
		s.gvr, s.kind = configMaps, "ConfigMap"
	case !o.Resource.Empty():
		s.gvr, s.kind = o.Resource, o.Kind
	}
	if s.options.Journal == 0 {
		s.options.Journal = defaultJournal
	}
	return s, nil
}

// Load reads the service's state from the API server. A service without an object, or
// whose object has no state, has the zero State; a resource that is not installed is an error.
func (s *Store) Load(ctx context.Context, service string) (strategy.State, error) {
	object, err := s.object(ctx, service)
	if err != nil || object == nil {
		return strategy.State{}, err
	}
	have, err := s.statusOf(object)
	if err != nil || have.State == "" {
		return strategy.State{}, err
	}
	state, err := strategy.DecodeState([]byte(have.State))
	switch {
	case err != nil:
		return strategy.State{}, fmt.Errorf("strategy/kube: %s: %w", service, err)
	case state.Service != service:
		return strategy.State{}, fmt.Errorf("strategy/kube: %s: its object has the state of %q, as a copy has; delete the object", service, state.Service)
	}
	return state, nil
}

// Save writes next over the state with Rev prev. It makes the object if there is none.
// When the reply to the write is lost it reads the object again, and tells by a mark
// whether it was written.
func (s *Store) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	if next.Rev <= prev {
		return fmt.Errorf("strategy/kube: save %q: rev %d is not above the %d that it follows; save what Step returned", service, next.Rev, prev)
	}
	data, err := json.Marshal(next)
	switch {
	case err != nil:
		return fmt.Errorf("strategy/kube: save %q: %w", service, err)
	case len(data) > maxState:
		return fmt.Errorf("strategy/kube: save %q: its state takes %d bytes, an object has room for %d; split the plan", service, len(data), maxState)
	}
	entries, err := raw(log)
	if err != nil {
		return fmt.Errorf("strategy/kube: save %q: %w", service, err)
	}
	mark := fmt.Sprintf("%s-%d", s.writer, s.saves.Add(1))
	var failed error
	for n := range maxAttempts {
		if n > 0 {
			pause(ctx, n)
		}
		var object *unstructured.Unstructured
		object, err = s.object(ctx, service)
		if err == nil {
			var done bool
			if done, err = s.save(ctx, service, object, prev, next, string(data), mark, entries); done {
				return err
			}
		}
		turnOf(ctx, s).forget() // whatever it was, what we hold is not what is stored
		failed = err
		if ctx.Err() != nil || !retriable(err) {
			break
		}
	}
	return fmt.Errorf("strategy/kube: save %q: %w", service, failed)
}

// retriable says whether it is worth reading again and seeing what is stored.
func retriable(err error) bool { return raced(err) || kube.Passing(err) }

// raced says that somebody else was first: changed, made or removed the object.
func raced(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || kube.Missing(err)
}

// save makes one attempt against the object as it was read. Done is that the outcome is known.
func (s *Store) save(ctx context.Context, service string, object *unstructured.Unstructured, prev uint64, next strategy.State, data, mark string, log []json.RawMessage) (done bool, err error) {
	have := status{}
	if object != nil {
		if have, err = s.statusOf(object); err != nil {
			return true, err
		}
	}
	stored, err := have.storedRev()
	switch {
	case err != nil:
		return true, fmt.Errorf("strategy/kube: save %q: %w", service, err)
	case have.Mark == mark:
		return true, nil
	case stored != prev:
		return true, fmt.Errorf("%w: %q is at rev %d, not %d; load it again", strategy.ErrConflict, service, stored, prev)
	}
	have.take(next, data, mark, log, s.options.Journal)
	have.ObservedGeneration = max(have.ObservedGeneration, turnOf(ctx, s).considered())
	written, err := s.write(ctx, service, object, have)
	if err != nil {
		return false, err
	}
	turnOf(ctx, s).hold(service, written)
	return true, nil
}

// List yields the services that have a state.
func (s *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		options := metav1.ListOptions{Limit: listed}
		if s.options.ConfigMaps {
			options.LabelSelector = stateLabel
		}
		for {
			page, err := s.client.Resource(s.gvr).Namespace(s.options.Namespace).List(ctx, options)
			if err != nil {
				yield("", fmt.Errorf("strategy/kube: list: %w", err))
				return
			}
			for i := range page.Items {
				have, err := s.statusOf(&page.Items[i])
				if err == nil && have.State == "" {
					continue
				}
				if !yield(s.serviceOf(&page.Items[i]), err) || err != nil {
					return
				}
			}
			if options.Continue = page.GetContinue(); options.Continue == "" {
				return
			}
		}
	}
}

// Journal is what is kept of the service's journal, oldest first.
func (s *Store) Journal(ctx context.Context, service string) ([]strategy.Transition, error) {
	object, err := s.object(ctx, service)
	if err != nil || object == nil {
		return nil, err
	}
	have, err := s.statusOf(object)
	if err != nil {
		return nil, err
	}
	journal := make([]strategy.Transition, len(have.Journal))
	for i, entry := range have.Journal {
		if err := json.Unmarshal(entry, &journal[i]); err != nil {
			return nil, fmt.Errorf("strategy/kube: journal of %q: %w", service, err)
		}
	}
	return journal, nil
}

func raw(log []strategy.Transition) ([]json.RawMessage, error) {
	entries := make([]json.RawMessage, len(log))
	for i, t := range log {
		entry, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		entries[i] = entry
	}
	return entries, nil
}

// object is the service's object, nil if there is none: the one that this turn holds, or
// as the API server has it.
func (s *Store) object(ctx context.Context, service string) (*unstructured.Unstructured, error) {
	held := turnOf(ctx, s)
	if object := held.object(service); object != nil {
		return object, nil
	}
	at, err := s.locate(service)
	if err != nil {
		return nil, err
	}
	object, err := s.client.Resource(s.gvr).Namespace(at.namespace).Get(ctx, at.name, metav1.GetOptions{})
	switch {
	case kube.Missing(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("strategy/kube: read %q: %w", service, err)
	case s.serviceOf(object) != service:
		return nil, fmt.Errorf("strategy/kube: read %q: its object %q is that of %q", service, at.name, s.serviceOf(object))
	}
	held.hold(service, object)
	return object, nil
}

// write puts a status into the object that was read, or into a new one.
func (s *Store) write(ctx context.Context, service string, object *unstructured.Unstructured, have status) (*unstructured.Unstructured, error) {
	at, err := s.locate(service)
	if err != nil {
		return nil, err
	}
	resource := s.client.Resource(s.gvr).Namespace(at.namespace)
	if object == nil {
		fresh := &unstructured.Unstructured{}
		fresh.SetAPIVersion(s.gvr.GroupVersion().String())
		fresh.SetKind(s.kind)
		fresh.SetNamespace(at.namespace)
		fresh.SetName(at.name)
		fresh.SetAnnotations(s.notes(service))
		if object, err = resource.Create(ctx, fresh, metav1.CreateOptions{FieldManager: kube.Manager}); err != nil {
			return nil, err
		}
	}
	patch, sub, err := s.patch(object, have)
	if err != nil {
		return nil, err
	}
	return resource.Patch(ctx, at.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kube.Manager}, sub...)
}

// pause waits a little longer before every further attempt, and no two alike.
func pause(ctx context.Context, n int) {
	most := 10 * time.Millisecond << n
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
