// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"sync"
	"time"
)

// walk does batches until the walk is at its end, the change is paused, or something else
// is wanted of it.
func (m *Migrator) walk(ctx context.Context, s Session, r Record, i int) (time.Duration, error) {
	w := walker{m: m, s: s, r: r, i: i, g: newGovernor(m.o.Throttle), began: time.Now()}
	w.r.Progress = nil
	for _, p := range r.Progress {
		if p.Step == i {
			w.last, w.from = p, p.Seen
		}
	}
	if w.last.Done && r.Script.Steps[i].Walk.Verify {
		w.restart = true // it found rows that were wrong; look again
	}
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
}

func (w *walker) run(ctx context.Context) (time.Duration, error) {
	step := w.r.Script.Steps[w.i]
	for {
		if time.Since(w.looked) >= w.m.o.Poll {
			if changed, err := w.look(ctx); err != nil || changed {
				return time.Millisecond, err // the next turn sees to it
			}
		}
		b, err := w.batch(ctx)
		if errors.Is(err, ErrLockTimeout) || errors.Is(err, ErrRetry) {
			w.g.size = max(1, w.g.size/2)
		}
		if err != nil {
			return 0, err
		}
		if b.Done {
			return again, w.verdict(step)
		}
		if err := sleep(ctx, w.g.batch(b)); err != nil {
			return 0, err
		}
	}
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

// batch does one batch in each shard that is not at its end.
func (w *walker) batch(ctx context.Context) (Batch, error) {
	n := w.g.Workers
	if w.r.Script.Steps[w.i].Walk.Verify {
		n = 1
	}
	results, errs := make([]Batch, n), make([]error, n)
	var group sync.WaitGroup
	for shard := range n {
		group.Go(func() {
			results[shard], errs[shard] = w.s.Batch(ctx, BatchOrder{
				ID: w.r.ID, Step: w.i, Walk: *w.r.Script.Steps[w.i].Walk, Size: w.g.size, Shard: shard, Shards: n,
				Restart: w.restart, LockTimeout: w.m.o.LockTimeout,
			})
		})
	}
	group.Wait()
	w.restart = false
	if err := errors.Join(errs...); err != nil {
		return Batch{}, err
	}
	all := results[0]
	for _, b := range results[1:] {
		all.Rows, all.Seen = all.Rows+b.Rows, all.Seen+b.Seen
		all.Took, all.Done = max(all.Took, b.Took), all.Done && b.Done
		if b.Progress.Seen > all.Progress.Seen {
			all.Progress = b.Progress
		}
		all.Sample = append(all.Sample, b.Sample...)
	}
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
