// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/analysis"
)

const (
	// longestReason and largestState are far above what a judge needs.
	longestReason = 2_000
	largestState  = 32_000
	// manyQuestions is enough for a state that grows with each to pass largestState.
	manyQuestions = 600
)

// talk is one rollout's conversation with a judge, kept as a runner keeps it.
type talk struct {
	judge analysis.Judge
	step  int
	after time.Duration
	state analysis.State
}

// ask asks once and keeps the state. An error is not an answer: the verdict is
// Pending and the state stays, as in a runner.
func (t *talk) ask(ctx context.Context) (analysis.Verdict, error) {
	c := Question(t.step, t.after, t.state)
	f, err := t.judge.Judge(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			return analysis.Pending, err
		}
		return analysis.Pending, nil //nolint:nilerr // a judge that cannot work is Pending
	}
	if err := proper(c, f); err != nil {
		return f.Verdict, err
	}
	t.state = f.State
	return f.Verdict, nil
}

// proper reports an answer that a runner could not use or save.
func proper(c analysis.Check, f analysis.Finding) error {
	switch {
	case !f.Answers(c):
		return fmt.Errorf("asked about run %d step %d since %v, answered run %d step %d since %v", c.Run, c.Step, c.Since, f.Run, f.Step, f.Since)
	case f.Sound() != f:
		return fmt.Errorf("the finding has numbers that are not finite: %v %v %v %v", f.Value, f.Baseline, f.Low, f.High)
	case f.Verdict > analysis.Inconclusive:
		return fmt.Errorf("verdict %v does not exist", f.Verdict)
	case f.At.After(c.Until):
		return fmt.Errorf("it looked at %v, after it was asked at %v", f.At, c.Until)
	case f.Reason == "" || len(f.Reason) > longestReason || !utf8.ValidString(f.Reason) || strings.ContainsFunc(f.Reason, unicode.IsControl):
		return fmt.Errorf("the reason is not one sentence for a person: %.80q", f.Reason)
	}
	if _, err := json.Marshal(f); err != nil {
		return fmt.Errorf("the finding cannot be saved: %w", err)
	}
	return nil
}

func passes(v analysis.Verdict) bool { return v == analysis.Pass || v == analysis.Safe }

// until feeds e and asks, round after round, until done or the subject's rounds are over.
func (t *talk) until(ctx context.Context, s Subject, e Evidence, done func(analysis.Verdict) bool) (bool, error) {
	for range s.Rounds {
		s.Feed(e)
		t.after += s.Every
		v, err := t.ask(ctx)
		if err != nil || done(v) {
			return err == nil, err
		}
	}
	return false, nil
}

// begin asks the first question, before which nothing was fed.
func begin(ctx context.Context, s Subject) (*talk, error) {
	t := &talk{judge: s.Judge()}
	v, err := t.ask(ctx)
	if err == nil && passes(v) {
		err = fmt.Errorf("said %v before there was any evidence", v)
	}
	return t, err
}

// story is evidence that takes a judge through everything that it can be shown.
func story(s Subject) []Evidence {
	all := []Evidence{
		Good, Good, None, Good, NotANumber, Good, Down, Good, Good, None, None, Down, Down, Down, Down, Down, Down,
		Good, NotANumber, NotANumber, Good, Good, Bad, Good, Good, Bad, None, Bad, Bad, Good, Bad, Bad, Bad, Bad,
	}
	return slices.DeleteFunc(all, func(e Evidence) bool { return !slices.Contains(s.Feeds, e) })
}

// told is the verdicts of a judge that is told the story, asked the way that ask does.
func told(ctx context.Context, s Subject, ask func(t *talk) (analysis.Verdict, error)) ([]analysis.Verdict, error) {
	t := &talk{judge: s.Judge()}
	var verdicts []analysis.Verdict
	for step := range 2 {
		t.step, t.after = step, 0
		for i, e := range story(s) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			v, err := ask(t)
			if err != nil {
				return nil, fmt.Errorf("question %d: %w", i, err)
			}
			verdicts = append(verdicts, v)
			s.Feed(e)
			t.after += s.Every
		}
	}
	return verdicts, nil
}

// alike compares a judge that is asked plainly with one that is asked in another way.
func alike(ctx context.Context, subject func() Subject, ask func(s Subject, t *talk) (analysis.Verdict, error)) error {
	plain, other := subject(), subject()
	want, err := told(ctx, plain, func(t *talk) (analysis.Verdict, error) { return t.ask(ctx) })
	if err != nil {
		return err
	}
	got, err := told(ctx, other, func(t *talk) (analysis.Verdict, error) { return ask(other, t) })
	if err != nil {
		return err
	}
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("question %d (after %v): %v instead of %v", i, story(plain)[:i%len(story(plain))], got[i], want[i])
		}
	}
	return nil
}
