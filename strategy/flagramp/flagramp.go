// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagramp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/traffic"
)

// ErrKilled is returned by Apply where the flag is not enabled and the route has
// weight for the candidate. To enable it is somebody's decision and not a rollout's.
var ErrKilled = errors.New("flagramp: the flag is not enabled")

// Annotation is where a flag keeps the route that was accepted last, and its fence.
const Annotation = "rheostat/ramp"

// unit is the smallest share of a flag, a thousandth of a percent.
const unit = traffic.Full / traffic.Weight(flags.Everybody)

// Options of a Router. The zero value dials a flag whose variants are the arms.
type Options struct {
	// Variants names the variant of an arm, where it is not called as the arm is.
	Variants map[string]string
	// Client, if given, lets Observe show Effective once this client evaluates by
	// what was written. Without one, Observe cannot tell more than Written.
	Client *flags.Client
	// Lag bounds how long other processes go on with what they had.
	Lag time.Duration
	// By is who is noted in the flag as having written it. "" is rheostat.
	By string
}

// Router dials one flag. It is safe for concurrent use, and any number of them may
// dial one flag.
type Router struct {
	store   flags.Store
	key     string
	options Options
}

var _ traffic.Router = (*Router)(nil)

// New makes a router of the flag under key. The flag need not exist yet.
func New(store flags.Store, key string, options Options) (*Router, error) {
	switch {
	case store == nil:
		return nil, errors.New("flagramp: New: no store")
	case key == "":
		return nil, errors.New("flagramp: New: no key of a flag")
	case options.Lag < 0:
		return nil, fmt.Errorf("flagramp: New: Options.Lag: %v is less than none", options.Lag)
	}
	options.By = cmp.Or(options.By, "rheostat")
	return &Router{store: store, key: key, options: options}, nil
}

// Caps says that any thousandth of a percent can be had. Both variants run in the
// processes that are there anyway, so there is room for either.
func (r *Router) Caps() traffic.Caps {
	caps := traffic.Caps{Granularity: unit, Fencing: true, Room: true, Evidence: traffic.Written, Lag: r.options.Lag}
	if r.options.Client != nil {
		caps.Evidence = traffic.Effective
	}
	return caps
}

// Apply writes the route into the flag, by compare-and-set, with the fence beside it.
// It is ErrKilled if the flag is not enabled and the candidate would have weight, and
// flags.ErrNotFound if there is no flag.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("flagramp: apply: %w", context.Cause(ctx))
	}
	near, err := r.Caps().NearestRoute(route)
	if err != nil {
		return fmt.Errorf("flagramp: apply: %w", err)
	}
	next := traffic.Accepted{Fence: fence, Route: near}
	note := flags.Note{By: r.options.By, Why: fmt.Sprintf("route %v under fence %d", near, fence)}
	_, err = flags.Edit(ctx, r.store, r.key, note, func(f *flags.Flag) error { return r.write(f, next) })
	switch {
	case err == nil || errors.Is(err, errInForce):
		return nil
	case errors.Is(err, flags.ErrConflict):
		return fmt.Errorf("flagramp: apply: %w: %w", traffic.ErrConflict, err)
	default:
		return fmt.Errorf("flagramp: apply %w", err)
	}
}

// errInForce keeps a route from being written again that is in force.
var errInForce = errors.New("in force already")

