// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"time"
)

// Options are what every router of this package and of those below it has a default for.
type Options struct {
	// Replicas is how many ready endpoints carry everything, which is what the room of
	// an arm is measured by: 3 ready of 12 are room for 25%. 0 is as many as stable
	// had, ready or not, when it last served alone; while the two share the traffic
	// and that was never seen, room is not known. A Deployment that is scaled during a
	// rollout needs more than was seen: then give [traffic.WithRoom] a function that
	// knows.
	Replicas int

	// Backend says where the endpoints of an arm are. nil is the Service that has the
	// arm's name, in the namespace of the object, unless the package says otherwise.
	Backend func(ctx context.Context, c Reader, arm string) (Backend, error)

	// Lag is Caps.Lag: how long after the evidence the data plane may still go the old
	// way. 0 is what the kind's controllers usually need, as its package says.
	Lag time.Duration

	// AcceptGitOps says that whoever keeps the object by its sources, Argo CD or Flux,
	// was told to leave the route alone. Without it, the first Apply to an object that
	// they keep is refused, with what they must be told.
	AcceptGitOps bool

	// Cache answers Observe, such as an informer that others have, too; nil asks the
	// API server each time. It is never what a write is made from, and what this router
	// has written itself is not hidden by a cache that has not seen it yet.
	Cache Reader
}

func (o Options) check() error {
	switch {
	case o.Replicas < 0:
		return errors.New("options.replicas: it cannot be less than 0")
	case o.Lag < 0:
		return errors.New("options.lag: it cannot be less than 0")
	}
	return nil
}
