// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

// summary is what is said at the end.
type summary struct {
	outcomes []outcome
	clients  tally
	// answered is what each version answered, as the proxy counted it.
	answered []armReport
	// made is how many errors the bad candidate made, as it counted them itself.
	made uint64
	took time.Duration
	// resumed says that another process began, whose counts are lost.
	resumed     bool
	interrupted bool
	// state is the folder from which it can go on, "" where that is over.
	state string
}

// code is the exit status.
func (s summary) code() int {
	if s.interrupted {
		return exitInterrupted
	}
	for _, o := range s.outcomes {
		switch {
		case o.cause == strategy.CauseAbort:
			return exitAborted
		case o.phase != o.want:
			return exitUnexpected
		}
	}
	switch {
	case len(s.outcomes) < len(releases()):
		return exitUnexpected
	case s.clients.Moved > 0 || s.clients.Bad != s.made:
		return exitMoved
	}
	return exitFine
}

// lines is the summary for people.
func (s summary) lines() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("")
	for i, o := range s.outcomes {
		text := fmt.Sprintf("Rollout %d: %s, %s: %s", i+1, o.candidate, o.what, phaseWords(o.phase))
		if o.lasted > 0 {
			text += fmt.Sprintf(" after %.1fs", o.lasted.Seconds())
		} else {
			text += " before this process began"
		}
		if o.phase != o.want {
			text += fmt.Sprintf(", and should have been %s", phaseWords(o.want))
		}
		add("%s", text)
		if o.reason != "" {
			add("  because %s", o.reason)
		}
		if o.homeKnown {
			add("  from the first failing verdict to an observed 0%%: %v", o.home.Round(time.Millisecond))
		}
	}
	if s.resumed {
		add("Since this process began, in %.0fs:", s.took.Seconds())
	} else {
		add("In %.0fs:", s.took.Seconds())
	}
	var by []string
	for _, arm := range s.answered {
		by = append(by, arm.Version+" "+thousands(arm.Requests))
	}
	add("  %9s requests served (%s)", thousands(s.clients.Requests), strings.Join(by, ", "))
	add("  %9s errors seen by clients", thousands(s.clients.Bad+s.clients.Moved))
	add("  %9s of them answered by the bad candidate, which made %s", thousands(s.clients.Bad), thousands(s.made))
	add("  %9s caused by moving traffic", thousands(s.clients.Moved))
	if s.clients.Moved > 0 {
		add("            the last: %s", s.clients.Last)
	}
	if s.interrupted {
		add("Interrupted. To go on where it was: go run ./examples/quickstart -state %s", s.state)
	}
	return lines
}
