// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// String is the estimate in a few words: "6m0s, at least 1m0s, at most 1h12m0s".
func (e Estimate) String() string {
	text := e.Usual.String()
	if e.Shortest < e.Usual {
		text += fmt.Sprintf(", at least %v", e.Shortest)
	}
	return text + fmt.Sprintf(", at most %v", e.Longest)
}

// String is the forecast for a person, with a line a step.
func (f Forecast) String() string {
	var b strings.Builder
	name := cmp.Or(f.Plan.Name, "plan")
	if len(f.Lanes) == 0 {
		return name + ": nothing\n"
	}
	fmt.Fprintf(&b, "%s: %v", name, f.Takes)
	if len(f.Lanes) > 1 {
		fmt.Fprintf(&b, "; %d lanes, %d at a time", len(f.Lanes), f.Plan.MaxParallel)
	}
	b.WriteByte('\n')
	if len(f.Plan.Watch) > 0 {
		fmt.Fprintf(&b, "watched all the time: %s\n", strings.Join(f.Plan.Watch, ", "))
	}
	if f.Load != nil {
		fmt.Fprintf(&b, "%v\n", *f.Load)
	}
	for i, lane := range f.Lanes {
		fmt.Fprintf(&b, "\n%s", lane.Lane)
		if len(f.Lanes) > 1 {
			fmt.Fprintf(&b, ": begins after %v", lane.Begins.Usual)
			if after := f.Plan.Lanes[i].After; len(after) > 0 {
				fmt.Fprintf(&b, ", when %s is done", strings.Join(after, " and "))
			}
		}
		if f.Load != nil {
			fmt.Fprintf(&b, "; %s", lane.sight())
		}
		b.WriteByte('\n')
		lane.table(&b, f.Load != nil)
	}
	b.WriteByte('\n')
	f.Back.write(&b)
	fmt.Fprintf(&b, "when a check or a task fails: %s\n", f.onFail())
	fmt.Fprintf(&b, "when a step takes too long: %s\n", onTimeout[f.Plan.OnTimeout])
	for _, caution := range f.Cautions {
		fmt.Fprintf(&b, "caution: %s\n", caution)
	}
	return b.String()
}

var onTimeout = map[Timeout]string{GoHome: "the same", HoldAndPage: "it stays where it is and calls for a person"}

func (f Forecast) onFail() string {
	switch {
	case len(f.Lanes) == 1:
		return "it goes home"
	case f.Plan.OnFail == ThisLane:
		return "its lane goes home, the others under way finish, no further one begins"
	}
	return "every lane goes home, those that are done included"
}

func (l LaneForecast) table(b *strings.Builder, loaded bool) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for i, step := range l.Steps {
		gates := step.gates()
		if loaded {
			gates += "; " + step.sight()
		}
		_, _ = fmt.Fprintf(w, "  %d\t%s\t%s\t%s\n", i+1, step.Step, step.where(), gates) // a strings.Builder takes everything
	}
	_ = w.Flush()
	b.WriteString(table.String())
}

// where is what the dials say, or that they stay.
func (s StepForecast) where() string {
	if !s.Turns {
		return "as before"
	}
	dials := make([]string, len(s.Dials))
	for i, d := range s.Dials {
		dials[i] = d.Target + " " + describeSplit(d.Split)
	}
	return strings.Join(dials, ", ")
}

func describeSplit(s traffic.Split) string {
	parts := []string{s.Candidate.String()}
	for _, m := range s.Match {
		text := "header " + m.Header
		switch {
		case m.Cookie != "":
			text = "cookie " + m.Cookie
		case m.Query != "":
			text = "query " + m.Query
		}
		if m.Value != "" {
			text += "=" + m.Value
		}
		parts = append(parts, text)
	}
	if s.Mirror > 0 {
		parts = append(parts, "mirror "+s.Mirror.String())
	}
	text := strings.Join(parts, " + ")
	if by := cmp.Or(s.Sticky.Cookie, s.Sticky.Header); by != "" {
		text += " sticky by " + by
	}
	return text
}

// gates is what the step asks for, in the order in which it does.
func (s StepForecast) gates() string {
	var parts []string
	add := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(len(s.Tasks) > 0, "first %s", strings.Join(s.Tasks, ", "))
	add(s.OneWay, "one way")
	add(s.Commit, "commit")
	add(s.Takes.Usual > 0, "hold %v", s.Takes.Usual)
	add(s.Takes.Shortest < s.Takes.Usual, "%v if safe", atOnce(s.Takes.Shortest))
	add(len(s.Checks) > 0, "checks %s", strings.Join(s.Checks, ", "))
	add(s.Needs == 1, "approval")
	add(s.Needs > 1, "approval of %d", s.Needs)
	add(true, "at most %v", s.Takes.Longest)
	return strings.Join(parts, "; ")
}

func atOnce(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return d.String()
}

func (f BackForecast) write(b *strings.Builder) {
	b.WriteString("the way home: ")
	if len(f.Tasks) > 0 {
		fmt.Fprintf(b, "%s begun; ", strings.Join(f.Tasks, ", "))
	}
	if f.Strides == 1 {
		b.WriteString("everything at once")
	} else {
		fmt.Fprintf(b, "%d strides of %v", f.Strides, f.Stride)
	}
	fmt.Fprintf(b, " as far as stable has room, at least %v, given up after %v\n", f.AtLeast, f.Bound)
	for _, ref := range f.OneWay {
		fmt.Fprintf(b, "from %s %s on nothing returns by itself: a failure calls for a person\n", ref.Lane, ref.Step)
	}
	for _, ref := range f.Commit {
		fmt.Fprintf(b, "past %s %s home is the candidate: nobody can abort\n", ref.Lane, ref.Step)
	}
}
