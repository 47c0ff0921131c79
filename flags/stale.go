// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// StaleAfter is how long a flag serves everybody one variant before it is stale,
// unless somebody says otherwise.
const StaleAfter = 30 * 24 * time.Hour

// ErrNotStale is returned where a flag is to be retired that still decides something.
var ErrNotStale = errors.New("flag is not stale")

// Stale is a flag that everybody gets one variant of, and has for long: the code around
// it can go.
type Stale struct {
	Flag *Flag
	// Variant is what everybody gets.
	Variant string
	// Since is when that began. Where the flag does not say, it is its last write.
	Since time.Time
	// Evaluated is the last minute when this client evaluated the flag, zero if it has
	// not: then no code here may be asking for it any more.
	Evaluated time.Time
}

// Stale are the flags that have served everybody one variant for at least after,
// 0 meaning StaleAfter, the oldest first. Permanent flags are none, nor are flags that do
// not say since when.
func (c *Client) Stale(after time.Duration) []Stale {
	s := c.snapshot()
	if s == nil {
		return nil
	}
	doc := s.document()
	list := doc.Stale(time.Now(), after)
	for i := range list {
		if minute := s.find(list[i].Flag.Key).seen.Load(); minute > 0 {
			list[i].Evaluated = time.Unix(int64(minute)*60, 0).UTC()
		}
	}
	return list
}

// Stale is what [Client.Stale] says of the flags as they are written, at now. Whether
// anybody evaluates them a document cannot tell: Evaluated is zero.
func (d *Document) Stale(now time.Time, after time.Duration) []Stale {
	after = cmp.Or(after, StaleAfter)
	var list []Stale
	for _, f := range d.Flags {
		if f == nil {
			continue
		}
		if stale, ok := f.stale(now, after); ok {
			list = append(list, stale)
		}
	}
	slices.SortFunc(list, func(a, b Stale) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Flag.Key, b.Flag.Key))
	})
	return list
}

// stale reports whether the flag has been settled since after before now.
func (f *Flag) stale(now time.Time, after time.Duration) (Stale, bool) {
	since := f.FullyOnSince
	if since.IsZero() {
		since = f.UpdatedAt
	}
	if f.Permanent || since.IsZero() || now.Sub(since) < after {
		return Stale{}, false
	}
	variant, ok := f.settled()
	return Stale{Flag: f, Variant: variant, Since: since}, ok
}

// Retire removes a stale flag from the store, once no code asks for it: whoever still
// does gets its fallback. A flag that still decides something, is permanent, or became
// what it is less than after ago (0 meaning StaleAfter) is ErrNotStale.
func Retire(ctx context.Context, store Store, key string, after time.Duration) error {
	f, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	if _, ok := f.stale(time.Now(), cmp.Or(after, StaleAfter)); !ok {
		return fmt.Errorf("flags: %q: %w", key, ErrNotStale)
	}
	return store.Delete(ctx, key, f.Version)
}
