// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"iter"
)

// Store keeps the state of every service. Implementations must be safe for
// concurrent use and must pass strategytest.TestStore.
type Store interface {
	// Load returns the state saved last for the service, or the zero State if
	// there is none. An error means not known; the caller must not act.
	Load(ctx context.Context, service string) (State, error)
	// Save stores next if the state stored now has Rev prev (0: none yet), and
	// returns ErrConflict otherwise. When it returns nil the state survives a
	// crash of the process, and for a durable store of the machine. After any
	// other error it may or may not be stored: load again. log is appended to
	// the service's journal in the same breath.
	Save(ctx context.Context, service string, prev uint64, next State, log ...Transition) error
	// List yields the names of all services that have a state, in no particular
	// order, and ends after the first error.
	List(ctx context.Context) iter.Seq2[string, error]
}
