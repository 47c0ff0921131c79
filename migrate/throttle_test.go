// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// TestBatchesComeToTheirTime gives the governor tables whose rows cost what they will, and
// a size to begin with that is far too small or far too large.
func TestBatchesComeToTheirTime(t *testing.T) {
	t.Parallel()
	for _, perRow := range []time.Duration{200 * time.Nanosecond, 5 * time.Microsecond, time.Millisecond} {
		for _, first := range []int{1, 10, 1000, 1_000_000} {
			g := newGovernor(Throttle{})
			size, within := first, 0
			for range 200 {
				took := time.Millisecond + time.Duration(size)*perRow
				g.batch(Batch{Size: size, Took: took})
				size = g.size
				if within++; took < 30*time.Millisecond || took > 70*time.Millisecond {
					within = 0
				}
			}
			if within < 100 {
				t.Errorf("%v a row, first %d rows: only the last %d of 200 batches are near 50 ms; size %d", perRow, first, within, size)
			}
		}
	}
}

func TestABatchCannotShrinkToNothing(t *testing.T) {
	t.Parallel()
	g := newGovernor(Throttle{})
	for range 100 {
		g.batch(Batch{Size: max(g.size, 1), Took: time.Hour})
		g.pressure(Pressure{Blocked: 1})
	}
	if g.size != 1 {
		t.Errorf("the size is %d, want 1", g.size)
	}
	fresh := newGovernor(Throttle{})
	fresh.pressure(Pressure{Blocked: 1})
	if fresh.size != 0 {
		t.Errorf("a size that the database is to choose became %d", fresh.size)
	}
}

func TestThePauseKeepsTheDuty(t *testing.T) {
	t.Parallel()
	const took = 40 * time.Millisecond
	for name, tt := range map[string]struct {
		throttle Throttle
		pressure []Pressure
		health   float64
		want     time.Duration
	}{
		"by default half":          {want: took},
		"all of it":                {throttle: Throttle{Duty: 1}, want: 0},
		"a quarter":                {throttle: Throttle{Duty: 0.25}, want: 3 * took},
		"more than all is default": {throttle: Throttle{Duty: 2}, want: took},
		"not a number":             {throttle: Throttle{Duty: math.NaN(), Log: math.NaN()}, want: took},
		"below zero":               {throttle: Throttle{Duty: -1}, want: took},
		"half as healthy":          {throttle: Throttle{Duty: 1}, health: 0.5, want: took},
		"others wait for us":       {throttle: Throttle{Duty: 1}, pressure: []Pressure{{Blocked: 1}}, want: took},
		"some may wait":            {throttle: Throttle{Duty: 1, Blocked: 1}, pressure: []Pressure{{Blocked: 1}}, want: 0},
		"the log is nearly full":   {throttle: Throttle{Duty: 1}, pressure: []Pressure{{Log: 0.9}}, want: took},
		"commits are slow":         {throttle: Throttle{Duty: 1}, pressure: []Pressure{{Commit: time.Millisecond}, {Commit: 9 * time.Millisecond}}, want: took},
		"commits are as usual":     {throttle: Throttle{Duty: 1}, pressure: []Pressure{{Commit: time.Millisecond}, {Commit: 2 * time.Millisecond}}, want: 0},
		"there is a floor":         {health: 1e-9, want: 19 * took},
	} {
		g := newGovernor(tt.throttle)
		if tt.health != 0 {
			g.health = tt.health
		}
		for _, p := range tt.pressure {
			if why := g.pressure(p); why != "" {
				t.Errorf("%s: it waits: %s", name, why)
			}
		}
		if got := g.batch(Batch{Size: 10, Took: took}); (got - tt.want).Abs() > time.Millisecond {
			t.Errorf("%s: the pause is %v, want %v", name, got, tt.want)
		}
	}
	if got := newGovernor(Throttle{}).batch(Batch{Size: 10, Took: time.Hour}); got > time.Second {
		t.Errorf("after a batch that hung for an hour the pause is %v", got)
	}
}

