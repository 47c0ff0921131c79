// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// halfway is the second rollout at 25%, going well still.
func halfway() snapshot {
	return see(report{
		At: noon, Stable: good, Candidate: bad, Weight: traffic.Percent(25),
		Verdict: analysis.Pass, Why: "candidate failed on 0 of 1,204 requests (0%), limit 5%, stable 0%",
		Explanation: strategy.Explanation{Phase: strategy.Progressing, Lanes: []strategy.LaneExplanation{{
			Lane: web, Step: "25%", Stage: strategy.Holding, Waits: "time",
			Until: noon.Add(2300 * time.Millisecond), Deadline: noon.Add(10*time.Minute + 3*time.Second),
		}}},
		Arms: []armReport{
			{Version: good, Share: traffic.Percent(75), Requests: 1_234_567, Errors: 0},
			{Version: bad, Share: traffic.Percent(25), Requests: 4_312, Errors: 0},
		},
		Clients: tally{Requests: 1_238_879},
	}, []pace{{rate: 300.4, p99: 5 * time.Millisecond}, {rate: 99.6}})
}

// colourless is lines without what colours them.
func colourless(lines []string) string {
	text := strings.Join(lines, "\n")
	for _, code := range []string{"0", bold, dim, red, greenText, yellow} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	return text
}

func TestTheView(t *testing.T) {
	t.Parallel()
	const want = `
Rollout 2 of 2: v2 to v3, a bad candidate                          progressing

  v3 █████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25%

         share    requests    per second    errors       p99
  v2       75%   1,234,567           300         0     ≤ 5ms
  v3       25%       4,312           100         0         -

  verdict    pass: candidate failed on 0 of 1,204 requests (0%), limit 5%,
             stable 0%
  waits for  time, 2.3s left; gives up in 10m3s
  clients    1,238,879 requests, 0 errors made by v3, 0 by moving traffic`
	lines := frame(halfway())
	if got := colourless(lines); got != want {
		t.Errorf("the view is\n%s\nwant\n%s", got, want)
	}
	for line := range strings.SplitSeq(colourless(lines), "\n") {
		if n := utf8.RuneCountInString(line); n > viewWidth {
			t.Errorf("%d columns, want at most %d: %q", n, viewWidth, line)
		}
	}
}

func TestTheViewOfAReturn(t *testing.T) {
	t.Parallel()
	s := halfway()
	s.Weight, s.Verdict, s.Why = 0, analysis.Fail, "candidate failed on 21 of 87 requests (24.14%), limit 5%"
	s.Arms[0].Share, s.Arms[1].Share, s.Arms[1].Errors = traffic.Full, 0, 22
	s.Clients.Bad, s.Clients.Moved, s.Clients.Last = 22, 1, "Bad Gateway from"
	s.Explanation = strategy.Explanation{Phase: strategy.RolledBack}
	const want = `
Rollout 2 of 2: v2 to v3, a bad candidate                          rolled back

  v3 ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 0%

         share    requests    per second    errors       p99
  v2      100%   1,234,567           300         0     ≤ 5ms
  v3        0%       4,312           100        22         -

  verdict    fail: candidate failed on 21 of 87 requests (24.14%), limit 5%
  waits for  nothing, it is over
  clients    1,238,879 requests, 22 errors made by v3, 1 by moving traffic,
             the last: Bad Gateway from`
	lines := frame(s)
	if got := colourless(lines); got != want {
		t.Errorf("the view is\n%s\nwant\n%s", got, want)
	}
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "\x1b[31mfail") || !strings.Contains(text, "\x1b[31m      22") {
		t.Errorf("a failing verdict and errors are not red: %q", text)
	}
}

func TestTheLineOfThoseWhoReadNoView(t *testing.T) {
	t.Parallel()
	const want = "v2 75%, 1,234,567 requests, 0 errors, p99 ≤ 5ms; v3 25%, 4,312 requests, 0 errors; " +
		"pass; waits for time, 2.3s left; gives up in 10m3s"
	if got := line(halfway()); got != want {
		t.Errorf("line is\n%s\nwant\n%s", got, want)
	}
}

func TestABarShowsWhatIsNotNothingAndWhatIsNotAll(t *testing.T) {
	t.Parallel()
	for w, full := range map[traffic.Weight]int{
		0: 0, 1: 1, traffic.Percent(1): 1, traffic.Percent(50): barWidth / 2, traffic.Full - 1: barWidth - 1, traffic.Full: barWidth,
	} {
		if got := strings.Count(bar(w), "█"); got != full || utf8.RuneCountInString(bar(w)) != barWidth {
			t.Errorf("bar of %v has %d of %d: want %d of %d", w, got, utf8.RuneCountInString(bar(w)), full, barWidth)
		}
	}
}

