// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
)

// stored is a state as it is in the API server.
type stored struct{ strategy.State }

// saved is what is stored of a service, if that can be known.
func (s *schedule) saved(service string) (stored, bool) {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	state, err := s.store.Load(ctx, service)
	return stored{state}, err == nil && state.Run > 0
}

// happen lets one thing go wrong, or somebody do something.
func (s *schedule) happen() error {
	service := []string{"one", "two"}[s.dice.IntN(2)]
	if s.wants[service] == "" {
		service = "one" // the other is deleted, and this one never is
	}
	kind := []string{"pause", "pause", "pause", "kill", "lease", "release", "release", "release", "hold", "abort", "approve", "delete"}[s.dice.IntN(12)]
	s.did[kind]++
	s.tell("%s %s", kind, service)
	switch kind {
	case "pause":
		s.alive[s.dice.IntN(len(s.alive))].gate.hold([]string{saving, applying, applying, anything}[s.dice.IntN(4)], 2*lease)
	case "kill":
		i := s.dice.IntN(len(s.alive))
		s.alive[i].kill()
		return s.start(i)
	case "lease":
		return s.loseLease()
	case "release":
		return s.release(service)
	case "hold":
		_, err := s.patch(service, `{"spec":{"intent":{"hold":true}}}`)
		return err
	case "abort":
		return s.abort(service)
	case "approve":
		return s.approve(service)
	case "delete":
		return s.remove("two")
	}
	return nil
}

// insist asks until the API server answers.
func (s *schedule) insist(ask func(ctx context.Context) error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		err := ask(ctx)
		cancel()
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsAlreadyExists(err) || time.Now().After(deadline) || s.ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *schedule) create(object *unstructured.Unstructured) error {
	err := s.insist(func(ctx context.Context) error {
		_, err := s.client.Resource(kube.Rollouts).Namespace(s.namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return nil // the reply was lost
	}
	return err
}

func (s *schedule) patch(service, text string) (object *unstructured.Unstructured, err error) {
	err = s.insist(func(ctx context.Context) error {
		object, err = s.client.Resource(kube.Rollouts).Namespace(s.namespace).Patch(ctx, service, types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "ada"})
		return err
	})
	return object, err
}

// release asks for another version, one in three of which is bad.
func (s *schedule) release(service string) error {
	s.did["versions"]++
	version := fmt.Sprint("v", 1+s.did["versions"])
	if s.dice.IntN(3) == 0 {
		version += fmt.Sprint("-bad", s.dice.IntN(3))
	}
	_, err := s.patch(service, fmt.Sprintf(`{"spec":{"candidate":{"version":%q}}}`, version))
	s.wants[service] = version
	s.tell("%s is asked for in %s", version, service)
	return err
}

// abort ends the run under way. Where the answer shows that it still was, it must not be
// promoted: the Controller's next save finds that the object has changed.
func (s *schedule) abort(service string) error {
	state, known := s.saved(service)
	if !known {
		return nil
	}
	object, err := s.patch(service, fmt.Sprintf(`{"spec":{"intent":{"run":%d,"abort":true}}}`, state.Run))
	if err != nil {
		return err
	}
	text, _, _ := unstructured.NestedString(object.Object, "status", "state")
	after, err := strategy.DecodeState([]byte(text))
	if err == nil && after.Run == state.Run && after.Active() {
		s.order("abort", service, after.Run)
	}
	return err
}

// approve lets the run under way take its last step. What was aborted stays so.
func (s *schedule) approve(service string) error {
	state, known := s.saved(service)
	if !known {
		return nil
	}
	s.order("approve", service, state.Run)
	grants, err := json.Marshal([]strategy.Grant{{StepRef: strategy.StepRef{Lane: "web", Step: "50%"}, By: "ada"}})
	if err != nil {
		return err
	}
	_, err = s.patch(service, fmt.Sprintf(`{"spec":{"intent":{"run":%d,"abort":%t,"approvals":%s}}}`, state.Run, s.ordered("abort", service, state.Run), grants))
	return err
}

func (s *schedule) order(verb, service string, run uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[order{verb, service, run}] = true
}

func (s *schedule) remove(service string) error {
	s.wants[service] = ""
	err := s.insist(func(ctx context.Context) error {
		return s.client.Resource(kube.Rollouts).Namespace(s.namespace).Delete(ctx, service, metav1.DeleteOptions{})
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// loseLease deletes one of the replicas' Leases.
func (s *schedule) loseLease() error {
	leases := s.client.Resource(schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}).Namespace(s.namespace)
	err := s.insist(func(ctx context.Context) error {
		list, err := leases.List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		return leases.Delete(ctx, list.Items[s.dice.IntN(len(list.Items))].GetName(), metav1.DeleteOptions{})
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// settle waits until a service is at rest, and looks whether it is so where it belongs.
func (s *schedule) settle(service string) error {
	if _, err := s.patch(service, `{"spec":{"intent":{"hold":false}}}`); err != nil {
		return err
	}
	state, err := s.rest(service)
	if err != nil {
		return err
	}
	_, bad := badFrom(state.Release.Candidate.Version)
	aborted := s.ordered("abort", service, state.Run)
	want := strategy.Promoted
	if bad || aborted {
		want = strategy.RolledBack
	}
	// Who aborts when all is done already changes nothing.
	if state.Phase != want {
		return fmt.Errorf("%s: %s is %v (%s), want %v", service, state.Release.Candidate.Version, state.Phase, state.Reason, want)
	}
	seen, err := s.targets[service].memory.Observe(s.ctx)
	if err != nil {
		return err
	}
	if seen.Route.IsZero() && state.Phase == strategy.RolledBack {
		return nil // it went home before it had written anything
	}
	if target, _ := state.Target("web"); !seen.Route.Equal(target.Route) || seen.Route.Serves() != state.Serving().Arm() {
		return fmt.Errorf("%s: the route is %v, and %v serves", service, seen.Route, state.Serving().Version)
	}
	return nil
}

// rest is the state in which nothing is under way and what was asked for is done.
func (s *schedule) rest(service string) (stored, error) {
	deadline := time.Now().Add(patience)
	for {
		state, known := s.saved(service)
		if known && !state.Active() && state.Release.Candidate.Version == s.wants[service] {
			return state, nil
		}
		if known && s.gated && state.Phase == strategy.Progressing && !s.ordered("approve", service, state.Run) {
			if err := s.approve(service); err != nil {
				return state, err
			}
		}
		if time.Now().After(deadline) || s.ctx.Err() != nil {
			return state, fmt.Errorf("%s does not come to rest: run %d of %s is %v, %s is wanted; %v", service, state.Run, state.Release.Candidate.Version, state.Phase, s.wants[service], state.Journal())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var errStays = errors.New("a deleted object stays")

// gone waits until the object of a service is, and looks whether its route is home.
func (s *schedule) gone(service string) error {
	deadline := time.Now().Add(patience)
	for {
		_, err := s.client.Resource(kube.Rollouts).Namespace(s.namespace).Get(s.ctx, service, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(deadline) || s.ctx.Err() != nil {
			state, _ := s.saved(service)
			return fmt.Errorf("%s: %w: run %d is %v; %v", service, errStays, state.Run, state.Phase, state.Journal())
		}
		time.Sleep(100 * time.Millisecond)
	}
	seen, err := s.targets[service].memory.Observe(s.ctx)
	if err == nil && !seen.Route.IsZero() && seen.Route.Serves() == "" {
		err = fmt.Errorf("%s: its object is gone and the route is %v", service, seen.Route)
	}
	return err
}
