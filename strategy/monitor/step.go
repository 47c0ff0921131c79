// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
)

// Attention is the longest time between two turns that counts as watched.
const Attention = time.Minute

// Limits say how long is watched. The zero Limits are those named.
type Limits struct {
	// For is how long it must be healthy without a break, and be let pass. 0 is ten
	// minutes.
	For time.Duration
	// Stuck is how long it may be not healthy before it goes back, whether on its way for
	// the first time or later. 0 is ten minutes. A target that says itself that it failed
	// does not wait for it.
	Stuck time.Duration
	// Within is when it ends as Unknown, if nothing else has ended it. 0 is three times
	// For, and Stuck.
	Within time.Duration
}

func (l Limits) filled() (Limits, error) {
	for _, f := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{{"For", &l.For, 10 * time.Minute}, {"Stuck", &l.Stuck, 10 * time.Minute}} {
		if *f.value < 0 {
			return l, fmt.Errorf("monitor: %s %v: want 0 for ten minutes, or more", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.zero
		}
	}
	if l.Within == 0 {
		l.Within = 3*l.For + l.Stuck
	}
	if l.Within < l.For {
		return l, fmt.Errorf("monitor: Within %v: want it no shorter than For, %v", l.Within, l.For)
	}
	return l, nil
}

// Observation is what a turn has seen. What could not be found out is left out.
type Observation struct {
	// Current is the revision that is asked for now; zero is not known.
	Current rollback.Revision
	// Status is the target's word on itself; nil is not known.
	Status *rollback.Status
	// Judges are the names of all that are to be heard, and Findings what was heard.
	Judges   []string
	Findings map[string]analysis.Finding
}

// Step is the state after a turn: it decides, and does nothing. A State that is Returning
// is to be brought back by [rollback.Do], once it has been saved. It is pure, and its Rev is one
// above that of s unless there is nothing to do.
func Step(now time.Time, s State, o Observation, l Limits) (State, error) {
	l, err := l.filled()
	if err != nil || s.over() || s.Returning {
		return s, err
	}
	s = s.next()
	passed := s.pass(now)
	if o.Current.Digest != "" && o.Current.Digest != s.Revision.Digest {
		return s.end(now, Superseded, fmt.Sprintf("%s was deployed meanwhile", o.Current)), nil
	}
	if s.Held != "" {
		return s, nil
	}
	for name, f := range o.Findings {
		if s.Findings == nil {
			s.Findings = map[string]analysis.Finding{}
		}
		s.Findings[name] = f.Sound()
	}
	waits := s.health(o, passed)
	if why := s.harm(o, l, waits); why != "" {
		s.Returning, s.Why = true, why
		return s, nil
	}
	missing := o.missing()
	switch {
	case waits == "" && s.Healthy >= l.For && len(missing) == 0:
		return s.passedAt(now, l)
	case waits == "":
		waits = strings.Join(missing, "; ")
	}
	if s.Why = waits; waits == "" {
		s.Why = fmt.Sprintf("healthy for %v of %v", s.Healthy.Round(time.Second), l.For)
	}
	if s.Watched >= l.Within {
		return s.end(now, Unknown, fmt.Sprintf("after %v nobody could tell: %s", l.Within, s.Why)), nil
	}
	return s, nil
}

// pass is how long somebody has watched since the last turn.
func (s *State) pass(now time.Time) time.Duration {
	passed := min(max(now.Sub(s.Seen), 0), Attention)
	if s.Seen.IsZero() {
		passed = 0
	}
	s.Seen = now.Round(0).UTC()
	return passed
}

// health counts how long the target has been healthy, or not, and says what it waits for.
func (s *State) health(o Observation, passed time.Duration) (waits string) {
	s.Watched += passed
	if o.Status == nil || o.Current.Digest == "" {
		return "the target cannot be looked at"
	}
	var why string
	if s.Health, why = o.Status.Judge(s.Revision); s.Health == rollback.Healthy {
		s.Healthy, s.Unhealthy = s.Healthy+passed, 0
		return ""
	}
	s.Healthy, s.Unhealthy = 0, s.Unhealthy+passed
	return fmt.Sprintf("it is %v: %s", s.Health, why)
}

// harm is why it must go back, or "".
func (s *State) harm(o Observation, l Limits, waits string) string {
	for _, name := range slices.Sorted(maps.Keys(o.Findings)) {
		if f := o.Findings[name].Sound(); f.Verdict == analysis.Fail && slices.Contains(o.Judges, name) {
			return fmt.Sprintf("%s: %s", name, f.Reason)
		}
	}
	switch {
	case o.Status == nil || o.Current.Digest == "":
	case s.Health == rollback.Failed:
		return waits
	case s.Unhealthy >= l.Stuck:
		return fmt.Sprintf("it has not been healthy for %v: %s", s.Unhealthy.Round(time.Second), waits)
	}
	return ""
}

// missing are the judges that do not let it pass now, with their reasons. What one said
// before is not known to hold still.
func (o Observation) missing() (list []string) {
	for _, name := range slices.Sorted(slices.Values(o.Judges)) {
		f, ok := o.Findings[name]
		switch f = f.Sound(); {
		case !ok:
			list = append(list, name+" has no answer")
		case f.Verdict != analysis.Pass && f.Verdict != analysis.Safe:
			list = append(list, fmt.Sprintf("%s is %v: %s", name, f.Verdict, f.Reason))
		}
	}
	return list
}

// passedAt makes it known to be good.
func (s State) passedAt(now time.Time, l Limits) (State, error) {
	ledger, err := s.Ledger.Baked(now, s.Revision.Digest)
	if err != nil {
		return s, fmt.Errorf("monitor: %w", err)
	}
	s.Ledger = ledger
	return s.end(now, Passed, fmt.Sprintf("healthy for %v, and nothing spoke against it", l.For)), nil
}
