// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

var restMutants = []mutant{
	mutateApply("writes the whole document anew", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		err := w.target.Apply(ctx, fence, r)
		if err == nil {
			w.edit(func(string) string { return "listen 80\n" })
		}
		return err
	}),
	mutateApply("loses a rule of others with a match", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		if len(r.Split.Match) > 0 {
			w.edit(func(s string) string { return strings.ReplaceAll(s, "route /other\n", "") })
		}
		return w.target.Apply(ctx, fence, r)
	}),
	mutateApply("leaves a mark when it refuses", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		err := w.target.Apply(ctx, fence, r)
		if err != nil {
			w.edit(func(s string) string { return s + "# refused\n" })
		}
		return err
	}),
}

var anotherMutants = []mutant{
	mutate("shows what this process wrote last", trafficOptions, func(w *wrong) {
		var own atomic.Pointer[traffic.Seen]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				seen, _ := w.target.Observe(ctx)
				own.Store(&seen)
			}
			return err
		}
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if last := own.Load(); last != nil && seen.Writer == "" && err == nil && len(seen.Route.Split.Match) == 0 {
				return *last, nil
			}
			return seen, err
		}
	}),
	mutate("believes that its own last write is the last", trafficOptions, func(w *wrong) {
		var own atomic.Pointer[traffic.Accepted]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if last := own.Load(); last != nil && last.Fence == fence && last.Route.Equal(r) {
				if seen, err := w.target.Observe(ctx); err == nil && seen.Writer == "" {
					return nil
				}
			}
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				own.Store(&traffic.Accepted{Fence: fence, Route: r})
			}
			return err
		}
	}),
	mutate("keeps its fence in the process", trafficOptions, func(w *wrong) {
		var own atomic.Uint64
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if errors.Is(err, traffic.ErrFenced) && fence >= own.Load() {
				w.Foreign(r, "")
				return nil
			}
			if err == nil {
				own.Store(fence)
			}
			return err
		}
	}),
	mutateApply("locks in the process alone", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		defer w.busy.Add(-1)
		w.busy.Add(1)
		met := false
		for deadline := time.Now().Add(time.Millisecond); !met && time.Now().Before(deadline); {
			time.Sleep(10 * time.Microsecond) // so that writers meet
			met = w.busy.Load() > 1
		}
		err := w.target.Apply(ctx, fence, r)
		if met && errors.Is(err, traffic.ErrFenced) {
			w.Foreign(r, "") // a lost update
			return nil
		}
		return err
	}),
	mutate("salts with each instance", trafficOptions, func(w *wrong) {
		salt := randomID()
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				w.salt.Store(&salt)
			}
			return err
		}
	}),
}

var driftMutants = []mutant{
	mutate("names the first foreign writer for ever", trafficOptions, func(w *wrong) {
		var first atomic.Pointer[string]
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if seen.Writer != "" && !first.CompareAndSwap(nil, &seen.Writer) {
				seen.Writer = *first.Load()
			}
			return seen, err
		}
	}),
	mutate("names the foreign writer after its own write", trafficOptions, func(w *wrong) {
		var last atomic.Pointer[string]
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if seen.Writer != "" {
				last.Store(&seen.Writer)
			} else if writer := last.Load(); writer != nil {
				seen.Writer = *writer
			}
			return seen, err
		}
	}),
}

var faultMutants = []mutant{
	mutate("shows what it remembers when it is blind", trafficOptions, func(w *wrong) {
		var last atomic.Pointer[traffic.Seen]
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if old := last.Load(); err != nil && old != nil {
				return *old, nil
			}
			if err == nil {
				last.Store(&seen)
			}
			return seen, err
		}
	}),
	mutate("shows nothing when it is blind", trafficOptions, func(w *wrong) {
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if errors.Is(err, errBroken) {
				return traffic.Seen{}, nil
			}
			return seen, err
		}
	}),
	mutateApply("says nil when it could not write", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		if err := w.target.Apply(ctx, fence, r); !errors.Is(err, errBroken) {
			return err
		}
		return nil
	}),
	mutateApply("writes later what it could not", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		if mended := w.isBroken(Down); mended != nil {
			go func() {
				<-mended
				_ = w.target.Apply(context.WithoutCancel(ctx), fence, r)
			}()
		}
		return w.target.Apply(ctx, fence, r)
	}),
	mutate("does not recover", trafficOptions, func(w *wrong) {
		var over atomic.Bool
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			if w.blind() {
				over.Store(true)
			}
			if over.Load() {
				return traffic.Seen{}, errBroken
			}
			return w.target.Observe(ctx)
		}
	}),
	mutateApply("waits beyond its deadline", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		if mended := w.isBroken(Hanging); mended != nil {
			<-mended
		}
		return w.target.Apply(ctx, fence, r)
	}),
	mutateApply("says nil when its deadline passes", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		err := w.target.Apply(ctx, fence, r)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	}),
	mutateApply("writes in two halves", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		seen, err := w.Memory.Observe(ctx)
		if err == nil && r.Validate() == nil && seen.Fence < fence {
			half := seen.Route
			half.Arms = r.Arms
			w.Foreign(half, seen.Writer)
		}
		return w.target.Apply(ctx, fence, r)
	}),
	mutate("swaps, and trusts its memory", trafficOptions, func(w *wrong) {
		var last atomic.Pointer[traffic.Route]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			seen, _ := w.Memory.Observe(ctx)
			old := last.Load()
			if w.isBroken(Deaf) == nil && old != nil && !old.Equal(r) && seen.Route.Equal(r) && seen.Fence == fence {
				w.Foreign(*old, "") // it is there already, and swapped back
				last.Store(&r)
				return nil
			}
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				last.Store(&r)
			}
			return err
		}
	}),
}

// leakMutants leave what they start until the case is over, however long that takes.
var leakMutants = []mutant{
	mutate("leaves a goroutine behind each look", trafficOptions, func(w *wrong) {
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			leave(ctx)
			return w.target.Observe(ctx)
		}
	}),
	mutateApply("leaves a goroutine behind when it refuses", func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		err := w.target.Apply(ctx, fence, r)
		if err != nil {
			leave(ctx)
		}
		return err
	}),
}

// leave starts a goroutine that ends with the context of the call, which is that of the
// case unless the case ended it.
func leave(ctx context.Context) { go func() { <-ctx.Done() }() }
