// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// world is a number that a judge reads.
type world struct {
	mu     sync.Mutex
	sample analysis.Sample
	err    error
}

func (w *world) feed(e Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sample, w.err = analysis.Sample{}, nil
	switch e {
	case Good:
		w.sample = analysis.Sample{Known: true, Value: 0.001, N: 1000}
	case Bad:
		w.sample = analysis.Sample{Known: true, Value: 0.5, N: 1000}
	case NotANumber:
		w.sample = analysis.Sample{Known: true, Value: math.NaN(), N: 1000}
	case Down:
		w.err = errors.New("source is down")
	case None:
	}
}

func (w *world) read(context.Context, analysis.Check) (analysis.Sample, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sample, w.err
}

// lawful is a judge that keeps the law.
func lawful(t *testing.T, w *world) analysis.Judge {
	t.Helper()
	j, err := analysis.NewThreshold(analysis.Value("load", w.read), analysis.AtMost(0.01), analysis.ThresholdOptions{FailureLimit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func subjectOf(t *testing.T, spoil func(good analysis.Judge, w *world) analysis.Judge) Subject {
	t.Helper()
	w := new(world)
	return Subject{
		Judge: func() analysis.Judge { return spoil(lawful(t, w), w) },
		Feed:  w.feed,
		Feeds: []Evidence{None, Good, Bad, NotANumber, Down},
	}
}

// after changes what a judge answers.
func after(j analysis.Judge, change func(c analysis.Check, f analysis.Finding, err error) (analysis.Finding, error)) analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		f, err := j.Judge(ctx, c)
		return change(c, f, err)
	})
}

// mutants break the law, each in the way that the law of that name is for.
var mutants = []struct {
	name, caught string
	spoil        func(good analysis.Judge, w *world) analysis.Judge
}{
	{"answers the next step", "the answer echoes the question", func(good analysis.Judge, _ *world) analysis.Judge {
		return after(good, func(_ analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			f.Step++
			return f, err
		})
	}},
	{"gives no reason", "the answer echoes the question", func(good analysis.Judge, _ *world) analysis.Judge {
		return after(good, func(_ analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			f.Reason = ""
			return f, err
		})
	}},
	{"reports infinite numbers", "the answer echoes the question", func(good analysis.Judge, _ *world) analysis.Judge {
		return after(good, func(_ analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			f.High = math.Inf(1)
			return f, err
		})
	}},
	{"looks into the future", "the answer echoes the question", func(good analysis.Judge, _ *world) analysis.Judge {
		return after(good, func(c analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			f.At = c.Until.Add(time.Second)
			return f, err
		})
	}},
	{"never passes", "good evidence passes in the end", func(good analysis.Judge, _ *world) analysis.Judge { return turn(good, analysis.Pass, analysis.Pending) }},
	{"never fails", "bad evidence fails in the end", func(good analysis.Judge, _ *world) analysis.Judge { return turn(good, analysis.Fail, analysis.Pending) }},
	{"panics on bad evidence", "bad evidence fails in the end", func(good analysis.Judge, _ *world) analysis.Judge {
		return after(good, func(_ analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			if f.Verdict == analysis.Fail {
				panic("unwell")
			}
			return f, err
		})
	}},
	{"passes without data", "no data is never a pass", func(_ analysis.Judge, w *world) analysis.Judge {
		return reads(w, func(s analysis.Sample, err error) bool { return err == nil && s.Value <= 0.01 })
	}},
	{"passes by not being above", "what is not a number is never a pass", func(_ analysis.Judge, w *world) analysis.Judge {
		return reads(w, func(s analysis.Sample, err error) bool { return err == nil && s.Known && !(s.Value > 0.01) })
	}},
	{"passes when it cannot look", "a source that is down is never a pass", func(_ analysis.Judge, w *world) analysis.Judge {
		return reads(w, func(s analysis.Sample, err error) bool { return err != nil || s.Known && s.Value <= 0.01 })
	}},
	{"holds on to a pass", "a pass ends when nothing more is known", func(good analysis.Judge, _ *world) analysis.Judge {
		return clings(good, func(c analysis.Check) string { return c.Since.String() })
	}},
	{"takes a pass along", "a pass is not carried into the next step", func(good analysis.Judge, _ *world) analysis.Judge {
		return clings(good, func(c analysis.Check) string { return c.Service })
	}},
	{"remembers in the process", "a restart changes no verdict", func(good analysis.Judge, _ *world) analysis.Judge { return forgetful(good) }},
	{"answers a moment once", "a reply that was lost is given again", func(good analysis.Judge, _ *world) analysis.Judge {
		var mu sync.Mutex
		var last time.Time
		return after(good, func(c analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			mu.Lock()
			defer mu.Unlock()
			if c.Until.Equal(last) {
				f.Verdict = analysis.Pending
			}
			last = c.Until
			return f, err
		})
	}},
	{"counts questions", "asked twice at one moment it counts once", func(good analysis.Judge, _ *world) analysis.Judge { return counting(good) }},
	{"trusts any state", "a state that is not its own is never a pass", func(good analysis.Judge, _ *world) analysis.Judge {
		return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
			if strings.Contains(string(c.State), `"verdict":"pass"`) && !strings.Contains(string(c.State), `"threshold"`) {
				return c.Finding(analysis.Pass, "as before"), nil
			}
			return good.Judge(ctx, c)
		})
	}},
	{"panics on a state", "a state that is not its own is never a pass", func(good analysis.Judge, _ *world) analysis.Judge {
		return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
			if c.State != "" && !json.Valid([]byte(c.State)) {
				panic("unreadable")
			}
			return good.Judge(ctx, c)
		})
	}},
	{"keeps a history", "the state stays small", func(good analysis.Judge, _ *world) analysis.Judge { return historian(good) }},
	{"does not hear a cancel", "a cancelled context ends the question", func(good analysis.Judge, _ *world) analysis.Judge {
		return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
			return good.Judge(context.WithoutCancel(ctx), c)
		})
	}},
	{"serves one rollout", "many rollouts can ask at once", func(good analysis.Judge, _ *world) analysis.Judge {
		var mu sync.Mutex
		mine := ""
		return after(good, func(c analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
			mu.Lock()
			defer mu.Unlock()
			if mine == "" {
				mine = c.Service
			}
			if mine != c.Service {
				return analysis.Finding{}, errors.New("busy")
			}
			return f, err
		})
	}},
}

