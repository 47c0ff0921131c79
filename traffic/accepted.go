// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import "fmt"

// Accepted is a route that a router has accepted, and under which fence. The zero
// Accepted is none yet.
type Accepted struct {
	Fence uint64 `json:"fence"`
	Route Route  `json:"route"`
}

// Admit says whether a router that has accepted a last may accept r under fence. A
// lower fence is ErrFenced, another route under the same one ErrConflict; the same
// route under the same one is no error, and nothing to do unless somebody else has
// changed the target. The zero Accepted admits everything.
func (a Accepted) Admit(fence uint64, r Route) error {
	switch {
	case a.Route.IsZero():
		return nil
	case fence < a.Fence:
		return fmt.Errorf("under fence %d after %d: %w", fence, a.Fence, ErrFenced)
	case fence == a.Fence && !r.Equal(a.Route):
		return fmt.Errorf("under fence %d, which was used for %q: %w", fence, a.Route, ErrConflict)
	}
	return nil
}
