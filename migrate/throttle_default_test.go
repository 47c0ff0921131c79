// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"testing"
	"time"
)

type hasty struct{ *Memory }

func (hasty) DefaultThrottle() Throttle { return Throttle{Batch: 8 * time.Millisecond, Workers: 3} }

func TestADatabaseKnowsBetterThanTheZeroThrottle(t *testing.T) {
	t.Parallel()
	got := newGovernor(Throttle{Workers: 2, Duty: 0.25}.of(hasty{NewMemory()}))
	if got.Batch != 8*time.Millisecond || got.Workers != 2 || got.Duty != 0.25 || got.Lag == 0 {
		t.Errorf("the throttle is %+v", got.Throttle)
	}
	if got := newGovernor(Throttle{}.of(NewMemory())); got.Batch != 50*time.Millisecond {
		t.Errorf("a database without one has batches of %v", got.Batch)
	}
}
