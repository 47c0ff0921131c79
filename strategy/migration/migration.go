// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// The names under which Tasks and Judges give what Plan refers to.
const (
	ExpandTask   = "expand"
	SwitchedTask = "switched"
	ContractTask = "contract"
	SchemaCheck  = "schema"
)

// Options of a Migration. The zero Options are the defaults.
type Options struct {
	// Keep leaves the schema expanded on the way home, so that the next candidate need not
	// wait for another backfill. Both sides are kept the same meanwhile.
	Keep bool
	// NoContract leaves the old side in place: the contract is another rollout's, or a
	// person's.
	NoContract bool
	// Patience is how long the contract may wait for old versions to go, beyond the soak,
	// before it pages. 0 is an hour.
	Patience time.Duration
}

// Migration is a change of the database as tasks and a judge of a rollout. It is safe for
// concurrent use.
type Migration struct {
	m      *migrate.Migrator
	change migrate.Change
	o      Options
}

// New joins a change to rollouts that m's database serves. It does not connect.
func New(m *migrate.Migrator, change migrate.Change, o Options) (*Migration, error) {
	if m == nil {
		return nil, errors.New("migration: New: the Migrator is nil")
	}
	if err := change.Check(); err != nil {
		return nil, fmt.Errorf("migration: %w", err)
	}
	if o.Patience < 0 {
		return nil, errors.New("migration: Options.Patience is below zero")
	}
	if o.Patience == 0 {
		o.Patience = time.Hour
	}
	return &Migration{m: m, change: change, o: o}, nil
}

// Tasks are the tasks by the names that Plan uses.
func (x *Migration) Tasks() map[string]strategy.Task {
	return map[string]strategy.Task{ExpandTask: x.Expand(), SwitchedTask: x.Switched(), ContractTask: x.Contract()}
}

// Judges are the judges by the names that Plan uses.
func (x *Migration) Judges() map[string]analysis.Judge {
	return map[string]analysis.Judge{SchemaCheck: x.Schema()}
}

// Plan is the strategy's plan with the change around it: expanded as the last thing
// before the first step turns a dial, watched all the time, noted as switched once the
// candidate has everything, and contracted in a last step of its own. The plan must have one lane; with several, name the tasks where they
// belong.
func (x *Migration) Plan(s strategy.Strategy) (strategy.Plan, error) {
	plan, err := s.Plan()
	if err != nil {
		return plan, err
	}
	if len(plan.Lanes) != 1 || len(plan.Lanes[0].Steps) == 0 {
		return plan, fmt.Errorf("migration: the plan has %d lanes, and a change belongs to one: name %s before the first step, %s in Watch and %s before a last step with OneWay",
			len(plan.Lanes), ExpandTask, SchemaCheck, ContractTask)
	}
	lane := plan.Lanes[0]
	lane.Steps = slices.Clone(lane.Steps)
	first := &lane.Steps[0]
	first.Before = append(slices.Clone(first.Before), ExpandTask)
	if first.Deadline == 0 { // a backfill takes what it takes
		first.Deadline = 2*first.Hold + expandDeadline
	}
	if i := slices.IndexFunc(lane.Steps, full) + 1; i > 0 && i < len(lane.Steps) && !x.o.Keep { // what is kept must not say that the traffic is still there
		lane.Steps[i].Before = append([]string{SwitchedTask}, lane.Steps[i].Before...)
	}
	if !x.o.NoContract {
		soak := x.change.Soak
		if soak == 0 {
			soak = migrate.DefaultSoak
		}
		lane.Steps = append(lane.Steps, strategy.Step{
			Name: "contract", Before: []string{ContractTask}, OneWay: true, Deadline: soak + x.o.Patience,
		})
	}
	plan.Lanes = []strategy.Lane{lane}
	plan.Watch = append(slices.Clone(plan.Watch), SchemaCheck)
	return plan, nil
}

// full says that the candidate has everything once the step has turned its dials.
func full(s strategy.Step) bool {
	return len(s.Set) > 0 && !slices.ContainsFunc(s.Set, func(d strategy.Dial) bool { return d.Split.Candidate != traffic.Full })
}

// expandDeadline bounds the first step where the plan does not.
const expandDeadline = 24 * time.Hour

// Record is what the database knows of the change.
func (x *Migration) Record(ctx context.Context) (migrate.Record, error) {
	return x.m.Record(ctx, x.change.ID)
}

// Explain says in a few lines where the change is, and why it does not move: what the
// rollout's own Explain means when it waits for one of the tasks.
func (x *Migration) Explain(ctx context.Context) (string, error) {
	return x.m.Explain(ctx, x.change.ID)
}

// load is the change's record; found is false where there is none.
func (x *Migration) load(ctx context.Context) (r migrate.Record, found bool, err error) {
	r, err = x.m.Record(ctx, x.change.ID)
	if errors.Is(err, migrate.ErrNotFound) {
		return r, false, nil
	}
	return r, err == nil, err
}

// order is what the rollout wants.
func (x *Migration) order(r strategy.Ref, want migrate.Phase, why string) migrate.Order {
	return migrate.Order{
		Want: want, Force: want == migrate.RolledBack, Fence: r.Fence,
		By: fmt.Sprintf("rollout %s/%d to %s", r.Service, r.Run, r.Release.Candidate.Version), Why: why,
	}
}

// Schema is a judge that passes while the candidate may have traffic, and fails when the
// change is being taken back. It answers at once and needs no data.
func (x *Migration) Schema() analysis.Judge {
	return analysis.JudgeFunc(func(ctx context.Context, c analysis.Check) (analysis.Finding, error) {
		r, found, err := x.load(ctx)
		switch {
		case err != nil:
			return analysis.Finding{}, err
		case !found:
			return c.Finding(analysis.Fail, "the database knows no change "+x.change.ID), nil
		case r.State.Phase.Serves() && r.Order.Want == migrate.RolledBack:
			return c.Finding(analysis.Fail, fmt.Sprintf("change %s is to be rolled back by %s: %s", r.ID, r.Order.By, r.Order.Why)), nil
		case r.State.Phase.Serves():
			return c.Finding(analysis.Safe, fmt.Sprintf("change %s is %v", r.ID, r.State.Phase)), nil
		}
		return c.Finding(analysis.Fail, fmt.Sprintf("change %s is %v: what the candidate needs is not there", r.ID, r.State.Phase)), nil
	})
}
