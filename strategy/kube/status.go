// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy"
)

// stateLabel marks the ConfigMaps that hold a state.
const stateLabel = "rheostat.dev/state"

// status is what an object tells of its rollout. State is what counts: all of
// strategy.State in JSON, as one string, which no schema prunes, no encoder rounds and
// managedFields name once. The rest is for people and their tools.
type status struct {
	State string `json:"state,omitempty"`
	// Mark is of the save that wrote this.
	Mark string `json:"mark,omitempty"`

	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions"`
	Run                uint64             `json:"run"`
	Rev                uint64             `json:"rev"`
	Phase              string             `json:"phase"`
	Lane               string             `json:"lane"`
	Step               string             `json:"step"`
	Weight             string             `json:"weight"`
	Stable             string             `json:"stable"`
	Candidate          string             `json:"candidate"`
	Plan               string             `json:"plan"`
	Hold               uint64             `json:"hold"`
	// Journal is raw: what a newer program wrote must not keep an older one from reading.
	Journal []json.RawMessage `json:"journal"`
}

// storedRev is the Rev of the state, 0 if there is none.
func (s *status) storedRev() (uint64, error) {
	if s.State == "" {
		return 0, nil
	}
	var state struct {
		Rev uint64 `json:"rev"`
	}
	if err := json.Unmarshal([]byte(s.State), &state); err != nil {
		return 0, fmt.Errorf("its state: %w", err)
	}
	return state.Rev, nil
}

// take makes the status that of a state, and keeps the end of the journal.
func (s *status) take(next strategy.State, data, mark string, log []json.RawMessage, keep int) {
	s.State, s.Mark = data, mark
	s.Run, s.Rev, s.Phase = next.Run, next.Rev, next.Phase.String()
	s.Stable, s.Candidate = next.Release.Stable.Version, next.Release.Candidate.Version
	s.Plan, s.Hold = next.Plan.Digest(), next.Hold.ID
	s.Lane, s.Step, s.Weight = position(next)
	s.Journal = append(s.Journal, log...)
	s.Journal = s.Journal[max(0, len(s.Journal)-keep):]
	s.Conditions = conditions(s.Conditions, next)
}

// position is where the rollout stands: in the first lane that moves, or in the last one
// that did.
func position(s strategy.State) (lane, step, weight string) {
	at := -1
	lanes := s.Plan.Plan().Lanes
	for i := range min(len(lanes), len(s.Lanes)) {
		switch s.Lanes[i].Status {
		case strategy.Moving, strategy.Returning:
			at = i
		case strategy.Done, strategy.Home:
			if at < 0 || i+1 == len(lanes) {
				at = i
			}
			continue
		case strategy.Waiting:
			continue
		}
		break
	}
	if at < 0 {
		return "", "", ""
	}
	l := lanes[at]
	lane, step = l.Name, l.Steps[s.Lanes[at].Step].Name
	for _, each := range l.Steps {
		for _, dial := range each.Set {
			if target, ok := s.Target(dial.Target); ok {
				return lane, step, target.Route.Split.Candidate.String()
			}
		}
	}
	return lane, step, ""
}

// statusOf reads an object.
func (s *Store) statusOf(object *unstructured.Unstructured) (status, error) {
	var have status
	var err error
	if s.options.ConfigMaps {
		data, _, _ := unstructured.NestedStringMap(object.Object, "data")
		if text := data["status"]; text != "" {
			err = json.Unmarshal([]byte(text), &have)
		}
		have.State = data["state"]
	} else if raw, ok := object.Object["status"]; ok {
		var text []byte
		if text, err = json.Marshal(raw); err == nil {
			err = json.Unmarshal(text, &have)
		}
	}
	if err != nil {
		return status{}, fmt.Errorf("strategy/kube: %s %s/%s: its status: %w", s.kind, object.GetNamespace(), object.GetName(), err)
	}
	return have, nil
}

// patch is the merge patch that puts a status into an object, if it still is the one that
// was read, and the subresource to which it goes. A merge patch that comes too late is a
// conflict; a JSON patch with a test would be an invalid request.
func (s *Store) patch(object *unstructured.Unstructured, have status) (patch []byte, sub []string, err error) {
	meta := map[string]any{"resourceVersion": object.GetResourceVersion()}
	if !s.options.ConfigMaps {
		patch, err = json.Marshal(map[string]any{"metadata": meta, "status": have})
		return patch, []string{"status"}, err
	}
	meta["labels"] = map[string]string{stateLabel: "true"}
	state := have.State
	have.State = ""
	text, err := json.Marshal(have)
	if err != nil {
		return nil, nil, err
	}
	patch, err = json.Marshal(map[string]any{"metadata": meta, "data": map[string]string{"state": state, "status": string(text)}})
	return patch, nil, err
}