func TestAFrameGivesWayToTheNextAndLinesStay(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, live: true}
	s.show([]string{"one", "two"})
	s.print("stays")
	s.show([]string{"three"})
	s.show(nil)
	const want = noWrap + "one\ntwo\n" + wrap +
		"\x1b[2A\r" + below + "stays\n" + noWrap + "one\ntwo\n" + wrap +
		"\x1b[2A\r" + below + noWrap + "three\n" + wrap +
		"\x1b[1A\r" + below
	if got := out.String(); got != want {
		t.Errorf("written was %q\nwant %q", got, want)
	}
}

func TestPlainOutputHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out}
	s.show([]string{"a frame"})
	s.say("a line")
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Contains(got, "frame") || !strings.HasSuffix(got, "  a line\n") {
		t.Errorf("written was %q", got)
	}
}

func TestPacesLookBackTwoSeconds(t *testing.T) {
	t.Parallel()
	w := window{bounds: []time.Duration{time.Millisecond, time.Second}}
	at := func(second int, requests uint64, latency ...uint64) []pace {
		return w.add(report{At: noon.Add(time.Duration(second) * time.Second), Arms: []armReport{{Version: good, Requests: requests, latency: latency}}})
	}
	if got := at(0, 1000, 0, 0, 1000); got[0] != (pace{}) {
		t.Errorf("the first report says %+v, want nothing", got[0])
	}
	at(1, 1100, 100, 0, 1000)
	at(2, 1200, 200, 0, 1000)
	// Of the 200 since the second report, 2 took longer than a millisecond.
	if got, want := at(3, 1300, 298, 2, 1000), (pace{100, time.Millisecond}); got[0] != want {
		t.Errorf("pace is %+v, want %+v: the old thousand are past", got[0], want)
	}
	if got, want := at(4, 1400, 298, 102, 1000), (pace{100, time.Second}); got[0] != want {
		t.Errorf("pace is %+v, want %+v", got[0], want)
	}
}

func TestTheExitStatusTellsTheOutcome(t *testing.T) {
	t.Parallel()
	ended := func(phases ...strategy.Phase) []outcome {
		var all []outcome
		for i, phase := range phases {
			all = append(all, outcome{release: releases()[i], phase: phase})
		}
		return all
	}
	fine := ended(strategy.Promoted, strategy.RolledBack)
	aborted := ended(strategy.RolledBack)
	aborted[0].cause = strategy.CauseAbort
	for name, c := range map[string]struct {
		end  summary
		want int
	}{
		"as it should":                {summary{outcomes: fine, clients: tally{Bad: 7}, made: 7}, exitFine},
		"good went home":              {summary{outcomes: ended(strategy.RolledBack)}, exitUnexpected},
		"bad was promoted":            {summary{outcomes: ended(strategy.Promoted, strategy.Promoted)}, exitUnexpected},
		"no second rollout":           {summary{outcomes: ended(strategy.Promoted)}, exitUnexpected},
		"aborted":                     {summary{outcomes: aborted}, exitAborted},
		"interrupted":                 {summary{interrupted: true}, exitInterrupted},
		"an error by moving traffic":  {summary{outcomes: fine, clients: tally{Moved: 1}}, exitMoved},
		"an error nobody owns up to":  {summary{outcomes: fine, clients: tally{Bad: 8}, made: 7}, exitMoved},
		"an error that nobody got":    {summary{outcomes: fine, clients: tally{Bad: 7}, made: 8}, exitMoved},
		"moved, but aborted as well":  {summary{outcomes: aborted, clients: tally{Moved: 1}}, exitAborted},
		"home, though it never began": {summary{}, exitUnexpected},
	} {
		if got := c.end.code(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestTheSummary(t *testing.T) {
	t.Parallel()
	s := summary{
		outcomes: []outcome{
			{release: releases()[0], phase: strategy.Promoted},
			{release: releases()[1], phase: strategy.RolledBack, reason: "it failed", lasted: 14300 * time.Millisecond, home: 10 * time.Millisecond, homeKnown: true},
		},
		clients: tally{Requests: 15_708, Bad: 22}, made: 22, took: 40 * time.Second, resumed: true,
		answered: []armReport{{Version: first, Requests: 7_000}, {Version: good, Requests: 8_000}, {Version: bad, Requests: 708}},
	}
	want := []string{
		"",
		"Rollout 1: v2, a good candidate: promoted before this process began",
		"Rollout 2: v3, a bad candidate: rolled back after 14.3s",
		"  because it failed",
		"  from the first failing verdict to an observed 0%: 10ms",
		"Since this process began, in 40s:",
		"     15,708 requests served (v1 7,000, v2 8,000, v3 708)",
		"         22 errors seen by clients",
		"         22 of them answered by the bad candidate, which made 22",
		"          0 caused by moving traffic",
	}
	if got := s.lines(); !slices.Equal(got, want) {
		t.Errorf("the summary is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
