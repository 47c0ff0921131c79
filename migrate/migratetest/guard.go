// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// shop is an instance of the app of the suite's records.
func shop(version, id string) migrate.Instance {
	return migrate.Instance{App: "shop", Version: version, ID: id}
}

var instanceCases = []testCase{
	{
		name: "instances are those that were seen",
		why:  "what counts as alive decides whether the old side may go",
		run: func(r *run) {
			db, other := r.Database, r.other()
			for _, i := range []migrate.Instance{shop("v1", "a"), shop("v1", "b"), shop("v2", "a"), {App: "till", Version: "v1", ID: "a"}, shop("v1", "a")} {
				r.must("Register", db.Register(r.ctx, i))
			}
			r.alive(other, "shop", "v1 a, v1 b, v2 a")
			r.alive(other, "till", "v1 a")
			r.alive(other, "nobody", "")
			r.must("Unregister", other.Unregister(r.ctx, shop("v1", "a")))
			r.must("Unregister again", other.Unregister(r.ctx, shop("v1", "a")))
			r.alive(db, "shop", "v1 b, v2 a")
			seen, err := db.Instances(r.ctx, "shop", time.Minute)
			r.must("Instances", err)
			s := r.lock(db, "clock", "ann")
			now, err := s.Now(r.ctx)
			r.must("Now", err)
			for _, i := range seen {
				if age := now.Sub(i.Seen); age < 0 || age > time.Minute {
					r.Errorf("%v was seen %v ago by the database's clock", i, age)
				}
			}
		},
	},
	{
		name: "an instance that is silent is forgotten",
		why:  "a process that was killed never takes itself from the list; by the database's clock it is dead after its TTL, and one that spoke again is alive",
		run: func(r *run) {
			r.must("Register", r.Database.Register(r.ctx, shop("v1", "silent")))
			r.must("Register", r.Database.Register(r.ctx, shop("v1", "speaks")))
			r.eventually("an instance to be forgotten", func() bool {
				r.must("Register", r.Database.Register(r.ctx, shop("v1", "speaks")))
				seen, err := r.Database.Instances(r.ctx, "shop", brief)
				r.must("Instances", err)
				return len(seen) == 1 && seen[0].ID == "speaks"
			})
			r.alive(r.Database, "shop", "v1 silent, v1 speaks")
		},
	},
	{
		name: "an instance without a name is refused",
		why:  "an empty version would be taken for an old one for ever, or for none",
		run: func(r *run) {
			for _, i := range []migrate.Instance{{Version: "v1", ID: "a"}, {App: "shop", ID: "a"}, {App: "shop", Version: "v1"}} {
				if err := r.Database.Register(r.ctx, i); err == nil {
					r.Errorf("Register of %+v is accepted", i)
				}
			}
		},
	},
	{
		name: "a later version says which changes it knows",
		why:  "nobody who writes a change can name the versions of next year: an instance that knows the change makes its version one of the new ones, for the guard and for registration, whatever phase it is in",
		run: func(r *run) {
			r.create("known")
			r.create("unknown")
			other := r.record("other's")
			other.App = "till"
			r.must("Create", r.Database.Create(r.ctx, other))
			s := r.lock(r.Database, "known", "ann")
			for range 2 {
				r.must("Register", r.other().Register(r.ctx, knowing(shop("v4", "a"), "known", "other's", "nowhere")))
			}
			for id, want := range map[string][]string{"known": {"v2", "v3", "v4"}, "unknown": {"v2", "v3"}, "other's": {"v2", "v3"}} {
				r.same("New of "+id, r.load(id).New, want)
			}
			g := &migrate.Guard{App: "shop", Versions: r.load("known").New, TTL: time.Minute}
			r.must("Do under a guard", r.save(s, "known", migrate.Work{Guard: g}, func(s *migrate.State) { s.Hidden = true }))
			r.same("New after a save", r.load("known").New, g.Versions)
			r.must("Register of a version that was added", r.Database.Register(r.ctx, shop("v4", "b")))
			r.must("Register of a version that adds itself", r.Database.Register(r.ctx, knowing(shop("v5", "a"), "known")))
			r.is("Register of a version that knows another change", r.Database.Register(r.ctx, knowing(shop("v6", "a"), "unknown")), migrate.ErrRetired)
		},
	},
	{
		name: "a version whose side is hidden is retired",
		why:  "an old version that starts after the old side was hidden would fail at its first query, or worse: it is told so before it has traffic",
		run: func(r *run) {
			r.create("hides")
			r.must("Register before", r.Database.Register(r.ctx, shop("v1", "a")))
			s := r.lock(r.Database, "hides", "ann")
			for _, phase := range []migrate.Phase{migrate.Soaking, migrate.Done} {
				r.must("Do", r.save(s, "hides", migrate.Work{}, func(s *migrate.State) { s.Hidden, s.Phase = true, phase }))
				r.is("Register of an old version", r.other().Register(r.ctx, shop("v1", "b")), migrate.ErrRetired)
				r.is("Register again of an old version", r.other().Register(r.ctx, shop("v1", "a")), migrate.ErrRetired)
				r.must("Register of a new version", r.other().Register(r.ctx, shop("v2", "a")))
				r.must("Register of another new version", r.other().Register(r.ctx, shop("v3", "a")))
				r.must("Register of another app", r.other().Register(r.ctx, migrate.Instance{App: "till", Version: "v1", ID: "a"}))
				r.must("Unregister", r.Database.Unregister(r.ctx, shop("v1", "a")))
			}
			r.is("Register of a version nobody has heard of", r.Database.Register(r.ctx, shop("v4", "a")), migrate.ErrRetired)
			r.must("Do", r.save(s, "hides", migrate.Work{}, func(s *migrate.State) { s.Hidden = false }))
			r.must("Register after it was taken back", r.Database.Register(r.ctx, shop("v1", "b")))
		},
	},
}

