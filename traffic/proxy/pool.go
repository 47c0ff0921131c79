// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoBackend ends a request to an arm none of whose backends takes connections.
// A Handler makes it a 503, a RoundTripper returns it.
var ErrNoBackend = errors.New("proxy: none of the arm's backends takes connections")

// backend is one address of an arm.
type backend struct {
	url  *url.URL
	pool *pool

	active atomic.Int64 // requests under way
	conns  upstream
	// fails counts the failures since the last answer. It is above 0 for a backend
	// that is left out, too, so that one look tells whether an answer is news.
	fails atomic.Int32

	health // guarded by pool.mu
}

// pool is the backends of one arm and what is known of them. Who chooses one
// reads view, which is exchanged when something changes, and takes no lock.
type pool struct {
	arm   string
	rules Ejection
	log   *slog.Logger
	epoch time.Time // what due is counted from

	view     atomic.Pointer[view]
	mu       sync.Mutex
	all      []*backend
	panicked bool
}

// view is a pool at one moment. Its slices are never changed.
type view struct {
	in  []*backend // those that requests are sent to
	out []*backend // those that are left alone, but for a trial when it is due
	// next is when the first trial is due.
	next atomic.Int64
}

func newPool(arm string, rules Ejection, log *slog.Logger) *pool {
	p := &pool{arm: arm, rules: rules.withDefaults(), log: log, epoch: time.Now()}
	p.view.Store(&view{})
	return p
}

// set exchanges the backends and keeps what is known of those that stay. An
// address that is named twice counts once.
func (p *pool) set(urls []*url.URL) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]*backend{}
	for _, b := range p.all {
		known[b.url.String()] = b
	}
	now := time.Now()
	all, named := make([]*backend, 0, len(urls)), map[string]bool{}
	for _, u := range urls {
		key := u.String()
		if named[key] {
			continue
		}
		named[key] = true
		b := known[key]
		if b == nil {
			own := *u
			b = &backend{url: &own, pool: p, health: health{since: now}}
		}
		all = append(all, b)
	}
	for _, b := range p.all {
		if !named[b.url.String()] {
			b.conns.closeIdle(true)
		}
	}
	p.all = all
	p.rebuild(now)
}

// backends are those of the pool, in the order that they were given in.
func (p *pool) backends() []*backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// choose is the backend of the arm for the next try at a request, as pool.choose.
func (a *arm) choose(not *backend) *backend { return a.pool.choose(not) }

// choose is the backend for the next try at a request: of two at random the one
// with less to do (Mitzenmacher, "The Power of Two Choices", 2001), which comes
// close to the least loaded of all without looking at all. Now and then it is one
// that was left out, for its trial. not is the backend that a try before has
// failed at; it is not chosen again. nil means that there is none to ask.
//
// How the try ended is told with backend.ended, before the next choose.
func (p *pool) choose(not *backend) *backend {
	v := p.view.Load()
	// A request that has failed once is not risked for a trial.
	if len(v.out) > 0 && (not == nil || len(v.in) == 0) {
		if b := p.trial(v, not); b != nil {
			return b
		}
	}
	switch n := len(v.in); n {
	case 0:
		return nil
	case 1:
		if v.in[0] == not {
			return nil
		}
		return v.in[0]
	default:
		// One random number has two halves, each scaled to its range.
		r := rand.Uint64() //nolint:gosec // chance, no secret
		i, j := r>>32*uint64(n)>>32, r&math.MaxUint32*uint64(n-1)>>32
		if j >= i {
			j++
		}
		one, other := v.in[i], v.in[j]
		if one == not || other != not && other.active.Load() < one.active.Load() {
			return other
		}
		return one
	}
}

// trial is a backend that is left out and due to be tried again, nil if there
// is none. The same one is not given twice until its trial has ended or its next
// is due.
func (p *pool) trial(v *view, not *backend) *backend {
	if int64(time.Since(p.epoch)) < v.next.Load() || !p.mu.TryLock() {
		return nil // or somebody else is just being given it
	}
	defer p.mu.Unlock()
	now := time.Now()
	if p.view.Load() != v {
		return nil
	}
	var given *backend
	for _, b := range v.out {
		if given == nil && b != not && b.dueIn(v) <= p.at(now) {
			given = b
			b.try(now)
		}
	}
	p.schedule(v)
	return given
}

// schedule says when the next trial is due. The lock is the caller's.
func (p *pool) schedule(v *view) {
	next := int64(math.MaxInt64)
	for _, b := range v.out {
		next = min(next, b.dueIn(v))
	}
	v.next.Store(next)
}

// at is t as a plain number.
func (p *pool) at(t time.Time) int64 { return int64(t.Sub(p.epoch)) }

// address is where the backend would have the request go.
func (b *backend) address(u *url.URL) {
	u.Scheme, u.Host = b.url.Scheme, b.url.Host
	if u.Scheme == h2c {
		u.Scheme = "http"
	}
	if base := b.url; base.Path != "" && base.Path != "/" {
		raw := joinPath(base.EscapedPath(), u.EscapedPath())
		u.Path, u.RawPath = joinPath(base.Path, u.Path), raw
	}
	if q := b.url.RawQuery; q != "" {
		u.RawQuery = strings.TrimSuffix(q+"&"+u.RawQuery, "&")
	}
}

// joinPath puts base in front of a path, which stays as the client wrote it: resolving
// its dots here would lead out of the base.
func joinPath(base, path string) string {
	switch {
	case path == "":
		return base
	case path[0] != '/':
		path = "/" + path
	}
	return strings.TrimSuffix(base, "/") + path
}
