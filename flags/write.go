// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Note says who writes a flag and why. It stays with the flag.
type Note struct{ By, Why string }

// attempts bounds how often a write that lost a race is tried again.
const attempts = 10

// Edit changes a flag with change, which gets the flag as it stands and may be
// called again if somebody else wrote meanwhile. It returns the flag as written. An error
// of change ends it, and nothing is written.
func Edit(ctx context.Context, store Store, key string, note Note, change func(*Flag) error) (*Flag, error) {
	for range attempts {
		f, err := store.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if err := change(f); err != nil {
			return nil, err
		}
		f.UpdatedBy, f.Why = note.By, note.Why
		version, err := store.Put(ctx, f)
		switch {
		case err == nil:
			f.Version = version
			return f, nil
		case !errors.Is(err, ErrConflict):
			return nil, err
		}
	}
	return nil, fmt.Errorf("flags: %q: %d writers were faster: %w", key, attempts, ErrConflict)
}

// Kill disables a flag: whatever else it says, everybody gets its Off. It wins over whoever
// dials the flag, until somebody enables it again.
func Kill(ctx context.Context, store Store, key string, note Note) (*Flag, error) {
	return Edit(ctx, store, key, note, func(f *Flag) error {
		f.Enabled = false
		return nil
	})
}

// Ramp gives a share of the units to a variant, and the rest to the one that shares
// the split with it. Of a boolean without variants, variant is "on" or "". It dials the flag's
// rollout or its default; rules and targets stay. To raise a share only adds units.
// It does not enable a flag.
func Ramp(ctx context.Context, store Store, key, variant string, to Percent, note Note) (*Flag, error) {
	return Edit(ctx, store, key, note, func(f *Flag) error { return f.Dial(variant, to) })
}

// Dial is what Ramp does to the flag.
func (f *Flag) Dial(variant string, to Percent) error {
	if to > Everybody {
		return fmt.Errorf("flags: %q: %v is more than 100%%", f.Key, to)
	}
	if f.Variants == nil && f.Default == nil {
		if variant != "" && variant != "on" {
			return fmt.Errorf("flags: %q: there is no variant %q to dial: it is a boolean, use \"on\"", f.Key, variant)
		}
		if f.Rollout != nil && f.Rollout.Type == "users" {
			return fmt.Errorf("flags: %q: its rollout names users: give it the type percentage first", f.Key)
		}
		if f.Rollout == nil {
			f.Rollout = new(Rollout)
		}
		f.Rollout.Type, f.Rollout.Percentage = "percentage", to
		return nil
	}
	if f.Default == nil || len(f.Default.Split) != 2 {
		return fmt.Errorf("flags: %q: its default is no split between two variants: write it as one, the dialled variant first", f.Key)
	}
	split := f.Default.Split
	// The dialled variant first: then raising it moves one edge away from 0, and
	// nobody who has it loses it.
	if split[0].Variant != variant {
		return fmt.Errorf("flags: %q: the default's split begins with %q, not with %q", f.Key, split[0].Variant, variant)
	}
	split[0].Percent, split[1].Percent = to, Everybody-to
	return nil
}

// Touch keeps the times of a flag that is about to be written over before, which is nil
// for a new one. Stores call it.
func (f *Flag) Touch(before *Flag, now time.Time) {
	now = now.UTC().Truncate(time.Microsecond)
	f.CreatedAt, f.UpdatedAt = now, now
	if before != nil {
		f.CreatedAt = before.CreatedAt
	}
	since := now
	variant, settled := f.settled()
	if !settled {
		f.FullyOnSince = time.Time{}
		return
	}
	if before != nil && !before.FullyOnSince.IsZero() {
		if was, ok := before.settled(); ok && was == variant {
			since = before.FullyOnSince
		}
	}
	f.FullyOnSince = since
}

// settled is the one variant that everybody gets, if there is but one and the flag is
// enabled.
func (f *Flag) settled() (string, bool) {
	c, _ := compile(f, trusting(f))
	if c == nil || !c.constant || !f.Enabled || c.outcome.variant < 0 {
		return "", false
	}
	return c.variants[c.outcome.variant].name, true
}
