// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"time"
)

// DrainOptions say when an arm counts as quiet. The zero value works.
type DrainOptions struct {
	// Quiet is how long nothing must have been under way and nothing new have
	// come. 0 is five seconds.
	Quiet time.Duration
	// Every is the pause between two looks. 0 is a quarter second.
	Every time.Duration
}

// Drained says what an arm's quiet was seen by.
type Drained struct {
	// Counted says that requests were counted: none came and none was under way
	// for all of Quiet. Without it, only the time was waited that the router
	// declares; requests that outlive it are not seen.
	Counted bool
	// Waited is how long it took.
	Waited time.Duration
}

// Drain waits until an arm is quiet, so that it can be scaled down. Only then:
// the route in force must send the arm nothing, no copies and no matches either,
// with the best evidence that the router can give; Caps.Lag must have passed
// since that was seen; and, if the router is a [Meter], no request may be under way
// to the arm, and none have come, for all of Quiet. Requests on connections that
// stay open, HTTP/2 streams and WebSockets count, so that a client that knows the
// arm's address by itself is noticed, too.
//
// It returns an error at once if the route in force sends the arm anything, and
// begins to wait anew when something comes. When ctx ends, the error says what
// kept the arm busy: bound it, since a WebSocket may stay open for days.
func Drain(ctx context.Context, r Router, arm string, o DrainOptions) (Drained, error) {
	if o.Quiet <= 0 {
		o.Quiet = 5 * time.Second
	}
	if o.Every <= 0 {
		o.Every = time.Second / 4
	}
	d := drain{router: r, arm: arm, options: o, caps: r.Caps()}
	d.meter, _ = MeterOf(r)
	begun := time.Now()
	for last := "it was not looked at"; ; {
		why, err := d.look(ctx)
		if ctx.Err() != nil {
			why = last // what was seen before says more
		}
		last = why
		done := Drained{Counted: d.meter != nil, Waited: time.Since(begun)}
		switch {
		case err != nil:
			return done, fmt.Errorf("traffic: drain %q: %w", arm, err)
		case why == "":
			return done, nil
		case !pause(ctx, o.Every):
			return done, fmt.Errorf("traffic: drain %q: %s: %w", arm, why, context.Cause(ctx))
		}
	}
}

// drain is one Drain under way.
type drain struct {
	router  Router
	meter   Meter
	arm     string
	options DrainOptions
	caps    Caps

	spared time.Time // since when the route is seen to send the arm nothing
	quiet  time.Time // since when nothing has come and nothing is under way
	given  uint64    // requests until then
}

// look says why the arm is not quiet yet, or "".
func (d *drain) look(ctx context.Context) (why string, err error) {
	seen, err := d.router.Observe(ctx)
	switch {
	case err != nil:
		d.spared, d.quiet = time.Time{}, time.Time{}
		return "the route cannot be seen: " + err.Error(), nil
	case seen.Route.sends(d.arm):
		return "", fmt.Errorf("the route in force still sends it requests: %q%s", seen.Route, by(seen.Writer))
	case seen.Evidence < d.caps.Evidence:
		d.spared = time.Time{}
		return fmt.Sprintf("that it gets nothing is no more than %v", seen.Evidence), nil
	}
	if d.spared.IsZero() {
		d.spared = time.Now()
	}
	if d.meter != nil {
		if why := d.read(ctx); why != "" {
			d.quiet = time.Time{}
			return why, nil
		}
	} else if d.quiet.IsZero() {
		d.quiet = d.spared.Add(d.caps.Lag)
	}
	switch {
	case time.Since(d.spared) < d.caps.Lag:
		return fmt.Sprintf("some of its clients may not know yet, for %v", d.caps.Lag), nil
	case time.Since(d.quiet) < d.options.Quiet:
		return fmt.Sprintf("it has not been quiet for %v", d.options.Quiet), nil
	}
	return "", nil
}

// read says what the arm is doing, or "".
func (d *drain) read(ctx context.Context) string {
	readings, err := d.meter.Meter(ctx)
	if err != nil {
		return "its requests cannot be counted: " + err.Error()
	}
	now := readings[d.arm]
	came := now.Requests != d.given
	d.given = now.Requests
	switch {
	case now.Active > 0:
		return fmt.Sprintf("%d requests are under way", now.Active)
	case d.quiet.IsZero() || came:
		d.quiet = time.Now()
	}
	return ""
}

// sends reports whether the route gives the arm any request, or a copy of one.
func (r Route) sends(arm string) bool {
	switch arm {
	case r.Arms.Stable:
		return r.Split.Candidate < Full
	case r.Arms.Candidate:
		return r.Split.Touches()
	}
	return false
}
