// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
)

// limit is for a machine that is busy with other things.
const limit = 5 * time.Minute

// run is the whole show. The error says what was not as it should be.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w, err := build(ctx, s, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.printPlan(ctx); err != nil {
		return err
	}
	if err := w.rollOut(ctx, "v2", strategy.RolledBack, migrate.RolledBack); err != nil {
		return err
	}
	if err := w.check(ctx, "email", ""); err != nil {
		return err
	}
	go w.makeWay(ctx)
	if err := w.rollOut(ctx, "v2.1", strategy.Promoted, migrate.Done); err != nil {
		return err
	}
	if err := w.check(ctx, "new_email", ""); err != nil {
		return err
	}
	return w.sum()
}

// printPlan says what is going to happen before anything does.
func (w *world) printPlan(ctx context.Context) error {
	forecast, err := strategy.Preview(w.plan)
	if err != nil {
		return err
	}
	statements, err := w.m.Plan(ctx, w.change)
	if err != nil {
		return err
	}
	w.print("%v\n%v", forecast, statements)
	return nil
}

// rollOut carries one rollout out, and wants it, and the change, to end so.
func (w *world) rollOut(ctx context.Context, candidate string, want strategy.Phase, wantChange migrate.Phase) error {
	w.say("rollout v1 to %s", candidate)
	request := strategy.Request{
		Release: strategy.NewRelease("v1", candidate), Plan: w.plan,
		Override: strategy.Override{By: "ann", Why: "the + is mended"}, // after a return, a person has to say so
	}
	if _, err := w.runner.Start(ctx, app, request); err != nil {
		return err
	}
	state, err := w.runner.Run(ctx, app)
	if outcome := (*strategy.Outcome)(nil); err != nil && !errors.As(err, &outcome) {
		return err
	}
	record, err := w.bridge.Record(ctx)
	if err != nil {
		return err
	}
	if state.Phase != want || record.State.Phase != wantChange {
		return fmt.Errorf("%s is %v and the change %v, want %v and %v: %s", candidate, state.Phase, record.State.Phase, want, wantChange, state.Reason)
	}
	return nil
}

// makeWay does what a person has to do before the old column may go: it sees that v1 is
// what the contract waits for, and takes it down.
func (w *world) makeWay(ctx context.Context) {
	select {
	case <-w.held:
	case <-ctx.Done():
		return
	}
	w.problem(w.check(ctx, "new_email", "email"))
	w.say("ann takes v1 down")
	w.problem(w.fleet.stop("v1"))
	select {
	case <-w.hidden:
	case <-ctx.Done():
		return
	}
	_, err := startShop(ctx, w.base, "v1")
	w.say("v1 is started once more, by mistake: %v", err)
	if !errors.Is(err, migrate.ErrRetired) {
		w.problem(fmt.Errorf("v1 was started though its column is hidden: %w", err))
	}
}

// check has the clients look at the table.
func (w *world) check(ctx context.Context, column, other string) error {
	var v verdict
	err := w.base.use(func(db *sql.DB) (err error) {
		v, err = w.crowd.check(ctx, db, column, other)
		return err
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d rows in %s, the last word v1's in %d, v2's in %d, v2.1's in %d: %d lost", v.rows, column, v.by["v1"], v.by["v2"], v.by["v2.1"], v.lost)
	if other != "" {
		text += fmt.Sprintf(", %d otherwise in %s", v.diverged, other)
	}
	w.say("checked: %s", text)
	if v.lost+v.diverged > 0 {
		return errors.New(text + w.crowd.lately())
	}
	return nil
}

// sum says what the clients went through.
func (w *world) sum() error {
	c := w.crowd
	c.finish()
	w.print("\n%d reads and %d writes, the slowest %v; %d were refused by v2, %d failed, %d were read otherwise than written\n",
		c.reads.Load(), c.writes.Load(), time.Duration(c.slowest.Load()).Round(time.Millisecond), c.refused.Load(), c.failed.Load(), c.stale.Load())
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.failed.Load()+c.stale.Load() > 0 {
		w.problems = append(w.problems, errors.New("clients saw what they should not"+c.lately()))
	}
	if c.refused.Load() == 0 {
		w.problems = append(w.problems, errors.New("v2 refused nobody, so nothing was shown"))
	}
	return errors.Join(w.problems...)
}