// write puts the route and its fence into the flag.
func (r *Router) write(f *flags.Flag, next traffic.Accepted) error {
	last := accepted(f)
	if err := last.Admit(next.Fence, next.Route); err != nil {
		return err
	}
	switch {
	case !f.Enabled && next.Route.Split.Candidate > 0:
		return fmt.Errorf("%q, by %q, who says %q: %w", r.key, f.UpdatedBy, f.Why, ErrKilled)
	case last.Fence == next.Fence && last.Route.Equal(next.Route) && r.dialled(f, next.Route):
		return errInForce
	}
	if err := r.dial(f, next.Route); err != nil {
		return err
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if f.Annotations == nil {
		f.Annotations = make(map[string]string)
	}
	f.Annotations[Annotation] = string(text)
	return nil
}

// accepted is what the flag says was accepted last. What cannot be read is nothing:
// then whoever comes next is let in.
func accepted(f *flags.Flag) traffic.Accepted {
	var a traffic.Accepted
	if err := json.Unmarshal([]byte(f.Annotations[Annotation]), &a); err != nil {
		return traffic.Accepted{}
	}
	return a
}

// variant is the flag's name of an arm.
func (r *Router) variant(arm string) string { return cmp.Or(r.options.Variants[arm], arm) }

// split is the route as the flag writes it: the candidate first, so that raising its
// share moves one edge, and nobody who is in falls out.
func (r *Router) split(route traffic.Route) []flags.Share {
	share := flags.Percent(route.Split.Candidate / unit)
	return []flags.Share{
		{Variant: r.variant(route.Arms.Candidate), Percent: share},
		{Variant: r.variant(route.Arms.Stable), Percent: flags.Everybody - share},
	}
}

// plain reports whether the flag is a boolean that is written as a rollout, and the
// route one from off to on.
func (r *Router) plain(f *flags.Flag, route traffic.Route) bool {
	return f.Variants == nil && f.Default == nil && r.variant(route.Arms.Candidate) == "on" && r.variant(route.Arms.Stable) == "off"
}

func (r *Router) dial(f *flags.Flag, route traffic.Route) error {
	split := r.split(route)
	if r.plain(f, route) {
		return f.Dial("on", split[0].Percent)
	}
	if f.Default == nil {
		f.Default = new(flags.Serve)
	}
	f.Rollout = nil
	f.Default.Variant, f.Default.Split = "", split
	if err := f.Check(); err != nil {
		return fmt.Errorf("arms %v are no variants of the flag, see Options.Variants: %w", route.Arms, err)
	}
	return nil
}

// dialled reports whether the flag gives what the route says.
func (r *Router) dialled(f *flags.Flag, route traffic.Route) bool {
	if !f.Enabled {
		return route.Split.Candidate == 0
	}
	split := r.split(route)
	if r.plain(f, route) {
		return percentage(f.Rollout) == split[0].Percent
	}
	return f.Default != nil && f.Default.Variant == "" && len(f.Default.Split) == 2 &&
		f.Default.Split[0] == split[0] && f.Default.Split[1] == split[1]
}

// percentage is the share of a boolean's units that its rollout lets in.
func percentage(rollout *flags.Rollout) flags.Percent {
	switch {
	case rollout == nil || rollout.Type == "all" || rollout.Type == "":
		return flags.Everybody
	case rollout.Type == "percentage":
		return rollout.Percentage
	default:
		return 0
	}
}

// Observe reads the flag. A flag that was changed by others since is shown as it is, without
// a fence and with who wrote it.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := ctx.Err(); err != nil {
		return traffic.Seen{}, fmt.Errorf("flagramp: observe: %w", context.Cause(ctx))
	}
	f, err := r.store.Get(ctx, r.key)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("flagramp: observe: %w", err)
	}
	seen := traffic.Seen{Evidence: traffic.Written, Room: traffic.Plenty}
	last := accepted(f)
	if r.options.Client != nil {
		if now, ok := r.options.Client.Flag(r.key); ok && now.Version >= f.Version {
			seen.Evidence = traffic.Effective
		}
	}
	if !last.Route.IsZero() && r.dialled(f, last.Route) {
		seen.Route, seen.Fence = last.Route, last.Fence
		return seen, nil
	}
	seen.Route, seen.Writer = r.read(f, last.Route.Arms), f.UpdatedBy
	return seen, nil
}

// read is the route that somebody else has written, between the arms of the last one
// where the flag serves these.
func (r *Router) read(f *flags.Flag, arms traffic.Arms) traffic.Route {
	share := map[string]flags.Percent{}
	switch {
	case !f.Enabled:
		share[r.variant(arms.Stable)] = flags.Everybody
	case f.Default != nil && f.Default.Variant != "":
		share[f.Default.Variant] = flags.Everybody
	case f.Default != nil:
		for _, s := range f.Default.Split {
			share[s.Variant] += s.Percent
		}
	case f.Variants == nil:
		share["on"] = percentage(f.Rollout)
		share["off"] = flags.Everybody - share["on"]
	}
	candidate, stable := share[r.variant(arms.Candidate)], share[r.variant(arms.Stable)]
	if arms == (traffic.Arms{}) || candidate+stable != flags.Everybody {
		return traffic.Route{} // nothing that a route between these arms could say
	}
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Weight(candidate) * unit}}
}