// knowing is an instance that knows some changes.
func knowing(i migrate.Instance, changes ...string) migrate.Instance {
	i.Knows = changes
	return i
}

// alive wants these instances, as "version id" in the order of that text.
func (r *run) alive(db migrate.Database, app, want string) {
	r.Helper()
	seen, err := db.Instances(r.ctx, app, time.Minute)
	r.must("Instances", err)
	if got := instanceText(seen); got != want {
		r.Errorf("the instances of %s are %q, want %q", app, got, want)
	}
}

var guardCases = []testCase{
	{
		name: "contracting waits for every instance of an old version",
		why:  "the guard is asked in the transaction that saves, and fails closed: nobody registered is nothing known",
		run: func(r *run) {
			r.create("guard")
			db, s := r.Database, r.lock(r.Database, "guard", "ann")
			g := &migrate.Guard{App: "shop", Versions: []string{"v2", "v3"}, TTL: time.Minute}
			guarded := func() error { return r.save(s, "guard", migrate.Work{Guard: g}, nil) }
			before := r.load("guard").State
			r.is("Do while nobody is alive", guarded(), migrate.ErrUnguarded)
			r.must("Register", db.Register(r.ctx, migrate.Instance{App: "till", Version: "v2", ID: "a"}))
			r.is("Do while nobody of the app is alive", guarded(), migrate.ErrUnguarded)
			r.must("Register", db.Register(r.ctx, shop("v2", "a")))
			r.must("Register", db.Register(r.ctx, shop("v1", "b")))
			r.live("Do while an old version is alive", guarded(), "v1 b")
			r.same("the state", r.load("guard").State, before)
			r.must("Unregister", db.Unregister(r.ctx, shop("v1", "b")))
			r.must("Do with new versions alone", guarded())
		},
	},
	{
		name: "rolling back waits for every instance of a new version",
		why:  "a guard that is Only refuses the versions it names and no other; nobody at all is fine",
		run: func(r *run) {
			r.create("only")
			db, s := r.Database, r.lock(r.Database, "only", "ann")
			g := &migrate.Guard{App: "shop", Versions: []string{"v2", "v3"}, Only: true, TTL: time.Minute}
			guarded := func() error { return r.save(s, "only", migrate.Work{Guard: g}, nil) }
			r.must("Do while nobody is alive", guarded())
			r.must("Register", db.Register(r.ctx, shop("v1", "a")))
			r.must("Do with an old version alive", guarded())
			r.must("Register", db.Register(r.ctx, shop("v3", "b")))
			before := r.load("only").State
			r.live("Do while a new version is alive", guarded(), "v3 b")
			r.same("the state", r.load("only").State, before)
		},
	},
	{
		name: "a guard looks back as far as its TTL",
		why:  "an instance that was seen longer ago is dead and holds nothing up",
		run: func(r *run) {
			r.create("ttl")
			s := r.lock(r.Database, "ttl", "ann")
			g := &migrate.Guard{App: "shop", Versions: []string{"v2"}, TTL: 3 * brief}
			r.must("Register", r.Database.Register(r.ctx, shop("v1", "dead")))
			refused := false
			r.eventually("a guard to let go", func() bool {
				r.must("Register", r.Database.Register(r.ctx, shop("v2", "alive")))
				err := r.save(s, "ttl", migrate.Work{Guard: g}, nil)
				refused = refused || errors.Is(err, migrate.ErrOldVersionLive)
				return err == nil
			})
			if !refused {
				r.Errorf("an instance seen just now did not hold the guard up")
			}
			g.TTL = time.Hour
			r.is("Do with a longer TTL", r.save(s, "ttl", migrate.Work{Guard: g}, nil), migrate.ErrOldVersionLive)
		},
	},
	{
		name: "registration and contracting exclude each other",
		why:  "an old instance that starts while the old side is being hidden is either seen by the guard or told that it is retired; never both go through: Register and a guarded save must lock the same row",
		run: func(r *run) {
			r.create("race")
			db, other := r.Database, r.other()
			s := r.lock(db, "race", "ann")
			g := &migrate.Guard{App: "shop", Versions: []string{"v2", "v3"}, TTL: time.Hour}
			r.must("Register", db.Register(r.ctx, shop("v2", "a")))
			races := r.Races
			if races == 0 {
				races = 1000
			}
			wins := [2]int{}
			for range races {
				registered, hidden := r.race(other, s, g)
				if registered == nil && hidden == nil {
					r.Fatalf("an old instance registered, and the old side was hidden beside it")
				}
				switch {
				case registered == nil:
					wins[0]++
				case hidden == nil:
					wins[1]++
				default:
					r.Fatalf("neither went through: Register: %v; Do: %v", registered, hidden)
				}
				r.must("Unregister", other.Unregister(r.ctx, shop("v1", "late")))
				if hidden == nil {
					r.must("Do", r.save(s, "race", migrate.Work{}, func(s *migrate.State) { s.Hidden = false }))
				}
			}
			r.Logf("registration was first %d times, hiding %d times", wins[0], wins[1])
		},
	},
}

