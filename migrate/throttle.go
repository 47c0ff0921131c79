// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"time"
)

// Throttle says how hard a backfill may work. The zero Throttle is gentle. A Database with
// a method DefaultThrottle() Throttle knows better what zeros should be.
type Throttle struct {
	// Batch is the time that one batch should take. 0 is 50 milliseconds.
	Batch time.Duration
	// Duty is the share of the time spent in batches, up to 1. 0 is 0.5.
	Duty float64
	// Blocked is how many others may wait for our locks before batches shrink. 0 is none.
	Blocked int
	// Lag is how far a replica may be behind before the walk waits. 0 is 5 seconds.
	Lag time.Duration
	// Snapshot is how old the oldest snapshot may be before the walk waits, because the
	// dead rows it leaves behind could not be removed. 0 is a minute.
	Snapshot time.Duration
	// Log is how near the write-ahead log may come to forcing a checkpoint, 0 to 1, before
	// the walk slows down. 0 is 0.8.
	Log float64
	// Health, if set, is asked about every second how the program bears it: 1 is well, 0
	// stops the walk, and between them the duty shrinks. An error stops it too.
	Health func(context.Context) (float64, error)
	// Workers walk side by side. 0 is 1; more is faster and harder on others.
	Workers int
}

// of is the throttle for a database, which may have defaults of its own.
func (t Throttle) of(db Database) Throttle {
	own, ok := db.(interface{ DefaultThrottle() Throttle })
	if !ok {
		return t
	}
	d := own.DefaultThrottle()
	t.Batch, t.Duty, t.Blocked = cmp.Or(t.Batch, d.Batch), cmp.Or(t.Duty, d.Duty), cmp.Or(t.Blocked, d.Blocked)
	t.Lag, t.Snapshot, t.Log = cmp.Or(t.Lag, d.Lag), cmp.Or(t.Snapshot, d.Snapshot), cmp.Or(t.Log, d.Log)
	t.Workers = cmp.Or(t.Workers, d.Workers)
	return t
}

func (t Throttle) withDefaults() Throttle {
	if t.Batch <= 0 {
		t.Batch = 50 * time.Millisecond
	}
	if !(t.Duty > 0 && t.Duty <= 1) { // NaN too
		t.Duty = 0.5
	}
	if t.Lag <= 0 {
		t.Lag = 5 * time.Second
	}
	if t.Snapshot <= 0 {
		t.Snapshot = time.Minute
	}
	if !(t.Log > 0) {
		t.Log = 0.8
	}
	t.Workers = max(t.Workers, 1)
	return t
}

const (
	dutyFloor = 0.05
	// slowCommit is how many times the usual time of a commit is a sign of load.
	slowCommit = 3
	// Commits may be slow for reasons that are not ours, and the log fills whoever writes: these
	// are what is left of the duty at least while only they say so, or the walk would not end.
	commitFloor, logFloor = 0.25, 0.5
	// waitStep is how long a walk that waits does so before it looks again.
	waitStep = time.Second
)

// governor chooses the size of the next batch and the pause before it. It has no clock.
type governor struct {
	Throttle
	size   int
	ease   float64       // 0 to 1, what load and health leave of the duty
	usual  time.Duration // of a commit
	health float64
}

func newGovernor(t Throttle) *governor {
	return &governor{Throttle: t.withDefaults(), ease: 1, health: 1}
}

// batch learns from a batch and returns the pause after it.
func (g *governor) batch(b Batch) time.Duration {
	g.size = b.Size
	switch took := b.Took; {
	case took > g.Batch*5/4:
		g.size = max(1, int(float64(b.Size)*max(0.5, float64(g.Batch)/float64(took))))
	case took < g.Batch*4/5 && !b.Done:
		g.size = b.Size + max(1, b.Size/4)
	}
	duty := max(g.Duty*g.ease*g.health, dutyFloor)
	took := min(b.Took, 2*g.Batch) // one batch that hung says nothing about the next
	return time.Duration(float64(took) * (1 - duty) / duty)
}

// halve makes the next batch smaller. A size that the database is still to choose stays so.
func (g *governor) halve() {
	if g.size > 1 {
		g.size /= 2
	}
}

// pressure learns how the database bears it. It returns why the walk should wait, if so.
func (g *governor) pressure(p Pressure) string {
	switch {
	case p.Lag > g.Lag:
		return "a replica is " + p.Lag.Round(time.Millisecond).String() + " behind"
	case p.Snapshot > g.Snapshot:
		return "a transaction has been open for " + p.Snapshot.Round(time.Second).String() + ", so dead rows cannot be removed"
	}
	if p.Commit > 0 && (g.usual == 0 || p.Commit < g.usual) {
		g.usual = p.Commit
	}
	switch {
	case p.Blocked > g.Blocked:
		g.halve()
		g.ease = max(g.ease/2, dutyFloor)
	case g.usual > 0 && p.Commit > slowCommit*g.usual:
		enough := float64(slowCommit*g.usual) / float64(p.Commit)
		g.ease = min(g.ease, max(g.ease/2, enough, commitFloor))
	case p.Log > g.Log:
		g.ease = min(g.ease, max(g.ease/2, logFloor))
	default:
		g.ease = min(1, g.ease+0.1)
	}
	g.usual += g.usual / 64 // what is usual may change
	return ""
}

// ask asks Health. It returns why the walk should wait, if so.
func (g *governor) ask(ctx context.Context) string {
	if g.Health == nil {
		return ""
	}
	h, err := g.Health(ctx)
	switch {
	case err != nil:
		return "health is not known: " + err.Error()
	case !(h > 0): // NaN too
		return "health is 0"
	}
	g.health = min(h, 1)
	return ""
}
