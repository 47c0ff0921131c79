// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"slices"
)

// Phase is how far a change is.
type Phase uint8

const (
	// Planned is the zero Phase: nothing has been done.
	Planned Phase = iota
	// Expanding adds what the new version needs, beside what the old one has.
	Expanding
	// Syncing installs what keeps both sides the same from now on.
	Syncing
	// Backfilling makes the rows right that were there before.
	Backfilling
	// Verifying proves that every row is right, and validates constraints.
	Verifying
	// Ready is the first phase in which the new version may have traffic.
	Ready
	// Switched says that the new version has the traffic.
	Switched
	// Soaking has the old side under another name, where only the sync sees it.
	Soaking
	// Contracting drops the old side. From here there is no way back.
	Contracting
	// Done is the end: only the new side is left.
	Done
	// RollingBack takes back what was done, in reverse.
	RollingBack
	// RolledBack is the other end: the schema is as it was before.
	RolledBack
)

var phaseNames = []string{
	"planned", "expanding", "syncing", "backfilling", "verifying", "ready", "switched",
	"soaking", "contracting", "done", "rollingBack", "rolledBack",
}

// String is the name.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// MarshalText writes the name.
func (p Phase) MarshalText() ([]byte, error) {
	if int(p) >= len(phaseNames) {
		return nil, fmt.Errorf("migrate: no phase %d", uint8(p))
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads a name.
func (p *Phase) UnmarshalText(text []byte) error {
	i := slices.Index(phaseNames, string(text))
	if i < 0 {
		return fmt.Errorf("migrate: no phase %q", text)
	}
	*p = Phase(i)
	return nil
}

// Serves says whether the new version may have traffic in this phase.
func (p Phase) Serves() bool { return p >= Ready && p <= Done }

// Ended says whether nothing follows this phase.
func (p Phase) Ended() bool { return p == Done || p == RolledBack }

// Returns says whether the change can still be taken back.
func (p Phase) Returns() bool { return p < Contracting || p == RollingBack }
