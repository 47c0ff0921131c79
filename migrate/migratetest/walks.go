// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

var walkCases = []testCase{
	{
		name:  "a walk does every row once, whenever its process dies",
		why:   "where a walk is, is saved in the transaction of its batch: whoever goes on after a crash, a lost reply or a cancelled call does no row twice and forgets none",
		needs: []need{needDB},
		run: func(r *run) {
			for range max(1, 3/r.Stride) {
				l, i := r.walking("once", false)
				r.through(l, i, nil)
				l.finish()
			}
		},
	},
	{
		name:  "a walk goes on after the server died",
		why:   "a batch and where the walk is are one transaction: the server loses both or neither, even where it may lose the last few",
		needs: []need{needDB, needRestart},
		run: func(r *run) {
			l, i := r.walking("killed", false)
			defer l.finish()
			restarts := 0
			r.through(l, i, func() {
				if restarts < 3 && rand.IntN(4) == 0 {
					restarts++
					r.must("Restart", r.Restart(r.ctx))
				}
			})
			r.Logf("%d restarts", restarts)
		},
	},
	{
		name:  "a fenced session does no batch",
		why:   "a process that was paused within a backfill and woken after another took over must not write: the fence is checked in the batch's transaction",
		needs: []need{needDB},
		run: func(r *run) {
			l, i := r.walking("fenced", false)
			defer l.finish()
			old := r.lock(r.Database, l.change.ID, "runner")
			r.must("Close", old.Close(r.ctx))
			s := r.lock(r.other(), l.change.ID, "bob")
			before := r.load(l.change.ID).Progress
			_, err := old.Batch(r.ctx, l.batch(i))
			r.is("Batch", err, migrate.ErrFenced)
			r.same("the progress", r.load(l.change.ID).Progress, before)
			_, err = s.Batch(r.ctx, l.batch(i))
			r.must("Batch of the other", err)
		},
	},
	{
		name:  "a walk begins again when it is told to",
		why:   "a verification that found wrong rows is done anew, from the first row, and counts anew",
		needs: []need{needDB},
		run: func(r *run) {
			l, i := r.walking("restart", true)
			defer l.finish()
			s := r.lock(r.Database, l.change.ID, "runner")
			for range 2 {
				order := l.batch(i)
				order.Restart = true
				var done migrate.Batch
				for !done.Done {
					var err error
					done, err = s.Batch(r.ctx, order)
					r.must("Batch", err)
					order.Restart = false
				}
				if seen := done.Progress.Seen; seen <= 0 || !done.Progress.Done { // it may be an estimate
					r.Errorf("a walk over %d rows has seen %d, and is done: %v", walkRows, seen, done.Progress.Done)
				}
			}
		},
	},
	{
		name:  "a walk that verifies counts and names rows, and writes none",
		why:   "Ready is a promise about every row: what Pending is true of is counted, a few keys are told, and nothing is mended silently",
		needs: []need{needDB},
		run: func(r *run) {
			l, i := r.walking("verify", true)
			defer l.finish()
			s := r.lock(r.Database, l.change.ID, "runner")
			order := l.batch(i)
			order.Walk.Pending = r.sql(l.names, "[id] >= 3 AND [id] < 10")
			var rows, seen int64
			var sample []string
			var done migrate.Batch
			for !done.Done {
				var err error
				done, err = s.Batch(r.ctx, order)
				r.must("Batch", err)
				rows, seen, sample = rows+done.Rows, seen+done.Seen, append(sample, done.Sample...)
			}
			if rows != 7 || done.Progress.Rows != 7 {
				r.Errorf("7 rows are wrong; the batches count %d and the progress %d", rows, done.Progress.Rows)
			}
			if seen <= 0 { // it may be an estimate
				r.Errorf("the walk has seen %d rows of %d", seen, walkRows)
			}
			known := func(key string) bool { return strings.ContainsAny(key, "3456789") }
			if len(sample) == 0 || !slices.ContainsFunc(sample, known) {
				r.Errorf("the sample is %q, want keys from 3 to 9", sample)
			}
			l.everything(l.old, "the old version")
		},
	},
	{
		name:  "shards are the whole, and no row twice",
		why:   "workers walk side by side, each its part of the table",
		needs: []need{needDB},
		run: func(r *run) {
			l, i := r.walking("shards", false)
			defer l.finish()
			s := r.lock(r.Database, l.change.ID, "runner")
			var rows int64
			var last migrate.Batch
			for shard := range 3 {
				order := l.batch(i)
				order.Shard, order.Shards = shard, 3
				for last.Done = false; !last.Done; {
					var err error
					last, err = s.Batch(r.ctx, order)
					if errors.Is(err, errors.ErrUnsupported) {
						r.Skipf("skipped for want of shards")
					}
					r.must("Batch", err)
					rows += last.Rows
				}
			}
			if rows != int64(walkRows) || last.Progress.Rows != int64(walkRows) {
				r.Errorf("the shards wrote %d rows and the progress says %d, of %d", rows, last.Progress.Rows, walkRows)
			}
			l.everything(l.new, "the new version")
		},
	},
}