// turn says to where the judge says from.
func turn(j analysis.Judge, from, to analysis.Verdict) analysis.Judge {
	return after(j, func(_ analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
		if f.Verdict == from {
			f.Verdict = to
		}
		return f, err
	})
}

// reads is a judge without memory.
func reads(w *world, good func(analysis.Sample, error) bool) analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		if !c.Until.After(c.Since) {
			return c.Finding(analysis.Pending, "too early"), nil
		}
		if good(w.read(ctx, c)) {
			return c.Finding(analysis.Pass, "fine"), nil
		}
		return c.Finding(analysis.Pending, "not fine"), nil
	})
}

// clings says Pass for what it once passed.
func clings(j analysis.Judge, key func(analysis.Check) string) analysis.Judge {
	var mu sync.Mutex
	passed := map[string]bool{}
	return after(j, func(c analysis.Check, f analysis.Finding, err error) (analysis.Finding, error) {
		mu.Lock()
		defer mu.Unlock()
		if f.Verdict == analysis.Pass {
			passed[key(c)] = true
		}
		if passed[key(c)] && f.Verdict != analysis.Fail {
			f = c.Finding(analysis.Pass, "it passed before")
		}
		return f, err
	})
}

// forgetful keeps the state to itself.
func forgetful(j analysis.Judge) analysis.Judge {
	var mu sync.Mutex
	var state analysis.State
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		mu.Lock()
		defer mu.Unlock()
		c.State = state
		f, err := j.Judge(ctx, c)
		if err == nil {
			state, f.State = f.State, ""
		}
		return f, err
	})
}

type wrapped struct {
	Inner   analysis.State `json:"inner"`
	Asked   int            `json:"asked"`
	History []string       `json:"history"`
}

// wrap lets change see and alter what is kept around the inner judge's state.
func wrap(j analysis.Judge, change func(*wrapped, *analysis.Finding)) analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		var s wrapped
		if c.State != "" {
			if err := json.Unmarshal([]byte(c.State), &s); err != nil {
				return analysis.Finding{}, err
			}
		}
		c.State = s.Inner
		f, err := j.Judge(ctx, c)
		if err != nil {
			return f, err
		}
		s.Inner = f.State
		change(&s, &f)
		data, err := json.Marshal(s)
		f.State = analysis.State(data)
		return f, err
	})
}

func counting(j analysis.Judge) analysis.Judge {
	return wrap(j, func(s *wrapped, f *analysis.Finding) {
		if s.Asked++; s.Asked > 9 && f.Verdict == analysis.Pending {
			f.Verdict = analysis.Inconclusive
		}
	})
}

func historian(j analysis.Judge) analysis.Judge {
	return wrap(j, func(s *wrapped, f *analysis.Finding) {
		if line := f.At.String() + f.Reason; len(s.History) == 0 || s.History[len(s.History)-1] != line {
			s.History = append(s.History, line)
		}
	})
}

func TestALawfulJudgeKeepsTheLaw(t *testing.T) {
	Run(t, func(t *testing.T) Subject {
		t.Helper()
		return subjectOf(t, func(good analysis.Judge, _ *world) analysis.Judge { return good })
	})
}

func TestEveryMutantIsCaughtByTheLawThatIsForIt(t *testing.T) {
	t.Parallel()
	caught := map[string]bool{}
	for _, m := range mutants {
		found := false
		for _, l := range laws {
			if l.name != m.caught {
				continue
			}
			found = true
			err := l.attempt(t.Context(), func() Subject { return subjectOf(t, m.spoil).filled() })
			if err == nil {
				t.Errorf("a judge that %s keeps the law %q", m.name, l.name)
				continue
			}
			caught[l.name] = true
			t.Logf("%s: %v", m.name, err)
		}
		if !found {
			t.Errorf("a judge that %s: there is no law %q", m.name, m.caught)
		}
	}
	for _, l := range laws {
		if !caught[l.name] {
			t.Errorf("no mutant breaks the law %q: it may be one that nobody can break", l.name)
		}
	}
}

func TestAJudgeThatHangsFailsTheLaw(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l := law{run: func(context.Context, func() Subject) error {
		cancel()
		select {}
	}}
	if err := l.attempt(ctx, nil); err == nil {
		t.Error("a case that never returned was fine")
	}
}
