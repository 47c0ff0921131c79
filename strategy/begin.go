// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// complete fills in the last known good revision as stable where none is named.
func (r Release) complete(s State) Release {
	if r.Stable == (Revision{}) {
		r.Stable = s.LastGood
	}
	return r
}

// admit refuses a release that must not be tried now.
func (t *turn) admit(l Launch) error {
	r := l.Release
	switch {
	case r.Stable.Version == "":
		return fmt.Errorf("%w: stable has no version, and nothing was promoted before; name what serves now", ErrInvalidRelease)
	case r.Candidate.Version == "":
		return fmt.Errorf("%w: candidate has no version", ErrInvalidRelease)
	case r.Stable.Identity() == r.Candidate.Identity():
		return fmt.Errorf("%w: stable and candidate are both %q", ErrInvalidRelease, r.Stable.Identity())
	case r.Stable.Arm() == r.Candidate.Arm():
		return fmt.Errorf("%w: stable and candidate share backend %q; traffic is split between two", ErrInvalidRelease, r.Stable.Arm())
	}
	for _, q := range t.s.Quarantine {
		id := q.Revision.Identity()
		if id == r.Stable.Identity() || id == r.Candidate.Identity() && l.Override.By == "" {
			return fmt.Errorf("%w: %s was sent home at %s (%v: %s); release a new one, or give Request.Override with who and why",
				ErrQuarantined, cmp.Or(q.Revision.Version, id), q.At.Format(time.RFC3339), q.Cause, q.Reason)
		}
	}
	window := cmp.Or(t.machine.FlapWindow, DefaultFlapWindow)
	if until := t.s.Returned.Add(window); !t.s.Returned.IsZero() && window > 0 && t.now.Before(until) && l.Override.By == "" {
		return &FlapError{Returned: t.s.Returned, Until: until, Why: t.s.ReturnedWhy}
	}
	return nil
}

// begin makes t.s a new run. Every target must be seen, and serve stable alone.
func (t *turn) begin(l Launch) error {
	if err := t.admit(l); err != nil {
		return err
	}
	in, fence := l.Plan.in, t.s.Seq
	targets := make([]TargetState, len(in.targets))
	for i := range in.targets {
		name := in.targets[i].name
		seen, ok := t.o.Seen[name]
		if !ok {
			return fmt.Errorf("%w: %q", ErrUnknown, name)
		}
		if !seen.Route.IsZero() && seen.Route.Serves() != l.Release.Stable.Arm() {
			return fmt.Errorf("%w: target %q: %v, and stable is %q; bring it home first, or name what serves as stable",
				ErrNotHome, name, seen.Route, l.Release.Stable.Arm())
		}
		fence = max(fence, seen.Fence)
		targets[i] = TargetState{Name: name, Caps: l.Caps[name]}
	}
	checks := make([]CheckState, len(in.checks))
	for i, c := range in.checks {
		checks[i] = CheckState{Lane: in.laneName(c.lane), Name: c.name}
	}
	old := t.s
	t.in = in
	t.s = State{
		Version: StateVersion, Service: l.Service, Run: old.Run + 1, Rev: old.Rev, Seq: fence,
		Release: l.Release, Plan: l.Plan, Phase: Progressing, Began: t.now, Watched: t.now,
		Lanes: make([]LaneState, len(in.lanes)), Targets: targets, Checks: checks,
		LastGood: old.LastGood, Quarantine: old.Quarantine, Returned: old.Returned, ReturnedWhy: old.ReturnedWhy,
		Recent: old.Recent,
	}
	if l.Override.By != "" {
		t.s.Quarantine = slices.DeleteFunc(t.s.Quarantine, func(q Quarantined) bool {
			return q.Revision.Identity() == l.Release.Candidate.Identity()
		})
	}
	reason := fmt.Sprintf("from %s to %s", l.Release.Stable.Version, l.Release.Candidate.Version)
	if l.Override.Why != "" {
		reason += ": " + l.Override.Why
	}
	t.note(RunStarted, -1, l.Release.Candidate.Version, reason, l.Override.By)
	return nil
}

// beginNext begins the run that was queued, now that this one has ended.
func (t *turn) beginNext() {
	next := t.s.Next
	if next.Plan.IsZero() {
		return
	}
	err := t.begin(Launch{Service: t.s.Service, Release: next.Release, Plan: next.Plan, Caps: next.Caps, Override: next.Override})
	if err == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(next.Caps)) {
		if _, ok := t.o.Seen[name]; !ok {
			return // not known is no reason to give up
		}
	}
	t.s.Next = Next{}
	t.note(QueueDropped, -1, next.Release.Candidate.Version, err.Error(), next.Override.By)
}
