// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

var eventResource = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}

// Events is an observer that writes a Kubernetes Event about the service's object for
// every transition that a person may want to see: runs that begin and end, dials that turn,
// holds, stops for a person, foreign writes and the way home. A transition that is told
// twice is one Event.
func (s *Store) Events() strategy.Observer { return strategy.ObserverFunc(s.event) }

func (s *Store) event(ctx context.Context, state strategy.State, t strategy.Transition) error {
	kind, ok := eventKinds[t.Kind]
	if !ok {
		return nil
	}
	about, err := s.object(ctx, state.Service)
	if err != nil || about == nil {
		return err
	}
	name := fmt.Sprintf("%s.%d.%d", about.GetName(), t.Run, t.Rev)
	note := short(said(t))
	event := &unstructured.Unstructured{Object: map[string]any{
		"eventTime": micro(t.At), "type": kind, "reason": camel(t.Kind.String()), "action": camel(t.Kind.String()),
		"note": note, "reportingController": "rheostat.dev/rollouts", "reportingInstance": s.writer,
		"regarding": map[string]any{
			"apiVersion": s.gvr.GroupVersion().String(), "kind": s.kind, "namespace": about.GetNamespace(),
			"name": about.GetName(), "uid": string(about.GetUID()),
		},
	}}
	event.SetAPIVersion(eventResource.GroupVersion().String())
	event.SetKind("Event")
	event.SetName(name)
	event.SetNamespace(about.GetNamespace())
	_, err = s.client.Resource(eventResource).Namespace(about.GetNamespace()).Create(ctx, event, metav1.CreateOptions{FieldManager: kube.Manager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("strategy/kube: event %s: %w", name, err)
	}
	return nil
}

const (
	normal  = "Normal"
	warning = "Warning"
)

// eventKinds are the transitions that become Events.
var eventKinds = map[strategy.TransitionKind]string{
	strategy.RunStarted: normal, strategy.RunQueued: normal, strategy.RunPromoted: normal,
	strategy.DialsTurned: normal, strategy.LaneDone: normal,
	strategy.HoldBegan: normal, strategy.HoldEnded: normal, strategy.Resumed: normal, strategy.Ordered: normal,
	strategy.Paged: warning, strategy.DriftRepaired: warning, strategy.FenceRaised: warning,
	strategy.ReturnBegan: warning, strategy.RunRolledBack: warning, strategy.RunStranded: warning,
	strategy.RunPartial: warning, strategy.QueueDropped: warning,
}

// camel is a transition's name as Kubernetes writes reasons.
func camel(words string) string {
	var b strings.Builder
	for word := range strings.FieldsSeq(words) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
