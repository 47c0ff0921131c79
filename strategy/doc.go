// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

/*
Package strategy carries a release from a stable version to a candidate, step by
step, and back home when it does harm.

A rollout is data. A [Plan] has lanes of steps, and a step says what must be done
before, where the dials stand, and what must be shown before the next one begins.
[Canary], [BlueGreen], [Rings], [Progressive] and [AllAtOnce] make plans, and so
does every type of yours with a method Plan. [Preview] tells what a plan will do,
[Recommend] which kind to take.

One [Machine] carries every plan out. It is a pure function: given the time, the
[State] and an [Observation] of the world, [Machine.Step] returns a [Decision],
which is the next state and the effects to make true. It is level-triggered: it
is never told what happened, it looks at how things are. A lost reply, a crashed
process and a route that somebody else changed are the same to it: the world is
not as it should be, so it asks again. What is not known moves nothing forward.

# Three floors

Take the first that does:

 1. [Runner.Run] carries one rollout out and returns when it has ended: for main,
    a job in CI, a command. Stop it and run it again to go on.
 2. [Runner.Reconcile] makes one turn and says when to make the next: for a
    controller, a cron job, a worker of a queue. Run is a loop around it.
 3. [Machine.Step] decides and does nothing else: for simulators, tests, and
    whoever already has a loop, a database and a lock.

A Runner needs a [Store] for the states, and for each service a [Wiring]: the
routers, judges and tasks that plans refer to by name. [OpenFileStore] keeps
states on one machine; [MemoryStore] forgets them.

# The loop around a Machine

This is what a Runner does, and what must be done in its place on the third floor:

	for {
		s, err := store.Load(ctx, service) // 1
		if err != nil {
			return err // not known: do nothing
		}
		o := look(ctx, machine.Needs(s)) // 2
		d, err := machine.Step(time.Now(), s, o)
		if err != nil {
			return err
		}
		if d.State.Rev != s.Rev { // 3
			var journal []strategy.Transition
			if d.Transition.Kind != 0 {
				journal = append(journal, d.Transition)
			}
			if err := store.Save(ctx, service, s.Rev, d.State, journal...); err != nil {
				return err // overtaken, or not known: load again after a while
			}
		}
		for _, effect := range d.Effects { // 4
			carryOut(ctx, effect)
		}
		tell(d.Transition) // 5
		if d.Wake.IsZero() {
			return d.State.Err()
		}
		wait(d.Wake) // 6
	}

The caller has six duties.

 1. Load what was saved last. An error is not an empty state.

 2. Look at what [Machine.Needs] names, and leave out what could not be found
    out: an error is no observation, and so is an answer from a cache that may be
    old. Set Observation.Watched to the moment since which this process has looked
    without a gap, so that no time counts in which nobody watched. Copy into each
    finding the run, the step and the moment that were asked about.

 3. Save before acting, if the Rev has risen, and only over the Rev that was
    loaded. If the save fails, make none of the effects true: somebody else was
    first, or nobody knows. This order is what makes a crash harmless. An effect
    follows from the saved state, so after a crash between the save and the act the
    next turn asks for it again; the other way round, a route would be in force that
    no state knows of.

 4. Make the effects true in their order, each under its fence. Stop at the first
    dial forward that fails: the next turn asks for it again, and for those behind
    it. On the way home ([SetRoute].Home) let nothing wait for anything else. An
    effect may be asked for twice. The target must refuse a fence that is too low:
    a process that was stopped for an hour between the save and the act will try.

 5. Tell observers after the save, at least once.

 6. Look again at Decision.Wake at the latest, and sooner if the world may have
    changed. Calling Step more often is harmless.

# What must be saved before what

A decision with effects raises State.Seq, which is the fence that its effects
carry. So whatever a target has accepted is in a state that was saved before, and
a state restored from an older copy is noticed, because a target remembers a
higher fence than it knows. Neither Rev nor Seq ever starts over, not with a new
run either. The plan is frozen in the state, defaults written out, with its
digest: a newer release of this package finishes what an older one began, as it
was begun.

# Two kinds of time

Holds, deadlines and bounds run on the time in which somebody watched, at most
[Attention] between two turns. A clock that jumps, and a process that was down,
therefore end neither a hold nor a deadline. Only quarantine, flapping and the end
of a [Block] go by the calendar.

# The way home

A failing check, a failing task, a deadline, an operator's abort or a newer
candidate turn a rollout around. Nothing that blocks the way forward blocks the
way home: no freeze window, no approval, no judge. It goes as fast as stable has
room, ends [RolledBack] only when nothing was seen to go to the candidate, and
ends [RollbackFailed] when its bound has passed, where the last safe route stays
and a person is called. A revision that was sent home is quarantined; one that
was merely superseded is not.
*/
package strategy
