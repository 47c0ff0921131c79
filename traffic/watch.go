// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Drift is a change of what somebody who wants a certain route sees of it.
type Drift struct {
	// Want is the route that should be in force, moved to the router's granularity.
	Want Route
	// Seen is what is in force instead; Seen.Writer names who wrote it, where the
	// target tells.
	Seen Seen
	// Over says that the wanted route is in force again.
	Over bool
}

// String is the drift in one sentence.
func (d Drift) String() string {
	if d.Over {
		return fmt.Sprintf("back at %q", d.Want)
	}
	return fmt.Sprintf("%q instead of %q%s", d.Seen.Route, d.Want, by(d.Seen.Writer))
}

// Watch looks at the router, at once and then every so often (0 is every 15
// seconds), and yields when another route than want comes into force, again when
// that one changes or another writes it, and once more, as Over, when want is
// back. A look that fails is yielded as an error, once until a look succeeds:
// meanwhile nobody knows. It never writes; putting back is for the caller.
//
// It ends when ctx does or the caller stops. A want that no route could be, or
// that the router's Caps rule out, is yielded as the only error.
func Watch(ctx context.Context, r Router, want Route, every time.Duration) iter.Seq2[Drift, error] {
	if every <= 0 {
		every = 15 * time.Second
	}
	return func(yield func(Drift, error) bool) {
		want, err := r.Caps().NearestRoute(want)
		if err != nil {
			yield(Drift{}, fmt.Errorf("traffic: watch: %w", err))
			return
		}
		told := Drift{Want: want, Over: true}
		for blind := false; ; {
			seen, err := r.Observe(ctx)
			now := Drift{Want: want, Seen: seen, Over: seen.Route.Equal(want)}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				if !blind && !yield(Drift{Want: want}, fmt.Errorf("traffic: watch: %w", err)) {
					return
				}
			case !now.same(told):
				if !yield(now, nil) {
					return
				}
				told = now
			}
			blind = err != nil
			if !pause(ctx, every) {
				return
			}
		}
	}
}

// same reports whether there is nothing to tell after o.
func (d Drift) same(o Drift) bool {
	if d.Over || o.Over {
		return d.Over == o.Over
	}
	return d.Seen.Route.Equal(o.Seen.Route) && d.Seen.Writer == o.Seen.Writer
}
