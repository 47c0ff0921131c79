// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Judge answers c: see MannWhitney.
func (j *MannWhitney) Judge(ctx context.Context, c Check) (Finding, error) {
	if err := ended(ctx); err != nil {
		return Finding{}, err
	}
	s, unusable := j.recall(c)
	if s.given() && (s.Verdict == Fail || s.early(c.Until, j.o.Interval)) {
		return j.finding(&s, c), nil
	}
	if err := j.measure(ctx, c, &s); err != nil {
		if gone := ended(ctx); gone != nil {
			return Finding{}, gone // the caller's doing, not the source's
		}
		s.SourceErrors = min(s.SourceErrors+1, j.o.ConsecutiveErrorLimit+1)
		v := Pending
		if s.SourceErrors > j.o.ConsecutiveErrorLimit {
			v = Inconclusive
		}
		s.say(c, v, fmt.Sprintf("%v (%d in a row, limit %d)", err, s.SourceErrors, j.o.ConsecutiveErrorLimit))
		s.Next = c.Until.Add(min(j.o.Interval, retryAfter))
	}
	if unusable != nil {
		s.Reason = sentence(fmt.Sprintf("what was remembered of this check cannot be used (%v), measuring anew; %s", unusable, s.Reason))
	}
	state, err := remember(s)
	if err != nil {
		return Finding{}, err
	}
	c.State = state
	return j.finding(&s, c), nil
}

// measure ends the running interval and begins the next.
func (j *MannWhitney) measure(ctx context.Context, c Check, s *rankState) error {
	next := make([]mark, len(j.metrics))
	read := make([]reading, len(j.metrics))
	first := s.Marks == nil || c.Until.Before(s.At)
	for i, m := range j.metrics {
		var err error
		if first {
			next[i], err = m.Metric.begin(ctx, c)
		} else {
			read[i], err = m.Metric.look(ctx, c, s.Marks[i])
			next[i] = read[i].mark
		}
		if err != nil {
			return fmt.Errorf("the %s could not be read: %w", m.Name, err)
		}
	}
	s.SourceErrors, s.Next, s.Marks = 0, c.Until.Add(j.o.Interval), next
	if first {
		s.say(c, Pending, fmt.Sprintf("nothing is measured yet; a value takes %v", j.o.Interval))
		return nil
	}
	s.Idle = min(s.Idle+1, j.o.IdleLimit+1) // more are not told apart
	for i, m := range j.metrics {
		if both := s.Values[i].add(read[i], m.ZeroForNone, j.o.Samples); both {
			s.Idle, s.Seen = 0, true
		}
	}
	v, reason := j.verdict(s)
	s.say(c, v, reason)
	return nil
}

// verdict is what all values come to.
func (j *MannWhitney) verdict(s *rankState) (Verdict, string) {
	if s.Idle > j.o.IdleLimit {
		return Inconclusive, fmt.Sprintf("no metric has had values of both arms for %d intervals of %v", s.Idle, j.o.Interval)
	}
	if n := s.fewest(); n < j.o.MinSamples || !s.Seen {
		return Pending, fmt.Sprintf("%d of the %d values that it takes are measured; each takes %v", n, j.o.MinSamples, j.o.Interval)
	}
	ranked := j.rank(s)
	points := score(j.metrics, j.o.Groups, ranked)
	said := fmt.Sprintf("score %s of 100 (pass %s, marginal %s)", plainNumber(points), plainNumber(j.o.Pass), plainNumber(j.o.Marginal))
	if text := j.describe(s, ranked); text != "" {
		said += ": " + text
	}
	switch {
	case points >= j.o.Pass:
		return Pass, said
	case points >= j.o.Marginal:
		return Pending, said
	case j.o.Fails:
		return Fail, said
	}
	return Inconclusive, said + "; it only advises"
}

func (j *MannWhitney) rank(s *rankState) []ranking {
	ranked := make([]ranking, len(j.metrics))
	for i := range j.metrics {
		x, y := s.Values[i].floats()
		ranked[i] = j.metrics[i].rank(x, y, j.o.Confidence, j.o.Tolerance)
	}
	return ranked
}

// describe tells of the metrics that do not pass.
func (j *MannWhitney) describe(s *rankState, ranked []ranking) string {
	var list []string
	for i, r := range ranked {
		m := j.metrics[i]
		number := plainNumber
		if m.Metric.share {
			number = percent
		}
		switch r.class {
		case passes:
			continue
		case noData, noDataFail:
			list = append(list, m.Name+" has no values")
			continue
		case high, low:
		}
		way := "higher"
		if r.class == low {
			way = "lower"
		}
		x, y := s.Values[i].floats()
		list = append(list, fmt.Sprintf("%s is %s, by %s (%s to %s; means %s and %s of stable)", m.Name, way,
			number(r.shift.Estimate), number(r.shift.Low), number(r.shift.High), number(mean(x)), number(mean(y))))
	}
	return strings.Join(list, ", ")
}

// finding is the last answer, as one to c, with the numbers of the first metric that
// does not pass.
func (j *MannWhitney) finding(s *rankState, c Check) Finding {
	f := s.answer.finding(c)
	ranked := j.rank(s)
	at := max(0, slices.IndexFunc(ranked, func(r ranking) bool { return r.class == high || r.class == low }))
	x, y := s.Values[at].floats()
	f.Value, f.Baseline, f.N, f.BaselineN = mean(x), mean(y), uint64(len(x)), uint64(len(y))
	if r := ranked[at]; r.tested {
		// The shift is one of ranks, told beside stable's mean.
		f.Low, f.High = min(f.Value, f.Baseline+r.shift.Low), max(f.Value, f.Baseline+r.shift.High)
	}
	return f
}
