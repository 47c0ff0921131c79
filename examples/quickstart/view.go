// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// snapshot is what the view shows of one moment.
type snapshot struct {
	report
	// number counts the rollouts from 1, of so many, and what says what this one shows.
	number, of int
	what       string
	// paces are those of the report's arms.
	paces []pace
}

// see is r as the view shows it.
func see(r report, paces []pace) snapshot {
	s := snapshot{report: r, paces: paces}
	all := releases()
	for i, release := range all {
		if release.candidate == r.Candidate {
			s.number, s.of, s.what = i+1, len(all), release.what
		}
	}
	return s
}

const (
	barWidth  = 50
	viewWidth = 78
)

const (
	plainText = ""
	bold      = "1"
	dim       = "2"
	red       = "31"
	greenText = "32"
	yellow    = "33"
)

// paint is text in a colour.
func paint(colour, text string) string {
	if colour == plainText {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// frame is the view: a function of what it shows and nothing else.
func frame(s snapshot) []string {
	head := fmt.Sprintf("Rollout %d of %d: %s to %s, %s", s.number, s.of, s.Stable, s.Candidate, s.what)
	phase := phaseWords(s.Explanation.Phase)
	gap := strings.Repeat(" ", max(viewWidth-len(head)-len(phase), 2))
	lines := []string{
		"",
		paint(bold, head) + gap + paint(phaseColour(s.Explanation.Phase), phase),
		"",
		"  " + s.Candidate + " " + bar(s.Weight) + " " + paint(bold, s.Weight.String()),
		"",
		paint(dim, "         share    requests    per second    errors       p99"),
	}
	for i, arm := range s.Arms {
		lines = append(lines, armLine(arm, s.paces[i]))
	}
	lines = append(lines, "")
	lines = append(lines, labelled("verdict", verdictColour(s.Verdict), s.Verdict.String()+because(s.Why))...)
	lines = append(lines, labelled("waits for", plainText, waits(s.report))...)
	return append(lines, labelled("clients", clientColour(s.Clients), s.Clients.String())...)
}

// bar is a weight as a bar. What is not nothing shows, and so does what is not all.
func bar(w traffic.Weight) string {
	full := int(math.Round(float64(w) * barWidth / float64(traffic.Full)))
	switch {
	case w > 0 && full == 0:
		full = 1
	case w < traffic.Full && full == barWidth:
		full = barWidth - 1
	}
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

func armLine(arm armReport, p pace) string {
	p99 := "-"
	if p.p99 > 0 {
		p99 = "≤ " + p.p99.String()
	}
	errors := fmt.Sprintf("%8s", thousands(arm.Errors))
	if arm.Errors > 0 {
		errors = paint(red, errors)
	}
	return fmt.Sprintf("  %s %9v %11s %13.0f  %s %9s", arm.Version, arm.Share, thousands(arm.Requests), p.rate, errors, p99)
}

// waits is what the rollout waits for, how long still, and when it gives up.
func waits(r report) string {
	if len(r.Explanation.Lanes) == 0 {
		return "nothing, it is over"
	}
	lane := r.Explanation.Lanes[0]
	text := lane.Waits
	if text == "" {
		text = "nothing, it moves"
	}
	if left := lane.Until.Sub(r.At); !lane.Until.IsZero() && left > 0 {
		text += fmt.Sprintf(", %.1fs left", left.Seconds())
	}
	if left := lane.Deadline.Sub(r.At); !lane.Deadline.IsZero() && left > 0 {
		text += fmt.Sprintf("; gives up in %v", left.Round(time.Second))
	}
	return text
}

// labelled is a text under its label, on as many lines as it needs.
func labelled(label, colour, text string) []string {
	const indent = 13
	var lines []string
	for text != "" {
		part := text
		if len(part) > viewWidth-indent {
			part = part[:viewWidth-indent]
			if at := strings.LastIndexByte(part, ' '); at > 0 {
				part = part[:at]
			}
		}
		text = strings.TrimLeft(text[len(part):], " ")
		lines = append(lines, fmt.Sprintf("  %-*s%s", indent-2, label, paint(colour, part)))
		label = ""
	}
	return lines
}

// String is what the clients saw.
func (t tally) String() string {
	text := fmt.Sprintf("%s requests, %s errors made by %s, %s by moving traffic", thousands(t.Requests), thousands(t.Bad), bad, thousands(t.Moved))
	if t.Moved > 0 {
		text += ", the last: " + t.Last
	}
	return text
}

// line is a snapshot in one line, for those who read no view.
func line(s snapshot) string {
	var b strings.Builder
	for i, arm := range s.Arms {
		fmt.Fprintf(&b, "%s %v, %s requests, %s errors", arm.Version, arm.Share, thousands(arm.Requests), thousands(arm.Errors))
		if p := s.paces[i].p99; p > 0 {
			fmt.Fprintf(&b, ", p99 ≤ %v", p)
		}
		b.WriteString("; ")
	}
	fmt.Fprintf(&b, "%v; waits for %s", s.Verdict, waits(s.report))
	return b.String()
}

// phaseWords is a phase as people say it.
func phaseWords(p strategy.Phase) string {
	switch p {
	case strategy.RollingBack:
		return "going home"
	case strategy.RolledBack:
		return "rolled back"
	case strategy.RollbackFailed:
		return "not home: the rollback failed"
	default:
		return p.String()
	}
}

func phaseColour(p strategy.Phase) string {
	switch p {
	case strategy.Promoted:
		return greenText
	case strategy.Progressing, strategy.Idle:
		return bold
	default:
		return yellow
	}
}

func verdictColour(v analysis.Verdict) string {
	switch v {
	case analysis.Pass, analysis.Safe:
		return greenText
	case analysis.Fail:
		return red
	default:
		return plainText
	}
}

func clientColour(t tally) string {
	if t.Moved > 0 {
		return red
	}
	return plainText
}

// thousands is n as people write it: 12,345.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
