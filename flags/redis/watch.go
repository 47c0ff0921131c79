// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// How long a watcher rests after a fetch: restFactor times what it took, within bounds. While
// there are more than crowd messages for each fetch, the least rest doubles up to restCrowd.
const (
	restFactor = 10
	restLeast  = time.Millisecond
	restCrowd  = 100 * time.Millisecond
	restMost   = time.Second
	crowd      = 10
)

// Watch publishes the flags, and each change, until ctx ends or Redis cannot be had. It has a
// connection of its own for messages, which it opens anew a few times before it gives up. It
// returns when the call that is under way does: the client's ReadTimeout bounds that.
func (s *Store) Watch(ctx context.Context, publish func(flags.Update)) error {
	var group sync.WaitGroup
	defer group.Wait()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	w := &watch{store: s, publish: publish, ears: newEars(s), deaf: make(chan error, 1), rest: restLeast}
	group.Go(func() { w.deaf <- w.ears.listen(inner) })
	select { // to hear before the first look
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-w.deaf:
		return s.failed(ctx, "subscribe", err)
	case <-w.ears.open:
	}
	w.view = s.takeView()
	defer func() { s.keepView(w.view) }()
	if err := w.begin(ctx); err != nil {
		return s.failed(ctx, "load", err)
	}
	if err := w.follow(ctx); err != nil {
		return s.failed(ctx, "watch", err)
	}
	return context.Cause(ctx)
}

// takeView is what the last Watch knew: if it still holds, a client that comes back after an
// outage need not load everything, and neither need all the others.
func (s *Store) takeView() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.kept
	s.kept = nil
	if v == nil {
		v = &view{flags: make(map[string]standing)}
	}
	return v
}

func (s *Store) keepView(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = v
}

// watch is one Watch under way.
type watch struct {
	store   *Store
	publish func(flags.Update)
	ears    *ears
	deaf    chan error // what ended listening
	view    *view
	rest    time.Duration // the least
}

// begin publishes the whole document.
func (w *watch) begin(ctx context.Context) error {
	look := w.compare
	if time.Since(w.view.loaded) > w.store.o.Reload { // or never
		look = w.reload
	}
	if err := look(ctx, newDelta()); err != nil {
		return err
	}
	w.publish(w.view.whole())
	return nil
}

// follow publishes changes until ctx ends.
func (w *watch) follow(ctx context.Context) error {
	check, reload := time.NewTimer(about(w.store.o.Check)), time.NewTimer(about(w.store.o.Reload))
	defer check.Stop()
	defer reload.Stop()
	for {
		var look func(context.Context, *delta) error
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.deaf:
			return err
		case <-w.ears.news:
			look = w.hear
		case <-check.C:
			check.Reset(about(w.store.o.Check))
			look = w.compare
		case <-reload.C:
			reload.Reset(about(w.store.o.Reload))
			look = w.reload
		}
		began := time.Now()
		d := newDelta()
		if err := look(ctx, d); err != nil {
			return err
		}
		if d.grouped {
			w.view.regroup(&d.Update)
		}
		if !d.empty() {
			w.publish(d.Update)
		}
		sleep(ctx, min(max(restFactor*time.Since(began), w.rest), restMost))
	}
}

// about is d and up to a fifth more or less, so that watchers do not come at once.
func about(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // no secret
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// hear fetches what messages have named.
func (w *watch) hear(ctx context.Context, d *delta) error {
	n := w.ears.take()
	if n.count > crowd {
		w.rest = min(2*w.rest, restCrowd)
	} else {
		w.rest = restLeast
	}
	if n.all {
		return w.reload(ctx, d)
	}
	if err := w.fetch(ctx, slices.Collect(maps.Keys(n.names)), d); err != nil {
		return err
	}
	v := w.view
	switch {
	case n.gap || n.last.version > 0 && (n.first > v.stamp.version+1 || n.last.version <= v.stamp.version):
		return w.compare(ctx, d)
	case n.last.version > 0:
		v.stamp = n.last
	}
	return nil
}

// fetch looks at what somebody has named: what is not there was deleted.
func (w *watch) fetch(ctx context.Context, names []string, d *delta) error {
	if err := w.store.fetch(ctx, names, func(name string, val value) { w.view.take(w.store, name, val, d) }); err != nil {
		return err
	}
	w.view.settle(d, deleted)
	d.gone, d.goneGroups = nil, nil
	return nil
}

// compare looks whether something was missed, and makes up for it.
func (w *watch) compare(ctx context.Context, d *delta) error {
	now, err := w.store.stamp(ctx)
	if err != nil || now == w.view.stamp {
		return err
	}
	names, all, err := w.store.caughtUp(ctx, w.view.stamp, now)
	if err != nil {
		return err
	}
	if !all {
		return w.load(ctx, d, now)
	}
	slices.Sort(names)
	if err := w.fetch(ctx, slices.Compact(names), d); err != nil {
		return err
	}
	w.view.stamp = now
	return nil
}

func (w *watch) reload(ctx context.Context, d *delta) error {
	now, err := w.store.stamp(ctx)
	if err != nil {
		return err
	}
	return w.load(ctx, d, now)
}

// load looks at everything. The stamp must be from before, so that no message is
// taken for known that is not.
func (w *watch) load(ctx context.Context, d *delta, now stamp) error {
	s, v := w.store, w.view
	keys, err := s.scan(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 && !now.present && !s.o.AllowEmpty {
		return ErrEmpty
	}
	// A flag that is known is asked for by name, too: while a slot moves, a scan
	// does not find all there is.
	for key := range v.flags {
		keys[key] = struct{}{}
	}
	names := make([]string, 0, len(keys)+len(groups))
	for key := range keys {
		names = append(names, s.o.Prefix+key)
	}
	for _, g := range groups {
		names = append(names, s.o.Meta+g)
	}
	if err := s.fetch(ctx, names, func(name string, val value) { v.take(s, name, val, d) }); err != nil {
		return err
	}
	if err := w.depart(ctx, d, now); err != nil {
		return err
	}
	v.stamp, v.loaded = now, time.Now()
	return nil
}

// depart decides on what a load has not found. Redis may have lost it while the load
// went on, so it is asked once more.
func (w *watch) depart(ctx context.Context, d *delta, now stamp) error {
	if len(d.gone) == 0 && len(d.goneGroups) == 0 {
		return nil
	}
	after, err := w.store.stamp(ctx)
	if err != nil {
		return err
	}
	how := missing
	switch {
	case w.store.o.AllowEmpty:
		how = deleted
	case now.before(w.view.stamp) || after.before(now):
		how = taken
	}
	w.view.settle(d, how)
	return nil
}
