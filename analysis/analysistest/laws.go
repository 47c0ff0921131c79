// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

func lawEcho(ctx context.Context, subject func() Subject) error {
	for _, e := range subject().Feeds {
		s := subject()
		t, err := begin(ctx, s)
		if err != nil {
			return err
		}
		for step := range 2 {
			t.step, t.after = step, 0
			for range 3 {
				s.Feed(e)
				t.after += s.Every
				if _, err := t.ask(ctx); err != nil {
					return fmt.Errorf("evidence %v: %w", e, err)
				}
			}
		}
	}
	return nil
}

func lawGood(ctx context.Context, subject func() Subject) error {
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	ok, err := t.until(ctx, s, Good, passes)
	if err == nil && !ok {
		err = fmt.Errorf("did not pass in %d rounds", s.Rounds)
	}
	return err
}

func lawBad(ctx context.Context, subject func() Subject) error {
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	ok, err := t.until(ctx, s, Bad, func(v analysis.Verdict) bool { return v == analysis.Fail })
	if err == nil && !ok {
		err = fmt.Errorf("did not fail in %d rounds", s.Rounds)
	}
	return err
}

func neverPass(ctx context.Context, s Subject, e Evidence) error {
	s.Feed(e)
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	passed, err := t.until(ctx, s, e, passes)
	if passed {
		return fmt.Errorf("passed on %v", e)
	}
	return err
}

func lawPassEnds(ctx context.Context, subject func() Subject) error {
	for _, e := range []Evidence{None, NotANumber, Down} {
		s := subject()
		if !slices.Contains(s.Feeds, e) {
			continue
		}
		t, err := begin(ctx, s)
		if err != nil {
			return err
		}
		if _, err := t.until(ctx, s, Good, passes); err != nil {
			return err
		}
		ended, err := t.until(ctx, s, e, func(v analysis.Verdict) bool { return !passes(v) })
		if err != nil {
			return err
		}
		if !ended {
			return fmt.Errorf("still passes after %d rounds of %v", s.Rounds, e)
		}
	}
	return nil
}

func lawNextStep(ctx context.Context, subject func() Subject) error {
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	if _, err := t.until(ctx, s, Good, passes); err != nil {
		return err
	}
	// The next step is entered right away, and then an hour later. What is fed
	// before that is not evidence for it either.
	soon := Question(1, 0, t.state)
	soon.Since, soon.Until = Question(0, t.after, "").Until, Question(0, t.after, "").Until
	late := Question(1, 0, t.state)
	for _, e := range []Evidence{None, Good} {
		s.Feed(e)
		for _, c := range []analysis.Check{soon, late} {
			f, err := t.judge.Judge(ctx, c)
			if err == nil && passes(f.Verdict) {
				return fmt.Errorf("said %v to a step that was just entered", f.Verdict)
			}
		}
	}
	return nil
}

func lawRestart(ctx context.Context, subject func() Subject) error {
	return alike(ctx, subject, func(s Subject, t *talk) (analysis.Verdict, error) {
		saved, err := json.MarshalIndent(analysis.Finding{State: t.state}, "", "  ")
		if err != nil {
			return 0, err
		}
		var loaded analysis.Finding
		if err := json.Unmarshal(saved, &loaded); err != nil {
			return 0, err
		}
		t.judge, t.state = s.Judge(), loaded.State
		return t.ask(ctx)
	})
}

func lawLostReply(ctx context.Context, subject func() Subject) error {
	return alike(ctx, subject, func(_ Subject, t *talk) (analysis.Verdict, error) {
		lost := *t
		first, err := lost.ask(ctx)
		if err != nil {
			return first, err
		}
		again, err := t.ask(ctx)
		if err == nil && again != first {
			err = fmt.Errorf("said %v, and %v when the same was asked again", first, again)
		}
		return again, err
	})
}

