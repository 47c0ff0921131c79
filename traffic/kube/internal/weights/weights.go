// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package weights is how lists of backends with weights, which objects of several kinds
// have, are read as a share of the candidate, and what is written into them.
package weights

import (
	"context"
	"errors"
	"fmt"
	"math"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

// Backend is one of those that requests are divided among.
type Backend struct {
	Arm    string
	Weight int64
}

// Found is the arms of a list that nobody has named: stable is what comes first and gets
// anything.
func Found(all []Backend) (arms traffic.Arms) {
	for _, b := range all {
		switch {
		case arms.Stable == "" && b.Weight > 0:
			arms.Stable = b.Arm
		case arms.Candidate == "" && b.Arm != arms.Stable:
			arms.Candidate = b.Arm
		}
	}
	return arms
}

// Candidate is what the candidate gets, or who else gets requests.
func Candidate(all []Backend, arms traffic.Arms) (share traffic.Weight, stranger string, err error) {
	var part, sum int64
	for _, b := range all {
		if b.Weight > 0 && b.Arm != arms.Stable && b.Arm != arms.Candidate {
			stranger = b.Arm
		}
		if sum += b.Weight; b.Arm == arms.Candidate {
			part += b.Weight
		}
	}
	if sum == 0 {
		return 0, "", errors.New("nobody gets anything")
	}
	return Share(part, sum), stranger, nil
}

// Share is part of sum as a weight, and neither nothing nor everything if it is between.
func Share(part, sum int64) traffic.Weight {
	full := int64(traffic.Full)
	w := (part*full + sum/2) / sum
	switch {
	case w == 0 && part > 0:
		w = 1
	case w == full && part < sum:
		w = full - 1
	}
	return traffic.Weight(w) //nolint:gosec // between 0 and Full
}

// Pair is what stable and the candidate get, in this order.
type Pair [2]Backend

// Of are the weights of a route, which add up to total.
func Of(route traffic.Route, total int64) Pair {
	part := int64(route.Split.Candidate) * total / int64(traffic.Full)
	return Pair{{route.Arms.Stable, total - part}, {route.Arms.Candidate, part}}
}

// For is the weight of an arm, and 0 for everybody else.
func (p Pair) For(arm string) int64 {
	for _, b := range p {
		if b.Arm == arm {
			return b.Weight
		}
	}
	return 0
}

// Missing are the arms without a Service, which is at(arm). That is an error for one that
// gets requests; for the other one not to know is in nobody's way.
func (p Pair) Missing(ctx context.Context, reader kube.Reader, at func(arm string) kube.Object) (map[string]bool, error) {
	lacks := map[string]bool{}
	for _, b := range p {
		_, err := reader.Get(ctx, at(b.Arm))
		if err != nil && b.Weight > 0 {
			return nil, fmt.Errorf("arm %q: %w", b.Arm, err)
		}
		lacks[b.Arm] = apierrors.IsNotFound(err)
	}
	return lacks, nil
}

// In is the weight that an entry of a list says, and missing where it says none.
func In(entry map[string]any, missing int64) (int64, error) {
	weight, found, err := unstructured.NestedInt64(entry, "weight")
	switch {
	case err != nil:
		return 0, fmt.Errorf("weight: %w", err)
	case !found:
		return missing, nil
	case weight < 0 || weight > math.MaxInt32:
		return 0, fmt.Errorf("weight: %d is not from 0 to %d", weight, math.MaxInt32)
	}
	return weight, nil
}
