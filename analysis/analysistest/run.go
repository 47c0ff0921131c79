// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Evidence is what the world shows a judge between two questions.
type Evidence uint8

const (
	// None is that the candidate got no traffic, so that nothing new is there.
	None Evidence = iota
	// Good is plenty of evidence that the candidate is all right.
	Good
	// Bad is plenty of evidence that it does harm.
	Bad
	// NotANumber is that the number that the judge reads is NaN or infinite.
	NotANumber
	// Down is that the source of the evidence cannot be read.
	Down
)

var evidenceNames = [...]string{"none", "good", "bad", "not a number", "down"}

// String is the name in lower case.
func (e Evidence) String() string {
	if int(e) < len(evidenceNames) {
		return evidenceNames[e]
	}
	return fmt.Sprintf("evidence(%d)", uint8(e))
}

// Subject is a judge under test and the world that it looks at.
type Subject struct {
	// Judge makes a judge that looks at this subject's world. Two of them share
	// nothing else: the second is the first one after a restart.
	Judge func() analysis.Judge
	// Feed lets the world show this, from now until the next Feed. The arms are
	// those of Question. What was fed stays: counts only rise. Before the first
	// Feed the world shows None.
	Feed func(Evidence)
	// Feeds is what Feed can show. None must be among it; the law's cases that need
	// more are skipped by name.
	Feeds []Evidence
	// Every is how much later each question is asked: long enough for the judge to
	// look again. 0 is one minute.
	Every time.Duration
	// Rounds is after how many questions at most Good must have passed and Bad must
	// have failed, and a Pass must have ended when nothing more is known. 0 is 16.
	Rounds int
}

// Question is the one that the law asks: the arms are "stable" and "candidate", and
// the step was seen in force an hour after the one before.
func Question(step int, after time.Duration, state analysis.State) analysis.Check {
	first := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	since := first.Add(time.Duration(step) * time.Hour)
	return analysis.Check{
		Service: "checkout", Name: "law", Run: 3, Lane: "all", Step: step, Stable: "stable", Candidate: "candidate", Target: "eu",
		Since: since, Exposed: first, Until: since.Add(after), State: state,
	}
}

// patience is how long a case may take. It is no measurement: only a judge that
// never returns takes so long.
const patience = 20 * time.Second

// law is one case. It returns what is wrong instead of failing a test, so that the
// law itself can be tested with judges that break it.
type law struct {
	name string
	// why is for whoever writes the judge.
	why   string
	needs []Evidence
	run   func(ctx context.Context, subject func() Subject) error
}

// Run holds a judge against the law in [analysis.Judge]. newSubject makes a fresh
// judge in a fresh world; some cases need two that behave alike.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			subject := func() Subject { return newSubject(t).filled() }
			for _, e := range l.needs {
				if !slices.Contains(subject().Feeds, e) {
					t.Skipf("the subject cannot be shown %q", e)
				}
			}
			if err := l.attempt(t.Context(), subject); err != nil {
				t.Errorf("%v\n%s", err, l.why)
			}
		})
	}
}

func (s Subject) filled() Subject {
	if s.Every == 0 {
		s.Every = time.Minute
	}
	if s.Rounds == 0 {
		s.Rounds = 16
	}
	return s
}

// attempt runs the case so that a judge that panics or hangs fails it.
func (l law) attempt(ctx context.Context, subject func() Subject) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- fmt.Errorf("panicked: %v", r)
			}
		}()
		result <- l.run(ctx, subject)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return errors.New("did not return")
	}
}

var laws = []law{
	{
		name: "the answer echoes the question",
		why:  "an answer to another question is ignored; Check.Finding echoes",
		run:  lawEcho,
	},
	{
		name: "good evidence passes in the end", needs: []Evidence{Good},
		why: "a judge that never passes never lets anything through",
		run: lawGood,
	},
	{
		name: "bad evidence fails in the end", needs: []Evidence{Bad},
		why: "a judge that never fails protects nobody",
		run: lawBad,
	},
	{
		name: "no data is never a pass",
		why:  "not knowing is Pending or Inconclusive",
		run:  func(ctx context.Context, subject func() Subject) error { return neverPass(ctx, subject(), None) },
	},
	{
		name: "what is not a number is never a pass", needs: []Evidence{NotANumber},
		why: "NaN compares false with every limit; test for it",
		run: func(ctx context.Context, subject func() Subject) error { return neverPass(ctx, subject(), NotANumber) },
	},
	{
		name: "a source that is down is never a pass", needs: []Evidence{Down},
		why: "return an error, or say Pending or Inconclusive",
		run: func(ctx context.Context, subject func() Subject) error { return neverPass(ctx, subject(), Down) },
	},
	{
		name: "a pass ends when nothing more is known", needs: []Evidence{Good},
		why: "a pass is about now; old evidence does not keep it alive",
		run: lawPassEnds,
	},
	{
		name: "a pass is not carried into the next step", needs: []Evidence{Good},
		why: "when Since changes the split is another one, and nothing is known of it yet",
		run: lawNextStep,
	},
	{
		name: "a restart changes no verdict",
		why:  "keep everything in Finding.State; a process may end between two questions",
		run:  lawRestart,
	},
	{
		name: "a reply that was lost is given again",
		why:  "the same question with the same state has the same answer; keep nothing in the judge",
		run:  lawLostReply,
	},
	{
		name: "asked twice at one moment it counts once",
		why:  "the same moment has no new evidence; leave the state as it is",
		run:  lawTwice,
	},
	{
		name: "a state that is not its own is never a pass",
		why:  "a store can hand back anything: return an error or begin anew, and never panic",
		run:  lawForeignState,
	},
	{
		name: "the state stays small",
		why:  "it is saved with the rollout at every change; keep sums, not histories",
		run:  lawSmallState,
	},
	{
		name: "a cancelled context ends the question",
		why:  "return the context's error, also where no evidence has to be fetched",
		run:  lawCancelled,
	},
	{
		name: "many rollouts can ask at once",
		why:  "one judge serves all rollouts; make it safe for concurrent use",
		run:  lawConcurrent,
	},
}
