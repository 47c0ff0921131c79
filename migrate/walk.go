// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// walk does batches until the walk is at its end, the change is paused, or something else
// is wanted of it.
func (m *Migrator) walk(ctx context.Context, s Session, r Record, i int) (time.Duration, error) {
	w := walker{m: m, s: s, r: r, i: i, g: newGovernor(m.o.Throttle.of(m.db)), began: time.Now()}
	w.r.Progress = nil
	known := false
	for _, p := range r.Progress {
		if p.Step == i {
			w.last, w.from, known = p, p.Seen, true
		}
	}
	verify := r.Script.Steps[i].Walk.Verify
	if w.last.Done && verify {
		w.restart = true // it found rows that were wrong; look again
	}
	shards := max(r.State.Steps[i].Shards, 1)
	if n := w.g.Workers; shards < n && !known && !verify {
		// Where the shards meet depends on how many they are, so that is settled first.
		state := r.State.saved()
		state.Steps[i].Shards = n
		if err := s.Do(ctx, r.ID, Work{}, state); err != nil {
			return 0, err
		}
		return time.Millisecond, nil
	}
	w.done = make([]bool, shards)
	return w.run(ctx)
}

type walker struct {
	m       *Migrator
	s       Session
	r       Record
	i       int
	g       *governor
	began   time.Time
	looked  time.Time
	from    int64 // seen before this process came
	last    Progress
	sample  []string
	restart bool
	done    []bool // of each shard
	refused time.Duration
}

func (w *walker) run(ctx context.Context) (time.Duration, error) {
	step := w.r.Script.Steps[w.i]
	var pause time.Duration
	for {
		if time.Since(w.looked) >= w.m.o.Poll {
			if changed, err := w.look(ctx); err != nil || changed {
				return time.Millisecond, err // the next turn sees to it
			}
		}
		if pause > 0 { // an order is seen within a long pause, too
			part := min(pause, w.m.o.Poll)
			if err := sleep(ctx, part); err != nil {
				return 0, err
			}
			pause -= part
			continue
		}
		b, err := w.batch(ctx)
		switch {
		case err != nil && passing(err) && w.refused < w.m.o.LockBudget:
			pause = w.retry(ctx, step, err)
		case err != nil:
			return 0, err
		case b.Done:
			return again, w.verdict(step)
		default:
			pause, w.refused = w.g.batch(b), 0
		}
	}
}

// retry returns the pause before a batch that was refused is tried again, smaller.
func (w *walker) retry(ctx context.Context, step Step, err error) time.Duration {
	w.g.halve()
	pause := 50*time.Millisecond + rand.N(200*time.Millisecond)
	w.refused += pause + w.m.o.LockTimeout
	w.m.tell(ctx, w.r, Event{Kind: Retried, Step: step.Name, Err: err, Took: pause})
	return pause
}

// verdict is an error if a walk that verifies found rows that are wrong.
func (w *walker) verdict(step Step) error {
	if !step.Walk.Verify || w.last.Rows == 0 {
		return nil
	}
	return &DivergedError{Table: step.Walk.Table, Rows: w.last.Rows, Sample: w.sample}
}

// look asks what is wanted and how the database and the program bear the work. It waits
// while they do not, and returns true if something else is wanted.
func (w *walker) look(ctx context.Context) (bool, error) {
	for {
		r, err := w.m.db.Load(ctx, w.r.ID)
		if err != nil {
			return false, err
		}
		if a, err := next(r, time.Time{}); err != nil || a.act != actDo || a.step != w.i {
			return true, err
		}
		p, err := w.s.Pressure(ctx)
		if err != nil {
			return false, err
		}
		why := w.g.pressure(p)
		if why == "" {
			why = w.g.ask(ctx)
		}
		w.looked = time.Now()
		if why == "" {
			return false, nil
		}
		w.m.tell(ctx, w.r, Event{Kind: Throttled, Step: w.r.Script.Steps[w.i].Name, Why: why, Progress: w.last})
		if err := sleep(ctx, waitStep); err != nil {
			return false, err
		}
	}
}

// batch does one batch in each shard that is not at its end, Workers at a time.
func (w *walker) batch(ctx context.Context) (Batch, error) {
	n := len(w.done)
	results, errs := make([]Batch, n), make([]error, n)
	var group sync.WaitGroup
	turns := make(chan struct{}, w.g.Workers)
	for shard := range n {
		if w.done[shard] {
			results[shard].Done = true
			continue
		}
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			results[shard], errs[shard] = w.s.Batch(ctx, BatchOrder{
				ID: w.r.ID, Step: w.i, Walk: *w.r.Script.Steps[w.i].Walk, Size: w.g.size, Shard: shard, Shards: n,
				Restart: w.restart, LockTimeout: w.m.o.LockTimeout,
			})
		})
	}
	group.Wait()
	all := Batch{Done: true}
	for shard, b := range results {
		w.done[shard] = b.Done
		all.Rows, all.Seen, all.Size = all.Rows+b.Rows, all.Seen+b.Seen, max(all.Size, b.Size)
		all.Took, all.Done = max(all.Took, b.Took), all.Done && b.Done
		if b.Progress.Seen >= all.Progress.Seen && b.Progress.Total > 0 {
			all.Progress = b.Progress
		}
		all.Sample = append(all.Sample, b.Sample...)
	}
	if err := errors.Join(errs...); err != nil {
		return Batch{}, err
	}
	w.restart = false
	w.sample = append(w.sample, all.Sample...)[:min(len(w.sample)+len(all.Sample), 5)]
	w.last = w.measured(all.Progress)
	w.m.tell(ctx, w.r, Event{Kind: Advanced, Step: w.r.Script.Steps[w.i].Name, Took: all.Took, Progress: w.last})
	return all, nil
}

// measured adds the rate of this process.
func (w *walker) measured(p Progress) Progress {
	if took := time.Since(w.began).Seconds(); took > 0 && p.Seen > w.from {
		p.Rate = float64(p.Seen-w.from) / took
		p.Left = time.Duration(float64(max(p.Total-p.Seen, 0)) / p.Rate * float64(time.Second))
	}
	return p
}
