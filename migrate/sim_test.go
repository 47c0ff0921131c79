// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/internal/race"
	"github.com/rheostat-go/rheostat/migrate"
)

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of the simulation")
	worlds    = flag.Uint64("worlds", 0, "how many seeds are simulated; 0 is 2500, or 400 with -short or the race detector")
)

// TestEveryRunConverges lets several processes carry one change out at once, on a Memory
// that loses calls and replies, while processes are killed, frozen past their lease and
// woken, instances come and go, and operators order whatever they like. An observer that
// shares no code with the machine reads the statements and the record after every call.
func TestEveryRunConverges(t *testing.T) {
	t.Parallel()
	seeds := cmp.Or(*worlds, 2500)
	if *worlds == 0 && (testing.Short() || race.Enabled) {
		seeds = 400
	}
	ends := map[migrate.Phase]int{}
	for seed := *firstSeed; seed < *firstSeed+seeds; seed++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.play()
			ends[w.watch.phase]++
			if t.Failed() {
				w.tell()
			}
		})
		if t.Failed() {
			// Which of two goroutines goes first is no seed's: it may take several runs.
			t.Fatalf("seed %d: go test -count=1000 -failfast -run '^TestEveryRunConverges$' ./migrate -seed %d -worlds 1", seed, seed)
		}
	}
	t.Logf("ends: %v", ends)
	if *worlds == 0 && (ends[migrate.Done] < int(seeds)/10 || ends[migrate.RolledBack] < int(seeds)/10) {
		t.Errorf("the worlds are not of all kinds: %v", ends)
	}
}

type runnerKey struct{}

// process is one that may be killed, or frozen.
type process struct {
	name   string
	killed bool
	frozen time.Time
}

var (
	errKilled = errors.New("killed")
	errFaults = []error{driver.ErrBadConn, migrate.ErrLockTimeout, migrate.ErrRetry}
)

type world struct {
	t      *testing.T
	seed   uint64
	db     *migrate.Memory
	change migrate.Change
	watch  *watch
	wg     sync.WaitGroup

	mu     sync.Mutex // of what follows
	rand   *rand.Rand
	calm   bool
	faults float64
	calls  []call
}

// call is one that a process made.
type call struct {
	at        time.Time
	who, what string
	err       error
}

// kept is how many of the last calls are told of a world that fails.
const kept = 200

// called keeps what a process did, and returns how it ended.
func (w *world) called(p *process, what string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls = append(w.calls, call{time.Now(), p.name, what, err}); len(w.calls) > 2*kept {
		w.calls = append(w.calls[:0], w.calls[len(w.calls)-kept:]...)
	}
	return err
}

// tell tells what was done last.
func (w *world) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls[max(0, len(w.calls)-kept):] {
		w.t.Logf("%s %s: %s: %v", c.at.Format("15:04:05.000000"), c.who, c.what, c.err)
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, db: migrate.NewMemory(), rand: rand.New(rand.NewPCG(seed, 7))}
	w.db.Rows = 1 + w.rand.Int64N(3000)
	w.faults = []float64{0, 0.02, 0.1, 0.25}[w.rand.IntN(4)]
	pool := []migrate.Op{
		migrate.ReplaceColumn{Table: "users", Old: "email", New: "mail", Type: "text"},
		migrate.AddIndex{Table: "users", Name: "i", Columns: []string{"mail"}},
		migrate.Backfill{Table: "users", Column: "name", Value: "''"},
		migrate.DropColumn{Table: "users", Column: "old"},
		migrate.SQL{Name: "a view", Do: []string{"create view v"}, Undo: []string{"drop view v"}, Alone: true, Holds: "view v"},
		migrate.SQL{Name: "an end", Phase: migrate.Contracting, Do: []string{"drop v"}, Alone: true, Holds: "no v"},
	}
	w.rand.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	w.change = migrate.Change{ID: "c", App: "shop", New: []string{"v2"}, Soak: 5 * time.Second, Ops: pool[:1+w.rand.IntN(len(pool))]}
	script, err := w.db.Compile(t.Context(), w.change)
	if err != nil {
		t.Fatal(err)
	}
	w.watch = &watch{w: w, steps: script.Steps}
	w.db.Before, w.db.After = w.before, w.after
	return w
}

// chance is true with probability p, while there is trouble.
func (w *world) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rand.Float64() < p
}

func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// frozen waits while the process of a call is, and says whether it was killed.
func (w *world) frozen(ctx context.Context) error {
	p, ok := ctx.Value(runnerKey{}).(*process)
	if !ok {
		return nil
	}
	for {
		w.mu.Lock()
		killed, left := p.killed, time.Until(p.frozen)
		w.mu.Unlock()
		if killed {
			return errKilled
		}
		if left <= 0 {
			return nil
		}
		time.Sleep(left)
	}
}

func (w *world) before(ctx context.Context, call string) error {
	p, ok := ctx.Value(runnerKey{}).(*process)
	if !ok {
		return nil
	}
	time.Sleep(time.Duration(w.intN(100)) * time.Millisecond) // so that others come between two calls
	if err := w.frozen(ctx); err != nil {
		return err
	}
	if w.chance(w.faults) {
		return w.called(p, call, errFaults[w.intN(len(errFaults))])
	}
	return nil
}

