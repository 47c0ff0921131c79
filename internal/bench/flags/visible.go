// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	rheostat "github.com/rheostat-go/rheostat/flags"
)

// Visible is how long a write takes until every goroutine sees it.
type Visible struct {
	Flags, Goroutines int
	// Times are those of each write, in order of size.
	Times []time.Duration
}

// See writes a flag so many times, while goroutines ask for it again and again. Each
// yields between two questions, as those of a server do when they wait for anything.
func See(flags, goroutines, writes int) (*Visible, error) {
	text, err := json.Marshal(ourText(New(flags)))
	if err != nil {
		return nil, err
	}
	client, store, stop, err := ourClient(text)
	if err != nil {
		return nil, err
	}
	defer stop()
	var wanted atomic.Int64 // the number of the write; the flag is on after even ones
	var done atomic.Bool
	seen := make(chan time.Time, goroutines)
	handle := rheostat.Bool(On.Key(), false)
	var group sync.WaitGroup
	defer group.Wait()
	defer done.Store(true)
	for i := range goroutines {
		group.Go(func() {
			who := rheostat.User(fmt.Sprint("user-", i))
			for last := int64(0); !done.Load(); runtime.Gosched() {
				if next := wanted.Load(); next != last && handle.On(client, &who) == (next%2 == 0) {
					last = next
					seen <- time.Now()
				}
			}
		})
	}
	v := &Visible{Flags: flags, Goroutines: goroutines}
	ctx := context.Background()
	for i := range writes {
		begun := time.Now()
		wanted.Store(int64(i + 1))
		if _, err := rheostat.Edit(ctx, store, On.Key(), rheostat.Note{}, func(f *rheostat.Flag) error {
			f.Enabled = !f.Enabled
			return nil
		}); err != nil {
			return nil, err
		}
		var latest time.Duration
		for range goroutines {
			latest = max(latest, (<-seen).Sub(begun))
		}
		v.Times = append(v.Times, latest)
	}
	slices.Sort(v.Times)
	return v, nil
}

// at is the time that a share of the writes did not exceed.
func (v *Visible) at(share float64) time.Duration {
	return v.Times[min(len(v.Times)-1, int(share*float64(len(v.Times))))]
}