func lawTwice(ctx context.Context, subject func() Subject) error {
	return alike(ctx, subject, func(_ Subject, t *talk) (analysis.Verdict, error) {
		first, err := t.ask(ctx)
		for i := 0; i < 2 && err == nil; i++ {
			state := t.state
			var again analysis.Verdict
			again, err = t.ask(ctx)
			switch {
			case err != nil:
			case again != first:
				err = fmt.Errorf("said %v, and %v when it was asked again at the same moment", first, again)
			case t.state != state:
				err = errors.New("its state changed when it was asked again at the same moment")
			}
		}
		return first, err
	})
}

// foreignStates are what a store could hand back. The law adds damaged copies of the
// judge's own.
var foreignStates = []analysis.State{
	"{}", "[]", "0", `"text"`, "true", "[[[[", "{", "\x00", "null", `{"v":0}`, `{"v":-1}`, `{"v":99999}`,
	`{"verdict":"pass"}`, `{"verdict":"safe","v":1}`, `{"v":1,"verdict":"pass","n":1000000,"value":0}`,
	`{"v":1e400}`, `{"v":1}{"v":1}`, `{"parts":{"":{}}}`, analysis.State(strings.Repeat("[", 20_000)),
}

func lawForeignState(ctx context.Context, subject func() Subject) error {
	states := slices.Clone(foreignStates)
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	for _, e := range story(s) {
		s.Feed(e)
		t.after += s.Every
		if _, err := t.ask(ctx); err != nil {
			return err
		}
		own := string(t.state)
		for _, damaged := range []string{own[:len(own)/2], own + own, strings.ReplaceAll(own, `":"`, `":1,"x":"`)} {
			if damaged != own && damaged != "" {
				states = append(states, analysis.State(damaged))
			}
		}
	}
	for _, state := range states {
		fresh := subject()
		c := Question(0, fresh.Every, state)
		f, err := fresh.Judge().Judge(ctx, c)
		if err == nil && passes(f.Verdict) {
			return fmt.Errorf("said %v with the state %.120q", f.Verdict, state)
		}
		if err == nil {
			if err := proper(c, f); err != nil && f.State != state {
				return fmt.Errorf("with the state %.120q: %w", state, err)
			}
		}
	}
	return nil
}

func lawSmallState(ctx context.Context, subject func() Subject) error {
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	tale := slices.DeleteFunc(story(s), func(e Evidence) bool { return e == Bad }) // a failure ends the tale
	for i := range manyQuestions {
		s.Feed(tale[i%len(tale)])
		t.after += s.Every
		if _, err := t.ask(ctx); err != nil {
			return err
		}
		if len(t.state) > largestState {
			return fmt.Errorf("after %d questions the state has %d bytes, at most %d are allowed", i+1, len(t.state), largestState)
		}
	}
	return nil
}

func lawCancelled(ctx context.Context, subject func() Subject) error {
	s := subject()
	t, err := begin(ctx, s)
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, after := range []time.Duration{0, s.Every} {
		c := Question(0, after, t.state)
		if f, err := t.judge.Judge(gone, c); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("got %v and the error %w", f.Verdict, err)
		}
	}
	return nil
}

func lawConcurrent(ctx context.Context, subject func() Subject) error {
	const rollouts = 32
	s := subject()
	one, err := begin(ctx, s)
	if err != nil {
		return err
	}
	for _, e := range story(s)[:min(3, len(story(s)))] {
		s.Feed(e)
	}
	one.after += s.Every
	alone := *one
	want, err := alone.ask(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, rollouts)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range rollouts {
		all.Go(func() {
			<-start
			c := Question(0, one.after, one.state)
			c.Service, c.Lane = fmt.Sprintf("service %d", i), fmt.Sprintf("lane %d", i%4)
			f, err := one.judge.Judge(ctx, c)
			switch {
			case err != nil:
				errs[i] = err
			case f.Verdict != want:
				errs[i] = fmt.Errorf("said %v, and %v when it was asked alone", f.Verdict, want)
			default:
				errs[i] = proper(c, f)
			}
		})
	}
	close(start)
	all.Wait()
	return errors.Join(errs...)
}
