// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"errors"
	"fmt"

	"github.com/rheostat-go/rheostat/migrate"
)

// forward lives a story from the beginning to the end, with clients of the old version that
// never rest.
func (r *run) forward(s story, hard bool) {
	l := r.begin(s, hard, r.Rows, "forward")
	defer l.finish()
	if !l.safe() {
		return
	}
	db := r.Database
	r.must("Register", db.Register(r.ctx, l.instance("v1")))
	r.must("Register", db.Register(r.ctx, l.instance("v2")))
	stop := l.background()
	defer stop()
	m := l.migrator(&watched{})
	r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Ready))
	l.refuses()
	r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Switched))
	if l.contracts() {
		r.is(l.String()+": contracting while an old instance is alive", m.Reach(r.ctx, l.change, migrate.Done), migrate.ErrOldVersionLive)
		l.clients[1].act(l.old, "the old version")
	}
	stop()
	l.everything(l.old, "the old version")
	r.must("Unregister", db.Unregister(r.ctx, l.instance("v1")))
	r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Done))
	l.ended(migrate.Done)
}

// contracts says whether anything is hidden or dropped.
func (l *life) contracts() bool {
	for _, s := range l.r.load(l.change.ID).Script.Steps {
		if s.Phase >= migrate.Soaking {
			return true
		}
	}
	return false
}

// accident is how the process of a story dies, and what comes after.
type accident struct {
	// at is the save at which it dies, from 1; late is after it was done.
	at   int
	late bool
	// back takes the change back, and anew begins it once more then.
	back, anew bool
}

func (d accident) String() string {
	return fmt.Sprintf("died %s save %d, then %s", map[bool]string{true: "after", false: "before"}[d.late], d.at, map[bool]string{true: "back", false: "on"}[d.back])
}

// moments lives a story undisturbed, and returns the saves at which its process is to die: of
// each phase the first, and every Stride-th after it. There are none if the database does not do
// what the story does.
func (r *run) moments(s story) []int {
	l := r.begin(s, false, min(r.Rows, 40), "undisturbed")
	defer l.finish()
	if !l.safe() {
		return nil
	}
	r.must("Register", r.Database.Register(r.ctx, l.instance("v2")))
	var moments []int
	saves := map[migrate.Phase]int{}
	w := &watched{}
	w.saved = func(s migrate.State) {
		if saves[s.Phase]%r.Stride == 0 {
			moments = append(moments, w.calls)
		}
		saves[s.Phase]++
	}
	r.must(l.String(), l.migrator(w).Reach(r.ctx, l.change, migrate.Done))
	return moments
}

// dies lives a story up to a save, where its process dies, before or after; then another process
// takes it back, or goes on.
func (r *run) dies(s story, d accident) {
	if r.Failed() {
		return
	}
	l := r.begin(s, false, min(r.Rows, 40), d.String())
	defer l.finish()
	r.must("Register", r.Database.Register(r.ctx, l.instance("v2")))
	err := l.migrator(&watched{at: d.at, late: d.late}).Reach(r.ctx, l.change, migrate.Done)
	if err == nil { // it had fewer batches this time
		l.ended(migrate.Done)
		return
	}
	r.is(l.String(), err, errDead)
	if r.Failed() {
		return
	}
	m := l.migrator(&watched{})
	if d.back {
		r.must("Unregister", r.Database.Unregister(r.ctx, l.instance("v2")))
		l.back(m, d.anew)
		return
	}
	r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Done))
	l.ended(migrate.Done)
}

// back rolls a life back, where it can, and may begin it anew.
func (l *life) back(m *migrate.Migrator, anew bool) {
	r := l.r
	rec, err := r.Database.Load(r.ctx, l.change.ID)
	if errors.Is(err, migrate.ErrNotFound) {
		return
	}
	r.must("Load", err)
	err = m.Rollback(r.ctx, l.change.ID, "the suite wants it")
	if !rec.State.Phase.Returns() {
		r.is(l.String()+": Rollback", err, migrate.ErrContracted)
		r.must("Register", r.Database.Register(r.ctx, l.instance("v2")))
		r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Done))
		l.ended(migrate.Done)
		return
	}
	r.must(l.String()+": Rollback", err)
	l.ended(migrate.RolledBack)
	if !anew || r.Failed() {
		return
	}
	l.mode += " and anew"
	r.must(l.String(), m.Reach(r.ctx, l.change, migrate.Ready))
	l.everything(l.new, "the new version")
	r.must(l.String()+": Rollback", m.Rollback(r.ctx, l.change.ID, "again"))
	l.ended(migrate.RolledBack)
}
