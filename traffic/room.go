// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import "context"

// AssumeRoom is r with its owner's word that both arms can carry everything at
// any time: Caps say Room, and Observe always shows Plenty. Without a router
// that knows its room, or this word, no rollout moves forward.
func AssumeRoom(r Router) Router {
	return WithRoom(r, func(context.Context) (Room, error) { return Plenty, nil })
}

// WithRoom is r with its room told by room, for a router that does not know its
// own: a question to an autoscaler, the ready replicas of two deployments. room
// must be safe for concurrent use; it is asked in every Observe, within that
// call's context. Its error makes the room not known, which keeps a rollout
// where it is and never bars the way home; what was seen of the route still counts.
func WithRoom(r Router, room func(context.Context) (Room, error)) Router {
	return &roomy{r, room}
}

type roomy struct {
	Router
	room func(context.Context) (Room, error)
}

// Unwrap is the router that does not know its room.
func (r *roomy) Unwrap() Router { return r.Router }

func (r *roomy) Caps() Caps {
	caps := r.Router.Caps()
	caps.Room = true
	return caps
}

func (r *roomy) Observe(ctx context.Context) (Seen, error) {
	seen, err := r.Router.Observe(ctx)
	if err != nil {
		return Seen{}, err
	}
	seen.Room, err = r.room(ctx)
	if err != nil {
		seen.Room = Room{}
	}
	return seen, nil
}
