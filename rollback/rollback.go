// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// Revision is one version of a service that a target can run.
type Revision struct {
	// ID is the target's stable name for it. It never means another revision
	// later, so "previous" and "latest" are none.
	ID string `json:"id"`
	// Digest identifies the content: two revisions with the same digest are the
	// same thing. It is what goes into quarantine. It is never empty.
	Digest string `json:"digest"`
	// HealthyAt is when the target last saw it healthy, zero if it does not know.
	HealthyAt time.Time `json:"healthyAt,omitzero"`
	// Level is the oldest state of shared data that it can live with, such as
	// the number of the migration it needs. See Door.
	Level uint64 `json:"level,omitempty"`
}

// Token is a target's state as of a look, for compare-and-swap: a
// resourceVersion, an alias's revision, a commit. Only the target can read it.
type Token string

// Target is something that can be brought back to an earlier revision.
// Implementations must be safe for concurrent use and must pass rollbacktest.Run.
//
// Errors: one that wraps ErrRefused is final, every other may be gone next time.
type Target interface {
	// Current is the revision that is asked for now, whether it is healthy or
	// not, and the token to change it with. It never writes.
	Current(ctx context.Context) (Revision, Token, error)

	// History lists the revisions that can be returned to, oldest first, the
	// current one among them. It never writes.
	History(ctx context.Context) ([]Revision, error)

	// Preflight says whether to can be returned to now: it exists, its artifact
	// can be had, nothing is paused, no other owner would revert it. An error
	// that wraps ErrRefused says why not. It never writes.
	Preflight(ctx context.Context, to Revision) error

	// Apply asks for to, if the target still is as it was when expect was read,
	// and gives the new token. If it was changed since, the error wraps
	// ErrConflict and nothing has happened. A revision that is not in the
	// history is refused with ErrRefused.
	//
	// key names the decision. A key that was applied before is applied already:
	// nothing happens and the error is nil, whatever expect is, so that a caller
	// that lost the reply can ask again. The same key for another revision is an
	// ErrConflict.
	//
	// A nil error means accepted. Whether the revision runs is for Observe.
	Apply(ctx context.Context, to Revision, expect Token, key string) (Token, error)

	// Observe tells how the target does. It never writes.
	Observe(ctx context.Context) (Status, error)
}

// Health is a target's word on itself. The zero Health is Progressing: not known
// to be anything yet.
type Health uint8

const (
	// Progressing means that it is on its way.
	Progressing Health = iota
	// Healthy means that the revision runs with all the capacity it needs.
	Healthy
	// Degraded means that it runs badly and may recover.
	Degraded
	// Failed means that it will not get there by itself.
	Failed
)

var healthNames = []string{"progressing", "healthy", "degraded", "failed"}

// String is the name in lower case.
func (h Health) String() string { return name(healthNames, h) }

// MarshalText writes the name.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads a name.
func (h *Health) UnmarshalText(text []byte) error { return parse("health", healthNames, h, text) }

// Status is what a look at a target showed. Judge reads it.
type Status struct {
	Health Health `json:"health"`
	// Running is the revision that the rest of the status is about.
	Running Revision `json:"running,omitzero"`
	// Generation counts the changes that were asked for, and Observed is the one
	// that the rest of the status is about. Both are 0 for a target that does not
	// count; its status then must never be older than its last Apply.
	Generation uint64 `json:"generation,omitempty"`
	Observed   uint64 `json:"observed,omitempty"`
	// Ready is the capacity that is ready, as a share of what is needed: 1 is
	// enough, more is a surplus. Needing nothing and having nothing is NaN.
	Ready float64 `json:"ready"`
	// Reason is one sentence for a person.
	Reason string `json:"reason,omitempty"`
	// Notes are facts for a person that nothing is decided by.
	Notes []string `json:"notes,omitempty"`
}

// Judge is what the status says about want, and why. A status that is older than
// the last change, or about another revision, says nothing yet. Healthy needs a
// number that shows it: a share that is not finite, or below 1, is not healthy.
func (s Status) Judge(want Revision) (Health, string) {
	switch {
	case s.Observed < s.Generation:
		return Progressing, fmt.Sprintf("the status is of generation %d, asked for is %d", s.Observed, s.Generation)
	case s.Running.Digest != want.Digest:
		return Progressing, fmt.Sprintf("running is %s, wanted is %s", s.Running, want)
	case s.Health == Healthy && (math.IsNaN(s.Ready) || math.IsInf(s.Ready, 0)):
		return Degraded, "the ready share is not a number: nothing shows that it is healthy"
	case s.Health == Healthy && s.Ready < 1:
		return Degraded, fmt.Sprintf("%.0f%% of the capacity is ready", math.Floor(s.Ready*100))
	}
	return s.Health, s.Reason
}

// String names the revision and its digest.
func (r Revision) String() string {
	switch {
	case r == Revision{}:
		return "no revision"
	case r.Digest == "" || r.Digest == r.ID:
		return r.ID
	}
	return fmt.Sprintf("%s (%s)", r.ID, r.Digest)
}

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown(%d)", v)
}

func parse[T ~uint8](what string, names []string, into *T, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("rollback: %s %q: want one of %q", what, text, names)
	}
	*into = T(i)
	return nil
}