func (w *world) after(ctx context.Context, call string) error {
	p, ok := ctx.Value(runnerKey{}).(*process)
	if !ok {
		return nil
	}
	if call == "Do" || call == "Register" {
		w.watch.look()
	}
	if err := w.frozen(ctx); err != nil {
		return err
	}
	if w.chance(w.faults / 2) {
		return w.called(p, call+", and the reply is lost", driver.ErrBadConn)
	}
	if w.chance(w.faults / 8) {
		w.mu.Lock()
		p.frozen = time.Now().Add(time.Duration(w.rand.IntN(12)) * time.Second)
		w.mu.Unlock()
	}
	return w.called(p, call, nil)
}

// process starts f in a process of its own, which kill ends without a chance to tidy up.
func (w *world) process(f func(context.Context, *migrate.Migrator)) (kill func()) {
	w.mu.Lock()
	p := &process{name: fmt.Sprint("p", w.rand.IntN(1e9))}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), runnerKey{}, p))
	o := migrate.Options{Owner: p.name, Lease: 6 * time.Second, Throttle: migrate.Throttle{Duty: 0.5, Workers: 1 + w.rand.IntN(3)}}
	w.mu.Unlock()
	m, err := migrate.New(w.db, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.wg.Go(func() { f(ctx, m) })
	return func() {
		_ = w.called(p, "it is killed", nil)
		w.mu.Lock()
		p.killed = true
		w.mu.Unlock()
		cancel()
	}
}

func work(ctx context.Context, m *migrate.Migrator) { _ = m.Work(ctx) }

// play is trouble for a while, and then calm.
func (w *world) play() {
	// The operators are a process that neither dies nor freezes, with calls that may fail.
	done := make(chan struct{})
	quiet := w.process(func(ctx context.Context, m *migrate.Migrator) {
		w.operate(ctx, m)
		close(done)
	})
	runners := make([]func(), 1+w.intN(3))
	for i := range runners {
		runners[i] = w.process(work)
	}
	for end := time.Now().Add(time.Duration(5+w.intN(40)) * time.Second); time.Now().Before(end); {
		time.Sleep(time.Duration(w.intN(3000)) * time.Millisecond)
		if i := w.intN(len(runners)); w.chance(w.faults) {
			runners[i]()
			runners[i] = w.process(work)
		}
	}
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	<-done
	quiet()
	w.end()
	for _, kill := range runners {
		kill()
	}
	w.wg.Wait()
	w.watch.look()
}

// operate orders whatever comes to mind.
func (w *world) operate(ctx context.Context, m *migrate.Migrator) {
	for w.chance(1) {
		var err error
		switch w.intN(10) {
		case 0, 1:
			err = m.Begin(ctx, w.change, migrate.Order{Want: migrate.Ready})
		case 2:
			err = m.Begin(ctx, w.change, migrate.Order{Want: migrate.Switched})
		case 3, 4:
			err = m.Begin(ctx, w.change, migrate.Order{Want: migrate.Done})
		case 5:
			err = m.Order(ctx, "c", migrate.Order{Want: migrate.RolledBack, Force: w.chance(0.5)})
		case 6:
			err = m.Pause(ctx, "c", "op", "why not")
		case 7:
			err = m.Resume(ctx, "c", "op", "why not")
		case 8:
			err = w.db.Register(ctx, migrate.Instance{App: "shop", Version: "v1", ID: fmt.Sprint(w.intN(2))})
		case 9:
			err = w.db.Register(ctx, migrate.Instance{App: "shop", Version: "v2", ID: fmt.Sprint(w.intN(2))})
		}
		_ = w.called(&process{name: "operator"}, "order", err)
		if errors.Is(err, migrate.ErrFenced) {
			w.t.Errorf("an operator is fenced: %v", err)
		}
		time.Sleep(time.Duration(w.intN(4000)) * time.Millisecond)
	}
}

// end brings the change to one of its ends, in calm.
func (w *world) end() {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), runnerKey{}, &process{name: "end"}), time.Hour)
	defer cancel()
	m, err := migrate.New(w.db, migrate.Options{Owner: "end"})
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		r, err := m.Record(ctx, "c")
		if err == nil && r.State.Phase.Ended() {
			return
		}
		switch {
		case err == nil && r.Order.Want != migrate.RolledBack:
			err = errors.Join(m.Resume(ctx, "c", "end", ""), m.Order(ctx, "c", migrate.Order{Want: migrate.Done, By: "end", Why: fmt.Sprint(r.State.Rev)}))
		case err == nil:
			err = m.Order(ctx, "c", migrate.Order{Want: migrate.RolledBack, Force: true, By: "end", Why: fmt.Sprint(r.State.Rev)})
		case errors.Is(err, migrate.ErrNotFound):
			err = m.Begin(ctx, w.change, migrate.Order{Want: migrate.Done})
		}
		if ctx.Err() != nil {
			w.t.Errorf("after an hour of calm it has not converged: %v\n%s", err, r.Explain())
			return
		}
		if err := w.db.Register(ctx, migrate.Instance{App: "shop", Version: "v2", ID: "end"}); err != nil {
			w.t.Errorf("Register of a new version: %v", err)
		}
		time.Sleep(10 * time.Second)
	}
}

