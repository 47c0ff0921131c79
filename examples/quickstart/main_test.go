// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

// asProgram makes the test binary the program itself, with these arguments, so
// that there is something to kill.
const asProgram = "QUICKSTART_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(asProgram); args != "" {
		os.Exit(command(context.Background(), strings.Fields(args), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// quick is a show in some seconds.
func quick(t *testing.T) settings {
	t.Helper()
	return settings{state: t.TempDir(), control: "127.0.0.1:0", hold: 200 * time.Millisecond, rate: 500, plain: true}
}

// tape is an output that remembers, and does something when it hears a word.
type tape struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	do   func(heard string)
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.text.Write(b)
	if p.do != nil && strings.Contains(p.text.String(), p.word) {
		do := p.do
		p.do = nil
		do(p.text.String())
	}
	return n, err
}

func TestGoodIsPromotedAndBadIsHomeWithNoErrorByMovingTraffic(t *testing.T) {
	t.Parallel()
	s := quick(t)
	var out tape
	end, err := run(t.Context(), s, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.text.String())
	}
	if code := end.code(); code != exitFine || len(end.outcomes) != 2 {
		t.Fatalf("exit status %d with %d outcomes, want %d with 2:\n%s", code, len(end.outcomes), exitFine, out.text.String())
	}
	back := end.outcomes[1]
	if end.outcomes[0].phase != strategy.Promoted || back.phase != strategy.RolledBack || back.cause != strategy.CauseCheck {
		t.Errorf("ended %v, then %v (%v); want promoted, then rolled back by its check", end.outcomes[0].phase, back.phase, back.cause)
	}
	if !back.homeKnown || back.home < 0 {
		t.Errorf("from the first failing verdict to 0%%: %v, known %v", back.home, back.homeKnown)
	}
	if end.clients.Moved != 0 {
		t.Errorf("moving traffic caused %d errors: %s", end.clients.Moved, end.clients.Last)
	}
	if end.clients.Bad == 0 || end.clients.Bad != end.made {
		t.Errorf("clients saw %d errors of v3, which made %d; want the same and some", end.clients.Bad, end.made)
	}
	var answered, failed uint64
	for _, arm := range end.answered {
		answered += arm.Requests
		failed += arm.Errors
	}
	if answered != end.clients.Requests || failed != end.clients.Bad {
		t.Errorf("the proxy counted %d requests and %d errors, the clients %d and %d", answered, failed, end.clients.Requests, end.clients.Bad)
	}

	// Once more on the same folder: there is nothing left to do, and that is said.
	again, err := run(t.Context(), s, io.Discard)
	if err != nil || again.code() != exitFine || len(again.outcomes) != 2 || again.outcomes[1].home != back.home {
		t.Errorf("again: status %d, %+v, %v; want the outcome of before", again.code(), again.outcomes, err)
	}
}

func TestInterruptedItSaysHowToGoOnAndDoes(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ctx, interrupt := context.WithCancel(t.Context())
	out := tape{word: "v2 gets 10%", do: func(string) { interrupt() }}
	end, err := run(ctx, s, &out)
	if err != nil || end.code() != exitInterrupted {
		t.Fatalf("interrupted: status %d, %v, want %d", end.code(), err, exitInterrupted)
	}
	if !strings.Contains(out.text.String(), "-state "+s.state) {
		t.Errorf("it does not say how to go on:\n%s", out.text.String())
	}
	var rest tape
	end, err = run(t.Context(), s, &rest)
	if err != nil || end.code() != exitFine || !end.resumed {
		t.Errorf("gone on with: status %d, resumed %v, %v\n%s", end.code(), end.resumed, err, rest.text.String())
	}
	if text := rest.text.String(); strings.Contains(text, "rollout 1 begins") || strings.Contains(text, "v2 gets 5%") {
		t.Errorf("it began anew:\n%s", text)
	}
}

func TestWrongFlagsAreRefusedWithTheirName(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-hold -1s": "-hold",
		"-rate 0":   "-rate",
		"-what":     "-what",
		"now":       "only flags",
	} {
		var out, errs bytes.Buffer
		if code := command(t.Context(), strings.Fields(args), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %q; want %d and a word about %s", args, code, errs.String(), exitUsage, want)
		}
	}
}

func TestRealHoldsEachStepForAMinute(t *testing.T) {
	t.Parallel()
	s, err := parse([]string{"-real"}, io.Discard)
	if err != nil || s.hold != time.Minute {
		t.Fatalf("-real: hold %v, %v; want a minute", s.hold, err)
	}
	p, err := plan(s.hold)
	if err != nil {
		t.Fatal(err)
	}
	var least time.Duration
	for _, step := range p.Lanes[0].Steps {
		least += step.Hold
	}
	if least != 6*time.Minute {
		t.Errorf("a rollout holds for %v, want six minutes", least)
	}
}