// race registers an old instance and hides the old side at once.
func (r *run) race(other migrate.Database, s migrate.Session, g *migrate.Guard) (registered, hidden error) {
	next := following(r.load("race").State, func(s *migrate.State) { s.Hidden = true })
	var group sync.WaitGroup
	start := make(chan struct{})
	again := func(err error) bool {
		return errors.Is(err, migrate.ErrRetry) || errors.Is(err, migrate.ErrLockTimeout)
	}
	group.Go(func() {
		<-start
		for registered = other.Register(r.ctx, shop("v1", "late")); again(registered); {
			registered = other.Register(r.ctx, shop("v1", "late"))
		}
	})
	group.Go(func() {
		<-start
		for hidden = s.Do(r.ctx, "race", migrate.Work{Guard: g}, next); again(hidden); {
			hidden = s.Do(r.ctx, "race", migrate.Work{Guard: g}, next)
		}
	})
	close(start)
	group.Wait()
	if registered != nil {
		r.is("Register", registered, migrate.ErrRetired)
	}
	if hidden != nil {
		r.is("Do", hidden, migrate.ErrOldVersionLive)
	}
	return registered, hidden
}

// live wants a *LiveError that names these instances.
func (r *run) live(what string, err error, want string) {
	r.Helper()
	var live *migrate.LiveError
	if !errors.As(err, &live) {
		r.Errorf("%s: got error %v, want a *LiveError", what, err)
		return
	}
	if got := instanceText(live.Instances); got != want {
		r.Errorf("%s: the error names %q, want %q", what, got, want)
	}
}

// instanceText is instances as "version id", sorted.
func instanceText(all []migrate.Instance) string {
	var text []string
	for _, i := range all {
		text = append(text, i.Version+" "+i.ID)
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}
