// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"math"
)

// Bounds is what a value must keep to, its ends included. [AtMost], [AtLeast] and
// [Between] make one; the zero Bounds is refused, since everything keeps to it.
type Bounds struct {
	low, high       float64
	hasLow, hasHigh bool
}

// AtMost is a highest value that is still good.
func AtMost(high float64) Bounds { return Bounds{high: high, hasHigh: true} }

// AtLeast is a lowest value that is still good.
func AtLeast(low float64) Bounds { return Bounds{low: low, hasLow: true} }

// Between is a lowest and a highest value that are still good.
func Between(low, high float64) Bounds {
	return Bounds{low: low, high: high, hasLow: true, hasHigh: true}
}

// Keeps reports whether v is a number within the bounds. NaN and the infinities
// keep to none.
func (b Bounds) Keeps(v float64) bool {
	if math.IsNaN(v) || math.IsInf(v, 0) || !b.hasLow && !b.hasHigh {
		return false
	}
	return (!b.hasLow || v >= b.low) && (!b.hasHigh || v <= b.high)
}

// check reports bounds that cannot be meant.
func (b Bounds) check(share bool) error {
	switch {
	case !b.hasLow && !b.hasHigh:
		return errors.New("Bounds: none given: use AtMost, AtLeast or Between")
	case math.IsNaN(b.low) || math.IsInf(b.low, 0) || math.IsNaN(b.high) || math.IsInf(b.high, 0):
		return fmt.Errorf("Bounds: %v is not made of numbers", b)
	case b.hasLow && b.hasHigh && b.low > b.high:
		return fmt.Errorf("Bounds: %v: the low end is above the high end", b)
	case !share:
		return nil
	case b.low < 0 || b.low > 1 || b.high < 0 || b.high > 1:
		return fmt.Errorf("Bounds: %v: a share lies between 0 and 1; 1%% is 0.01", b)
	case (!b.hasLow || b.low == 0) && (!b.hasHigh || b.high == 1):
		return fmt.Errorf("Bounds: %v: every share keeps to it; 1%% is 0.01", b)
	}
	return nil
}

// String is the bounds in words, such as "at most 0.01".
func (b Bounds) String() string { return b.text(plainNumber) }

func (b Bounds) text(number func(float64) string) string {
	switch {
	case b.hasLow && b.hasHigh:
		return "between " + number(b.low) + " and " + number(b.high)
	case b.hasLow:
		return "at least " + number(b.low)
	case b.hasHigh:
		return "at most " + number(b.high)
	}
	return "no bounds"
}