// watch judges what is seen of the database from without.
type watch struct {
	w     *world
	steps []migrate.Step

	mu    sync.Mutex
	read  int   // of the log
	done  []int // the steps that are done, in order
	rev   uint64
	phase migrate.Phase
}

func (o *watch) look() {
	ctx := context.Background() // no process: without trouble
	o.mu.Lock()
	defer o.mu.Unlock()
	first := len(o.w.db.Statements())
	r, err := o.w.db.Load(ctx, "c")
	if errors.Is(err, migrate.ErrNotFound) {
		return
	}
	alive, aliveErr := o.w.db.Instances(ctx, "shop", migrate.DefaultInstanceTTL)
	again, againErr := o.w.db.Load(ctx, "c")
	log := o.w.db.Statements()
	if err := errors.Join(err, aliveErr, againErr); err != nil {
		o.w.t.Errorf("the observer: %v", err)
		return
	}
	for _, text := range log[o.read:] {
		o.statement(text)
	}
	o.read = len(log)
	o.moves(r)
	if r.State.Failed != "" {
		o.w.t.Errorf("no trouble of this world needs a person, and it failed: %s", r.State.Failed)
	}
	if len(log) == first { // otherwise the record and the log are of different moments
		o.complete(r)
	}
	if again.State.Rev == r.State.Rev && r.State.Hidden && again.State.Hidden {
		for _, i := range alive {
			if i.Version == "v1" {
				o.w.t.Errorf("%v is alive, and what it needs is hidden", i)
			}
		}
	}
}

// statement wants each step once, in order, and taken back in reverse.
func (o *watch) statement(text string) {
	last := -1
	if n := len(o.done); n > 0 {
		last = o.done[n-1]
	}
	for i, s := range o.steps {
		switch {
		case slices.Contains(s.Do, text):
			for j := last + 1; j < i; j++ {
				if o.steps[j].Walk == nil {
					o.w.t.Errorf("%q ran before %q", text, o.steps[j].Name)
				}
			}
			if i <= last {
				o.w.t.Errorf("%q ran again", text)
			}
			o.done = append(o.done, i)
			return
		case slices.Contains(s.Undo, text):
			if i != last {
				o.w.t.Errorf("%q ran, and the last step done is %d of %v", text, last, o.done)
				return
			}
			o.done = o.done[:len(o.done)-1]
			return
		case slices.Contains(s.Clean, text):
			return
		}
	}
	o.w.t.Errorf("nobody asked for %q", text)
}

// moves wants phases to follow each other.
func (o *watch) moves(r migrate.Record) {
	from, to := o.phase, r.State.Phase
	// The moment between the end of going back and a new beginning may not be seen.
	anew := (from == migrate.RolledBack || from == migrate.RollingBack) && (to < migrate.RollingBack || r.State.Rev < o.rev)
	if r.State.Rev < o.rev && !anew {
		o.w.t.Errorf("rev went from %d to %d", o.rev, r.State.Rev)
	}
	switch {
	case anew, to == from, from == migrate.Soaking && to == migrate.Switched && r.Order.Want == migrate.RolledBack:
	case from == migrate.Contracting && to != migrate.Done, from == migrate.Done, to < from:
		o.w.t.Errorf("%v follows %v", to, from)
	}
	soaking, contracting := r.State.Entered[migrate.Soaking], r.State.Entered[migrate.Contracting]
	if to == migrate.Contracting && contracting.Sub(soaking) < r.Change.Soak {
		o.w.t.Errorf("it soaked for %v", contracting.Sub(soaking))
	}
	o.rev, o.phase = r.State.Rev, to
}

// complete wants everything done that is to be done before Ready, and nothing left of what
// was rolled back.
func (o *watch) complete(r migrate.Record) {
	if r.State.Phase == migrate.RolledBack && len(o.done) > 0 {
		o.w.t.Errorf("rolled back, and steps %v are done", o.done)
	}
	if !r.State.Phase.Serves() {
		return
	}
	for i, s := range o.steps {
		if s.Phase > migrate.Verifying {
			continue
		}
		if !r.State.Steps[i].Done {
			o.w.t.Errorf("it is %v, and step %d, %s, is not done", r.State.Phase, i, s.Name)
		}
		k := slices.IndexFunc(r.Progress, func(p migrate.Progress) bool { return p.Step == i })
		switch {
		case s.Walk == nil:
			if !slices.Contains(o.done, i) {
				o.w.t.Errorf("it is %v, and the statements of step %d, %s, have not run", r.State.Phase, i, s.Name)
			}
		case k < 0 || !r.Progress[k].Done || !s.Walk.Verify && r.Progress[k].Rows != r.Progress[k].Total:
			o.w.t.Errorf("it is %v, and the walk of step %d is at %+v", r.State.Phase, i, r.Progress)
		}
	}
}