// walkRows is how many rows are walked over.
const walkRows = 3000

// walking brings a column that is replaced as far as its walk, and tells which step that is.
func (r *run) walking(mode string, verify bool) (*life, int) {
	r.Helper()
	s := stories[0]
	l := r.begin(s, false, 0, mode)
	c := l.clients[0]
	for from := 0; from < walkRows; from += 500 {
		var values []string
		for id := from; id < from+500; id++ {
			c.rows[id] = fmt.Sprint("v", id)
			values = append(values, fmt.Sprintf("(%d, 'v%d')", id, id))
		}
		r.exec(r.sql(l.names, "INSERT INTO [t] ([id], [v]) VALUES ") + strings.Join(values, ", "))
	}
	m := l.migrator(&watched{saved: func(migrate.State) {}})
	r.must("Begin", m.Begin(r.ctx, l.change, migrate.Order{}))
	steps := r.load(l.change.ID).Script.Steps
	i := slices.IndexFunc(steps, func(s migrate.Step) bool { return s.Walk != nil && s.Walk.Verify == verify })
	if i < 0 {
		r.Fatalf("the script of a ReplaceColumn has no walk with Verify %v", verify)
	}
	// It runs up to that step.
	saves := slices.IndexFunc(steps, func(s migrate.Step) bool { return s.Phase == steps[i].Phase })
	w := &watched{saved: func(migrate.State) {}}
	w.saved = func(s migrate.State) {
		if s.Phase == steps[i].Phase && !slices.ContainsFunc(s.Steps[saves:i], func(s migrate.StepState) bool { return !s.Done }) {
			w.dead.Store(true)
		}
	}
	if err := l.migrator(w).Reach(r.ctx, l.change, migrate.Ready); !errors.Is(err, errDead) {
		r.Fatalf("a process that was to die before the walk says %v", err)
	}
	// Nobody waits for the dead one's lease to run out.
	r.must("Close", r.lock(r.Database, l.change.ID, "runner").Close(r.ctx))
	return l, i
}

// batch orders a batch of the step.
func (l *life) batch(i int) migrate.BatchOrder {
	step := l.r.load(l.change.ID).Script.Steps[i]
	return migrate.BatchOrder{ID: l.change.ID, Step: i, Walk: *step.Walk, Size: 10, LockTimeout: time.Second}
}

// through walks to the end though calls are cancelled and sessions lost at random moments.
func (r *run) through(l *life, i int, trouble func()) {
	r.Helper()
	order := l.batch(i)
	var done migrate.Batch
	for lost := 0; !done.Done; {
		var s migrate.Session
		r.eventually("Lock", func() (ok bool) {
			var err error
			s, err = r.other().Lock(r.ctx, "change:"+l.change.ID, "runner", lease)
			return err == nil
		})
		for range 1 + rand.IntN(8) {
			if trouble != nil {
				trouble()
			}
			ctx, cancel := context.WithCancel(r.ctx)
			if rand.IntN(3) == 0 {
				time.AfterFunc(rand.N(3*time.Millisecond), cancel)
			}
			b, err := s.Batch(ctx, order)
			cancel()
			if err != nil {
				if lost++; lost > 2000 {
					r.Fatalf("the walk does not come to its end: %v", err)
				}
				break
			}
			if done = b; b.Done {
				break
			}
		}
	}
	p := done.Progress
	if p.Rows != walkRows || p.Seen < p.Rows || !p.Done || p.Share < 0.99 {
		r.Errorf("a walk over %d rows says %+v", walkRows, p)
	}
	saved := r.load(l.change.ID).Progress
	if k := slices.IndexFunc(saved, func(p migrate.Progress) bool { return p.Step == i }); k < 0 || saved[k].Rows != walkRows || !saved[k].Done {
		r.Errorf("the record's progress is %+v, want %d rows, and done", saved, walkRows)
	}
	l.everything(l.new, "the new version")
	l.everything(l.old, "the old version")
}
