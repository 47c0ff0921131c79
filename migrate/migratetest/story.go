// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// story is a change and the two versions of a program that live through it.
type story struct {
	name   string
	create []string
	ops    func(r *run, n names) []migrate.Op
	// old and new are the versions before and after.
	old, new version
	// refused are statements that must fail from Ready on.
	refused []string
	// before and after are the columns of table t, as the story calls them; gone is a
	// table that is not there when the change is done, made one that is not there before.
	before, after []string
	gone, made    string
	// numbers says that values are numbers, up to that.
	numbers int
}

// life is one story lived through once.
type life struct {
	story
	r       *run
	names   names
	change  migrate.Change
	mode    string
	clients [clients]*client
	catalog string
	reached migrate.Phase
}

// String tells which life it is.
func (l *life) String() string { return fmt.Sprintf("%s, %s, %v", l.name, l.mode, l.reached) }

// instance is one of the life's own app: a change that was done retires the old versions of
// its app for good.
func (l *life) instance(version string) migrate.Instance {
	return migrate.Instance{App: l.change.App, Version: version, ID: "a"}
}

// value is a value from a number.
func (l *life) value(n int) string {
	if l.numbers > 0 {
		return fmt.Sprint(1 + n%l.numbers)
	}
	return fmt.Sprintf("value %d, it's \\ \"quoted\" ünicode", n)
}

// begin makes the tables and their rows.
func (r *run) begin(s story, hard bool, rows int, mode string) *life {
	r.Helper()
	n := r.name("")
	l := &life{story: s, r: r, mode: mode, names: names{
		"t": "story_" + n, "u": "other_" + n, "id": "id", "v": "v", "w": "w", "x": "x_" + n,
	}}
	if hard {
		l.names = names{"t": `Order's "Items` + n, "u": `Select ` + n, "id": "Id", "v": "group", "w": `New "Mail`, "x": `An Index` + n}
	}
	l.change = migrate.Change{ID: "story-" + n, App: "shop-" + n, New: []string{"v2"}, Soak: time.Millisecond, Ops: s.ops(r, l.names)}
	for _, statement := range s.create {
		r.exec(r.sql(l.names, statement))
	}
	for i := range l.clients {
		l.clients[i] = &client{life: l, share: i, rows: map[int]string{}}
	}
	for i := range rows {
		c := l.clients[i%clients]
		r.must("insert", c.write(s.old.insert, s.old, i, l.value(i)))
	}
	l.catalog = r.catalog()
	return l
}

func (r *run) catalog() string {
	if r.Catalog == nil {
		return ""
	}
	text, err := r.Catalog(r.ctx)
	r.must("Catalog", err)
	return text
}

// migrator carries the life's change out, in a process of its own.
func (l *life) migrator(w *watched) *migrate.Migrator {
	w.Database = l.r.other()
	if w.saved == nil {
		w.saved = l.live
	}
	m, err := migrate.New(w, migrate.Options{Owner: "runner", InstanceTTL: time.Hour, Poll: 10 * time.Millisecond, Throttle: migrate.Throttle{Duty: 1}})
	l.r.must("New", err)
	return m
}

// live is what the clients do after each step: the old version as long as its side is
// there, the new one as soon as it may have traffic.
func (l *life) live(s migrate.State) {
	l.reached = s.Phase
	old := !s.Hidden && s.Phase != migrate.Contracting && s.Phase != migrate.Done
	if old {
		l.clients[1].act(l.old, "the old version")
	}
	if s.Phase.Serves() {
		l.clients[2].act(l.new, "the new version")
		l.clients[2].check(l.new, "the new version", 5)
		l.clients[1].check(l.new, "the new version", 5)
	}
	if old {
		l.clients[1].check(l.old, "the old version", 5)
		l.clients[2].check(l.old, "the old version", 5)
	}
}

// background lets the old version write all the time, until stop.
func (l *life) background() (stop func()) {
	ctx, cancel := context.WithCancel(l.r.ctx)
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			l.clients[0].act(l.old, "the old version in the background")
			time.Sleep(2 * time.Millisecond)
		}
	})
	return func() { cancel(); group.Wait() }
}
