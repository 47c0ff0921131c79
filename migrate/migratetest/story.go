// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

// watched is a Database that tells when a state or a batch was saved, and that dies when
// it is told to.
type watched struct {
	migrate.Database
	// at is the call at which it dies, from 1; 0 is never. late is after it was done.
	at   int
	late bool
	// saved is called after each.
	saved func(migrate.State)

	calls int
	dead  atomic.Bool
	state migrate.State
}

var errDead = errors.New("the process died here")

func (w *watched) Lock(ctx context.Context, name, owner string, d time.Duration) (migrate.Session, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	s, err := w.Database.Lock(ctx, name, owner, d)
	return &watchedSession{s, w}, err
}

func (w *watched) Load(ctx context.Context, id string) (migrate.Record, error) {
	if w.dead.Load() {
		return migrate.Record{}, errDead
	}
	return w.Database.Load(ctx, id)
}

type watchedSession struct {
	migrate.Session
	w *watched
}

func (s *watchedSession) call(f func() error) error {
	w := s.w
	w.calls++
	if w.dead.Load() || w.calls == w.at && !w.late {
		w.dead.Store(true)
		return errDead
	}
	if err := f(); err != nil {
		return err
	}
	if w.calls == w.at {
		w.dead.Store(true)
	}
	if w.saved != nil {
		w.saved(w.state)
	}
	if w.dead.Load() {
		return errDead
	}
	return nil
}

func (s *watchedSession) Do(ctx context.Context, id string, work migrate.Work, next migrate.State) error {
	return s.call(func() error {
		err := s.Session.Do(ctx, id, work, next)
		if err == nil {
			s.w.state = next
		}
		return err
	})
}

func (s *watchedSession) Batch(ctx context.Context, b migrate.BatchOrder) (done migrate.Batch, err error) {
	err = s.call(func() (err error) { done, err = s.Session.Batch(ctx, b); return err })
	return done, err
}

func (s *watchedSession) Renew(ctx context.Context) error {
	if s.w.dead.Load() {
		return errDead
	}
	return s.Session.Renew(ctx)
}

func (s *watchedSession) Close(ctx context.Context) error {
	if s.w.dead.Load() {
		return errDead
	}
	return s.Session.Close(ctx)
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

// everything checks every row, as a version.
func (l *life) everything(v version, who string) {
	for _, c := range l.clients {
		c.check(v, who, 0)
	}
}

// shape checks the columns of the tables.
func (l *life) shape(columns []string, missing string) {
	l.r.Helper()
	var want []string
	for _, c := range columns {
		want = append(want, l.names[c])
	}
	l.r.same(l.String()+": the columns", l.r.columns(l.names["t"]), want)
	if missing != "" {
		l.r.same(l.String()+": the columns of the table that should not be there", l.r.columns(l.names[missing]), []string(nil))
	}
}

// ended checks what is left of a change that was done, or rolled back.
func (l *life) ended(p migrate.Phase) {
	r := l.r
	r.Helper()
	l.reached = p
	if got := r.load(l.change.ID).State; got.Phase != p {
		r.Errorf("%s: the record is in phase %v (%s), want %v", l, got.Phase, got.Failed, p)
		return
	}
	if p == migrate.Done {
		l.shape(l.after, l.gone)
		l.clients[2].act(l.new, "the new version")
		l.everything(l.new, "the new version")
		l.refuses()
		return
	}
	l.shape(l.before, l.made)
	l.clients[1].act(l.old, "the old version")
	l.everything(l.old, "the old version")
	if got := r.catalog(); got != l.catalog {
		r.Errorf("%s: the catalog is not as it was before\n got %s\nwant %s", l, got, l.catalog)
	}
}

// refuses tries the statements that must fail.
func (l *life) refuses() {
	l.r.Helper()
	for _, statement := range l.refused {
		text := l.r.sql(l.names, statement)
		if err := l.r.try(text); err == nil {
			l.r.Errorf("%s: %s is accepted", l, text)
		}
	}
}

// finish drops the tables.
func (l *life) finish() {
	for _, table := range []string{"t", "u"} { // t may refer to u
		if name := l.names[table]; l.r.columns(name) != nil {
			if err := l.r.try("DROP TABLE " + l.r.Quote(name)); err != nil {
				l.r.Logf("drop %s: %v", name, err)
			}
		}
	}
}

// safe says whether the database does the operations. If it is said not to, it must say so
// itself.
func (l *life) safe() bool {
	r := l.r
	r.Helper()
	unsafe := false
	for _, op := range l.change.Ops {
		unsafe = unsafe || r.Unsafe(op)
	}
	script, err := r.Database.Compile(r.ctx, l.change)
	if unsafe {
		var u *migrate.UnsafeError
		switch {
		case !errors.As(err, &u):
			r.Errorf("%s: Compile: got error %v, want an *UnsafeError, since Subject.Unsafe says so", l, err)
		case u.Op == "" || u.Why == "":
			r.Errorf("%s: the *UnsafeError does not say of what, or why: %+v", l, *u)
		}
		return false
	}
	r.must(l.String()+": Compile", err)
	r.orderly(script)
	if got := r.catalog(); got != l.catalog {
		r.Errorf("%s: Compile wrote something\n got %s\nwant %s", l, got, l.catalog)
	}
	return true
}

// orderly checks what can be told from a script alone.
func (r *run) orderly(script migrate.Script) {
	r.Helper()
	phase := migrate.Expanding
	for i, s := range script.Steps {
		switch {
		case s.Phase < phase:
			r.Errorf("step %d, %s, is of %v and follows one of %v", i+1, s.Name, s.Phase, phase)
		case s.Phase > migrate.Contracting || s.Phase == migrate.Ready || s.Phase == migrate.Switched:
			r.Errorf("step %d, %s, is of %v, in which nothing runs", i+1, s.Name, s.Phase)
		case s.Name == "":
			r.Errorf("step %d has no name", i+1)
		case s.Alone && s.Holds == "":
			r.Errorf("step %d, %s, is Alone and has no Holds", i+1, s.Name)
		case s.Walk == nil && len(s.Do) == 0:
			r.Errorf("step %d, %s, does nothing", i+1, s.Name)
		}
		phase = s.Phase
	}
}

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
