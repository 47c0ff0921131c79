// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import "context"

// Meter is what a Router is, too, when it can count requests. [Verify] proves a
// split by its counts, and [Drain] waits by them until an arm is quiet.
type Meter interface {
	// Meter reads what each arm has done and is doing, by the arm's name. An arm
	// that is missing has nothing to tell. It never writes; an error means not known.
	Meter(ctx context.Context) (map[string]Reading, error)
}

// MeterOf is the router's Meter, or that of the router that it wraps, as
// [WithRoom] and [Verified] do and say by a method Unwrap() Router. A [Fanout] is
// one if all of its members are.
func MeterOf(r Router) (Meter, bool) {
	for r != nil {
		if f, ok := r.(*Fanout); ok && !f.counts() {
			return nil, false
		}
		if m, ok := r.(Meter); ok {
			return m, true
		}
		outer, ok := r.(interface{ Unwrap() Router })
		if !ok {
			break
		}
		r = outer.Unwrap()
	}
	return nil, false
}

// Reading is an arm's count at one moment.
type Reading struct {
	// Requests is how many requests the arm was given since it began to count.
	// Copies for a mirror are not among them. It only rises; less than before
	// means that the counting began anew.
	Requests uint64
	// Active is how many requests are under way now. A stream, a WebSocket and
	// each of the requests on one HTTP/2 connection count as one.
	Active uint64
}
