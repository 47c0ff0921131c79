// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/internal/answers"
)

// arms bounds how many names a Recorder counts.
const arms = 1024

// Recorder counts outcomes in this process where no proxy does: of the variants of a
// flag, of the workers of a queue. It is Totals, so [FromTotals] makes a source of it. The
// zero Recorder is ready, and safe for concurrent use.
type Recorder struct {
	mu    sync.RWMutex
	byArm map[string]*recorded
}

type recorded struct {
	answers.Counter
	since time.Time
}

// Record counts one outcome of an arm. Beyond 1,024 arms, new ones are not counted:
// a judge then says that it has no data.
func (r *Recorder) Record(arm string, took time.Duration, failed bool) {
	r.mu.RLock()
	a := r.byArm[arm]
	r.mu.RUnlock()
	if a == nil {
		if a = r.open(arm); a == nil {
			return
		}
	}
	a.Counter.Record(took, failed)
}

func (r *Recorder) open(arm string) *recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.byArm[arm]; a != nil {
		return a
	}
	if len(r.byArm) >= arms {
		return nil
	}
	if r.byArm == nil {
		r.byArm = make(map[string]*recorded)
	}
	a := &recorded{since: time.Now()}
	r.byArm[arm] = a
	return a
}

// Totals implements Totals. An arm that nothing was recorded of is not known.
func (r *Recorder) Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool) {
	r.mu.RLock()
	a := r.byArm[arm]
	r.mu.RUnlock()
	if a == nil {
		return 0, 0, nil, time.Time{}, false
	}
	requests, errors, latency = a.Counter.Totals()
	return requests, errors, latency, a.since, true
}

// Bounds are the upper bounds of the latency buckets, from 0.5 ms to 30 s.
func (r *Recorder) Bounds() []time.Duration { return answers.Bounds() }
