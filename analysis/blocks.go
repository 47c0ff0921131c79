// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
)

// blocks is the part that judges of a sequence of blocks share: it reads the
// source when a block is over, takes the difference for both arms, hands it to a
// gatherer, and keeps what that has gathered in the rollout's state.
type blocks struct {
	source Source
	pace   Pace   // as filled
	of     string // tells the states of judges apart that ask different things
	gather func() gatherer
}

// gatherer is what one kind of judge makes of blocks. Its JSON is its memory.
type gatherer interface {
	// begin sees what stable had counted before the first block.
	begin(stable *Counts)
	// step begins a step.
	step()
	// observe takes a block into account. It is the hot path.
	observe(candidate, stable *Counts)
	// judge says what all of it comes to, once a block of the step is complete.
	judge() (Verdict, string)
	// tell puts its numbers into a finding.
	tell(f *Finding)
	// sound reports a memory that observe cannot have left, or that does not bear
	// out the verdict.
	sound(v Verdict) error
}

// chooser is a gatherer that may have to see more of stable before it knows what to ask.
type chooser interface {
	gatherer
	// choose sees all that stable has counted before the next block.
	choose(stable *Counts)
}

func fingerprintOf(kind string, options any) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %+v", kind, options) // a hash takes everything
	return strconv.FormatUint(h.Sum64(), 36)
}

// Judge answers c: see the judge's type.
func (j *blocks) Judge(ctx context.Context, c Check) (Finding, error) {
	if err := ended(ctx); err != nil {
		return Finding{}, err
	}
	s, g, unusable := j.recall(c)
	stepped := !s.Since.Equal(c.Since)
	if s.Verdict == Fail || !stepped && s.early(c.Until, j.pace.Interval) {
		return s.finding(c, g), nil
	}
	stable, candidate, err := j.source.Counts(ctx, c)
	if err == nil {
		err = errors.Join(stable.latencyError(), candidate.latencyError())
	}
	var in insight
	if err == nil {
		in, err = j.lookInto(ctx, c, g, s.Mark == nil)
	}
	switch {
	case err != nil && ended(ctx) != nil:
		return Finding{}, ended(ctx) // the caller's doing, not the source's
	case err != nil:
		j.failedToRead(&s, c, err)
	default:
		j.take(&s, g, c, stable, candidate, in, stepped)
	}
	if unusable != nil {
		s.Reason = sentence(fmt.Sprintf("what was remembered of this check cannot be used (%v), gathering anew; %s", unusable, s.Reason))
	}
	if s.Gathered, err = json.Marshal(g); err != nil {
		return Finding{}, fmt.Errorf("analysis: state cannot be saved: %w", err)
	}
	if c.State, err = remember(s); err != nil {
		return Finding{}, err
	}
	return s.finding(c, g), nil
}

// take ends the running block with these totals and begins the next.
func (j *blocks) take(s *blocksState, g gatherer, c Check, stable, candidate Counts, in insight, stepped bool) {
	s.SourceErrors = 0
	s.Next = c.Until.Add(j.pace.Interval)
	if s.Mark == nil {
		g.begin(in.known(&stable))
		in.recollect(g)
		s.Mark = &countsMark{At: c.Until, Stable: stable.from(c), Candidate: candidate.from(c)}
	}
	dStable, known := stable.After(s.Mark.Stable, s.Mark.At)
	dCandidate, also := candidate.After(s.Mark.Candidate, s.Mark.At)
	fresh := c.Until.After(s.Mark.At) && !j.warming(s)
	begun := s.Mark
	s.Mark = &countsMark{At: c.Until, Stable: stable, Candidate: candidate, Halves: in.now}
	// What another counter than the one before had counted meanwhile, nobody knows.
	if known && also && fresh {
		g.observe(&dCandidate, &dStable)
		s.count(dCandidate.Requests)
	}
	in.learn(g, begun)
	if c, ok := g.(chooser); ok {
		c.choose(&stable)
	}
	if stepped {
		g.step()
		s.Since, s.Idle, s.Seen = c.Since, 0, 0
	}
	verdict, reason := g.judge()
	switch {
	case verdict == Fail:
		s.say(c, Fail, reason)
	case s.Idle > j.pace.IdleLimit:
		s.say(c, Inconclusive, fmt.Sprintf("no request has reached the candidate for %d blocks of %v", s.Idle, j.pace.Interval))
	case s.Seen == 0:
		s.say(c, Pending, fmt.Sprintf("no block of this step is complete yet; a block takes %v", j.pace.Interval))
	default:
		s.say(c, verdict, reason)
	}
}

// warming reports whether the block that ends now holds requests of a candidate
// that is still warming up.
func (j *blocks) warming(s *blocksState) bool {
	return j.pace.Warmup > 0 && s.Mark.At.Before(s.Since.Add(j.pace.Warmup))
}

// failedToRead counts an error of the source. The block goes on, so that nothing is
// lost when the source comes back.
func (j *blocks) failedToRead(s *blocksState, c Check, err error) {
	limit := j.pace.ConsecutiveErrorLimit
	s.SourceErrors = min(s.SourceErrors+1, limit+1) // more are not told apart
	v := Pending
	if s.SourceErrors > limit {
		v = Inconclusive
	}
	s.say(c, v, fmt.Sprintf("the source could not be read (%d in a row, limit %d): %v", s.SourceErrors, limit, err))
	s.Next = c.Until.Add(min(j.pace.Interval, retryAfter))
}