func TestPressureEasesOff(t *testing.T) {
	t.Parallel()
	g := newGovernor(Throttle{Duty: 1})
	for range 20 {
		g.pressure(Pressure{Blocked: 3})
	}
	if g.ease != dutyFloor {
		t.Errorf("under pressure for long, %v is left of the duty", g.ease)
	}
	for range 20 {
		g.pressure(Pressure{})
	}
	if g.ease != 1 {
		t.Errorf("without pressure for long, %v is left of the duty", g.ease)
	}
}

func TestAWalkWaitsForWhatItCannotMend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pressure Pressure
		want     string
	}{
		{Pressure{Lag: 6 * time.Second}, "a replica is 6s behind"},
		{Pressure{Lag: 4 * time.Second}, ""},
		{Pressure{Snapshot: 2 * time.Minute}, "open for 2m0s"},
		{Pressure{Snapshot: 30 * time.Second}, ""},
	} {
		if got := newGovernor(Throttle{}).pressure(tt.pressure); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%+v: got %q, want %q", tt.pressure, got, tt.want)
		}
	}
	for _, tt := range []struct {
		health float64
		err    error
		want   string
	}{
		{1, nil, ""},
		{0.1, nil, ""},
		{7, nil, ""},
		{0, nil, "health is 0"},
		{-1, nil, "health is 0"},
		{math.NaN(), nil, "health is 0"},
		{1, errors.New("no answer"), "health is not known: no answer"},
	} {
		g := newGovernor(Throttle{Health: func(context.Context) (float64, error) { return tt.health, tt.err }})
		if got := g.ask(t.Context()); got != tt.want {
			t.Errorf("health %v, %v: got %q, want %q", tt.health, tt.err, got, tt.want)
		}
		if g.health > 1 {
			t.Errorf("health %v is taken for %v", tt.health, g.health)
		}
	}
}

func TestAStateOfANewerLayoutIsRefused(t *testing.T) {
	t.Parallel()
	r := Record{ID: "c", State: State{Version: StateVersion + 1}, Order: Order{Want: Ready}}
	if _, err := next(r, time.Time{}); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got error %v, want one that names the version", err)
	}
	r.State.Version = 0
	if _, err := next(r, time.Time{}); err != nil {
		t.Errorf("an earlier layout is refused: %v", err)
	}
}

func TestAScriptThatIsOutOfOrderIsRefused(t *testing.T) {
	t.Parallel()
	for want, steps := range map[string][]Step{
		"stands after":      {{Phase: Verifying, Name: "a"}, {Phase: Expanding, Name: "b"}},
		"nothing runs":      {{Phase: Ready, Name: "a"}},
		"has no Holds":      {{Phase: Expanding, Name: "a", Alone: true}},
		"and has an Undo":   {{Phase: Contracting, Name: "a", Undo: []string{"x"}}},
		"is of planned and": {{Phase: Planned, Name: "a"}},
	} {
		if err := (Script{Steps: steps}).check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want %q", steps, err, want)
		}
	}
}

func TestWhatADatabaseSaysDoesNotGrowARecord(t *testing.T) {
	t.Parallel()
	if got := bounded(strings.Repeat("ü", 5000)); len(got) > 2010 || !strings.HasSuffix(got, "ü…") {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-10:])
	}
	if got := bounded("short"); got != "short" {
		t.Errorf("got %q", got)
	}
}

// TestWhatOthersMayDoStopsNoWalk has commits that stay slow and a log that stays full.
func TestWhatOthersMayDoStopsNoWalk(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		pressure Pressure
		want     float64
	}{
		"commits take six times as long":    {Pressure{Commit: 6 * time.Millisecond}, 0.5},
		"commits take ninety times as long": {Pressure{Commit: 90 * time.Millisecond}, commitFloor},
		"the log is full":                   {Pressure{Commit: time.Millisecond, Log: 1}, logFloor},
	} {
		g := newGovernor(Throttle{Duty: 1})
		g.pressure(Pressure{Commit: time.Millisecond})
		for range 8 {
			g.pressure(tt.pressure)
		}
		if g.ease < tt.want || g.ease > 1.2*tt.want {
			t.Errorf("%s: %v is left of the duty, want %v", name, g.ease, tt.want)
		}
	}
}
