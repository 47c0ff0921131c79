// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// IntentNote is the annotation in which a ConfigMap has its Intent, in JSON.
const IntentNote = "rheostat.dev/intent"

// Spec is what people write into a Rollout.
type Spec struct {
	// Stable is what serves before the first rollout. The zero Revision is not known.
	Stable strategy.Revision `json:"stable,omitzero"`
	// Candidate is what should serve. The zero Revision asks for nothing.
	Candidate strategy.Revision `json:"candidate,omitzero"`
	// Plan is a strategy.Plan in JSON.
	Plan json.RawMessage `json:"plan,omitempty"`
	// Intent is what the operator wants of the run under way.
	Intent Intent `json:"intent,omitzero"`
	// Retry allows the candidate to be tried again.
	Retry Retry `json:"retry,omitzero"`
}

// Intent is strategy.Intent as people write it: everything but Hold is for the run named.
type Intent struct {
	Run       uint64             `json:"run,omitempty"`
	Hold      bool               `json:"hold,omitempty"`
	Abort     bool               `json:"abort,omitempty"`
	Promote   bool               `json:"promote,omitempty"`
	Resume    uint64             `json:"resume,omitempty"`
	Waive     []strategy.StepRef `json:"waive,omitempty"`
	Approvals []strategy.Grant   `json:"approvals,omitempty"`
	By        string             `json:"by,omitempty"`
	Why       string             `json:"why,omitempty"`
}

// Retry is a person's word that the candidate of a run that failed may be tried again.
type Retry struct {
	Run uint64 `json:"run"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// SpecOf reads an object's spec, as far as it is a Rollout's. A ConfigMap has an Intent only.
func SpecOf(object *unstructured.Unstructured) (Spec, error) {
	var spec Spec
	text, field := []byte(object.GetAnnotations()[IntentNote]), "annotation "+IntentNote
	var into any = &spec.Intent
	if raw, ok := object.Object["spec"]; ok {
		var err error
		if text, err = json.Marshal(raw); err != nil {
			return Spec{}, fmt.Errorf("strategy/kube: %s/%s: spec: %w", object.GetNamespace(), object.GetName(), err)
		}
		field, into = "spec", &spec
	}
	if len(text) == 0 {
		return spec, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return Spec{}, fmt.Errorf("strategy/kube: %s/%s: %s: %w", object.GetNamespace(), object.GetName(), field, err)
	}
	return spec, nil
}

// Intent is the operator's will as the service's object has it: for strategy.Config.Intent.
// By is who the intent says it is by, and otherwise the field manager that wrote it, such
// as "kubectl-edit". An object that is being deleted is to go home.
func (s *Store) Intent(ctx context.Context, service string) (strategy.Intent, error) {
	object, err := s.object(ctx, service)
	switch {
	case err != nil:
		return strategy.Intent{}, err
	case object == nil:
		return strategy.Intent{}, fmt.Errorf("strategy/kube: intent of %q: it has no object any more", service)
	}
	have, err := s.statusOf(object)
	if err != nil {
		return strategy.Intent{}, err
	}
	spec, err := SpecOf(object)
	if err != nil {
		return strategy.Intent{}, err
	}
	return intent(object, spec, have), nil
}

// intent is what an object asks for now, of the run in its status.
func intent(object *unstructured.Unstructured, spec Spec, have status) strategy.Intent {
	asked := spec.Intent
	i := strategy.Intent{Run: have.Run, Want: spec.Candidate, Hold: asked.Hold, By: asked.By, Why: asked.Why}
	if i.By == "" {
		i.By = writerOf(object.GetManagedFields())
	}
	if asked.Run == have.Run {
		i.Abort, i.Promote, i.Resume, i.Waive = asked.Abort, asked.Promote, asked.Resume, asked.Waive
		for _, grant := range asked.Approvals {
			if grant.Digest == "" {
				grant.Digest = have.Plan // a run has one plan
			}
			i.Approvals = append(i.Approvals, grant)
		}
	}
	if object.GetDeletionTimestamp() != nil {
		i.Abort, i.Hold, i.Why = true, false, "the object is being deleted"
	}
	return i
}

// writerOf names the field manager that wrote the intent last.
func writerOf(fields []metav1.ManagedFieldsEntry) string {
	for _, path := range [][]string{{"spec", "intent"}, {"metadata", "annotations", IntentNote}, {"spec", "candidate"}} {
		if w, ok := kube.LastWrite(fields, path...); ok {
			return w.Manager
		}
	}
	return ""
}
