// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rheostat-go/rheostat/traffic"
)

// onePercent is how Istio counts shares of copies.
const onePercent = traffic.Full / 100

// shareFields hold the share of the field mirror, from new to old.
var shareFields = []string{"mirrorPercentage", "mirrorPercent", "mirror_percent"}

// mirrored is the share of which the candidate gets copies by a route.
func (v *view) mirrored(e *entry) (w traffic.Weight, err error) {
	if to, ok := e.route["mirror"].(map[string]any); ok && v.copied(to) == v.arms.Candidate {
		w = traffic.Full
		for _, field := range shareFields {
			if said, ok := e.route[field]; ok {
				w = percentage(said)
				break
			}
		}
	}
	for _, m := range objects(e.route["mirrors"]) {
		if v.arm(m) != v.arms.Candidate {
			continue
		}
		if w > 0 {
			return 0, errors.New("mirrors: the candidate is there twice")
		}
		w = traffic.Full
		if said, ok := m["percentage"]; ok {
			w = percentage(said)
		}
	}
	return w, nil
}

// copied is whom the field mirror names: a destination without what is around one elsewhere.
func (v *view) copied(mirror map[string]any) string {
	return v.arm(map[string]any{"destination": mirror})
}

// percentage reads {value: 12.5}, or 12 of the fields of old.
func percentage(said any) traffic.Weight {
	if m, ok := said.(map[string]any); ok {
		said = m["value"]
	}
	var percent float64
	switch n := said.(type) {
	case int64:
		percent = float64(n)
	case float64:
		percent = n
	}
	return traffic.Weight(math.Round(min(max(percent, 0), 100) * float64(onePercent)))
}

// mirror makes a route send copies to the candidate, or to nobody. A mirror of somebody
// else stays.
func (v *view) mirror(route map[string]any, w traffic.Weight) error {
	ours := func(arm string) bool { return arm == v.arms.Stable || arm == v.arms.Candidate }
	to, single := route["mirror"].(map[string]any)
	if single && ours(v.copied(to)) {
		single = false
		for _, field := range append([]string{"mirror"}, shareFields...) {
			delete(route, field)
		}
	}
	had, several := route["mirrors"].([]any)
	list := slices.DeleteFunc(had, func(m any) bool {
		to, _ := m.(map[string]any)
		return ours(v.arm(to))
	})
	if w == 0 && len(list) == 0 {
		delete(route, "mirrors")
		return nil
	}
	if w == 0 {
		route["mirrors"] = list
		return nil
	}
	candidate, err := v.to(&entry{route: route}, v.arms.Candidate)
	if err != nil {
		return err
	}
	d := v.like(candidate, v.arms.Candidate)["destination"]
	switch {
	case single:
		return fmt.Errorf("mirror: the route has one already, and Istio takes no second beside it; write it as one of mirrors: %w", errors.ErrUnsupported)
	case several && len(list) > 0:
		m := map[string]any{"destination": d}
		if w < traffic.Full {
			m["percentage"] = map[string]any{"value": percent(w)}
		}
		route["mirrors"] = append(list, m)
	default:
		delete(route, "mirrors")
		route["mirror"] = d
		if w < traffic.Full {
			route["mirrorPercentage"] = map[string]any{"value": percent(w)}
		}
	}
	return nil
}

// percent is a share as the API server would give it back.
func percent(w traffic.Weight) any {
	if w%onePercent == 0 {
		return int64(w / onePercent)
	}
	return float64(w) / float64(onePercent)
}
