// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package rollback brings a service back to a revision that is known to be good.
//
// A [Target] is what can be brought back: a Deployment, an alias, an application
// of a GitOps system. [Do] is the primitive over it: it resolves where to go,
// asks the target whether that is possible, records its intent, applies with
// compare-and-swap, and watches until the target is healthy or the deadline has
// passed. It never ends without saying which.
//
// Where to go is the [Ledger]'s to say. It is a plain value that the caller
// keeps: which revisions finished their bake, and which are in quarantine because
// they were rolled back. The last known good revision is the last one that
// finished its bake and is not in quarantine. It is never "the previous one":
// after a rollback the previous revision is the bad one, and rolling back twice
// would bring it back.
//
// An automatic return has limits that a person's does not have: a [Budget] for
// each service, because a signal that a rollback does not cure must not make it
// flap, and a [FleetBudget] for all of them, because many services that fail at
// once share a cause that is not their release. Neither ever holds up a person.
//
// Data is never undone. A [Door] marks a change after which older revisions
// cannot run any more, and an automatic return does not go through it.
package rollback
