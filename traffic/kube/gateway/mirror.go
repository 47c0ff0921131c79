// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// onePercent is the finest share that all CRDs with shares know.
const onePercent = traffic.Full / 100

// copies is whom a filter sends copies to, "" if it is no mirror.
func (v *view) copies(filter map[string]any) (mirror map[string]any, arm string) {
	mirror, _ = filter["requestMirror"].(map[string]any)
	ref, _ := mirror["backendRef"].(map[string]any)
	if filter["type"] != "RequestMirror" || ref == nil {
		return nil, ""
	}
	return mirror, v.arm(ref)
}

// mirrored is the share of which the candidate gets copies by a rule.
func (v *view) mirrored(at int) (w traffic.Weight, err error) {
	for _, f := range objects(v.all[at]["filters"]) {
		m, arm := v.copies(f)
		if arm == "" || arm != v.arms.Candidate {
			continue
		}
		if w > 0 {
			return 0, errors.New("filters: two of them send copies to the candidate")
		}
		w = mirrorShare(m)
	}
	return w, nil
}

func mirrorShare(m map[string]any) traffic.Weight {
	if percent, ok := m["percent"].(int64); ok {
		return weights.Share(percent, 100)
	}
	fraction, ok := m["fraction"].(map[string]any)
	if !ok {
		return traffic.Full
	}
	numerator, _ := fraction["numerator"].(int64)
	denominator, ok := fraction["denominator"].(int64)
	if !ok || denominator <= 0 {
		denominator = 100
	}
	return weights.Share(numerator, denominator)
}

// mirror makes a rule send copies to the candidate, or to nobody; other filters stay where
// they are.
func (v *view) mirror(rule map[string]any, w traffic.Weight) {
	had, _ := rule["filters"].([]any)
	var list []any
	for _, item := range had {
		f, _ := item.(map[string]any)
		if _, arm := v.copies(f); arm != "" && (arm == v.arms.Stable || arm == v.arms.Candidate) {
			continue
		}
		list = append(list, item)
	}
	if w > 0 {
		list = append(list, v.newMirror(rule, w))
	}
	switch {
	case len(list) > 0:
		rule["filters"] = list
	case len(had) > 0:
		delete(rule, "filters")
	}
}

func (v *view) newMirror(rule map[string]any, w traffic.Weight) map[string]any {
	var to map[string]any
	for _, ref := range objects(rule["backendRefs"]) {
		if v.arm(ref) == v.arms.Candidate {
			to = v.like(ref, v.arms.Candidate)
		}
	}
	delete(to, "weight")
	delete(to, "filters")
	m := map[string]any{"backendRef": to}
	switch {
	case w == traffic.Full:
	case w%onePercent == 0:
		m["percent"] = int64(w / onePercent)
	default:
		m["fraction"] = map[string]any{"numerator": int64(w), "denominator": int64(traffic.Full)}
	}
	return map[string]any{"type": "RequestMirror", "requestMirror": m}
}
