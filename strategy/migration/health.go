// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Health makes a judge the health that throttles a backfill, see migrate.Throttle: the
// program's own metrics, judged as a rollout's are, slow the backfill down or stop it.
// Fail is 0, which stops it until the judge says otherwise; Inconclusive is half; what
// passes, or is not decided yet, is 1. c says what is judged, its Since and Until apart.
func Health(judge analysis.Judge, c analysis.Check) func(context.Context) (float64, error) {
	var mu sync.Mutex
	return func(ctx context.Context) (float64, error) {
		mu.Lock()
		defer mu.Unlock()
		c.Until = time.Now()
		if c.Since.IsZero() {
			c.Since = c.Until
		}
		f, err := judge.Judge(ctx, c)
		if err != nil {
			return 0, fmt.Errorf("migration: judge %s: %w", c.Name, err)
		}
		c.State = f.State
		switch f.Verdict {
		case analysis.Fail:
			// What failed is not held against it for ever: the next look begins anew.
			c.State, c.Since = "", time.Time{}
			return 0, nil
		case analysis.Inconclusive:
			return 0.5, nil
		case analysis.Pending, analysis.Pass, analysis.Safe:
		}
		return 1, nil
	}
}
