// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

var (
	now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v1  = revision(1)
	v2  = revision(2)
	v3  = revision(3)
	v4  = revision(4)
)

func revision(n int) rollback.Revision {
	return rollback.Revision{ID: fmt.Sprint("r", n), Digest: fmt.Sprintf("sha256:%02d", n)}
}

// must is a value whose making cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// baked is a ledger in which these were deployed and finished their bake, in order.
func baked(revisions ...rollback.Revision) rollback.Ledger {
	l := rollback.Ledger{Service: "checkout"}
	for _, r := range revisions {
		l = must(must(l.Deployed(now, r)).Baked(now, r.Digest))
	}
	return l
}

// failing is baked, with a candidate on top that is being rolled out.
func failing(candidate rollback.Revision, good ...rollback.Revision) rollback.Ledger {
	return must(baked(good...).Deployed(now, candidate))
}

func wantGood(t *testing.T, l rollback.Ledger, want rollback.Revision) {
	t.Helper()
	if got, ok := l.LastKnownGood(); !ok || got != want {
		t.Errorf("last known good is %v (%v), want %v", got, ok, want)
	}
}

func TestLastKnownGoodHasFinishedItsBakeAndIsNotInQuarantine(t *testing.T) {
	t.Parallel()
	if r, ok := (rollback.Ledger{}).LastKnownGood(); ok {
		t.Errorf("an empty ledger knows %v", r)
	}
	l := failing(v3, v1, v2)
	wantGood(t, l, v2)
	l = l.Superseded(v3.Digest)
	wantGood(t, l, v2)
	if _, bad := l.Quarantined(v3.Digest); bad {
		t.Error("a superseded revision is in quarantine")
	}
	l = must(l.RolledBack(now, v2, v1, rollback.Ask{By: "errors", Why: "5% is over 1%"}))
	wantGood(t, l, v1)
	if q, bad := l.Quarantined(v2.Digest); !bad || q.By != "errors" || q.Why == "" {
		t.Errorf("after being rolled back: quarantine %+v, %v", q, bad)
	}
	// Deploying the same content again does not help it, finishing the bake neither.
	l = must(must(l.Deployed(now, v2)).Baked(now, v2.Digest))
	wantGood(t, l, v1)
	// A new digest comes without a past.
	l = must(must(l.Deployed(now, v3)).Baked(now, v3.Digest))
	wantGood(t, l, v3)
}

func TestAQuarantineIsLiftedByAPersonWithAReason(t *testing.T) {
	t.Parallel()
	l := baked(v1, v2).Quarantine(now, v2.Digest, "ada", "leaks memory")
	wantGood(t, l, v1)
	for _, who := range [][2]string{{"", "why"}, {"ada", ""}} {
		if _, err := l.Lift(now, v2.Digest, who[0], who[1]); err == nil {
			t.Errorf("lifted by %q because of %q", who[0], who[1])
		}
	}
	if _, err := l.Lift(now, v1.Digest, "ada", "why"); err == nil {
		t.Error("lifted what was not in quarantine")
	}
	l = must(l.Lift(now.Add(time.Hour), v2.Digest, "ada", "it was the database"))
	wantGood(t, l, v2)
	if n := len(l.Lifts); n != 1 || l.Lifts[0].By != "ada" || l.Lifts[0].Quarantine.Why != "leaks memory" {
		t.Errorf("lifts %+v", l.Lifts)
	}
	// Lifting proves nothing about a revision that never finished its bake.
	l = failing(v3, v1).Quarantine(now, v3.Digest, "ada", "why")
	wantGood(t, must(l.Lift(now, v3.Digest, "ada", "why")), v1)
}

func TestAnAutomaticReturnIsRefused(t *testing.T) {
	t.Parallel()
	history := []rollback.Revision{v1, v2, v3}
	returned := must(failing(v3, v1, v2).RolledBack(now, v3, v2, rollback.Ask{}))
	failed := failing(v3, v1, v2)
	failed = failed.Begin(must(failed.Plan(now, v3, history, rollback.Ask{}))).End(now, rollback.RollbackFailed, "deadline")
	var fleet rollback.Fleet
	for i := range 5 {
		fleet = fleet.Returned(now.Add(-time.Minute), fmt.Sprint("service", i))
	}
	door := rollback.Door{Name: "drop users.email", Why: "older code reads it", Floor: 7}
	for _, c := range []struct {
		name    string
		ledger  rollback.Ledger
		current rollback.Revision
		history []rollback.Revision
		ask     rollback.Ask
		want    error
	}{
		{"when nothing is known to be good", rollback.Ledger{}, v3, history, rollback.Ask{}, rollback.ErrNoTarget},
		{"when the good one is gone", failing(v3, v2), v3, []rollback.Revision{v1, v3}, rollback.Ask{}, rollback.ErrNoTarget},
		{"when the good one runs", baked(v1, v3), v3, history, rollback.Ask{}, rollback.ErrAlready},
		{"to any other than the good one", failing(v3, v1, v2), v3, history, rollback.Ask{To: v1.ID}, rollback.ErrRefused},
		{"right after another", returned, v2, history, rollback.Ask{}, rollback.ErrAlready},
		{"of what a rollback came to", returned.Quarantine(now, v2.Digest, "errors", "still failing"), v2, history, rollback.Ask{}, rollback.ErrNeedsHuman},
		{"of what a failed rollback came from", failed, v3, history, rollback.Ask{}, rollback.ErrNeedsHuman},
		{"of what a failed rollback came to", failed.Quarantine(now, v2.Digest, "x", "y"), v2, history, rollback.Ask{}, rollback.ErrNeedsHuman},
		{"by the service's budget", must(returned.Deployed(now, v4)), v4, history, rollback.Ask{}, rollback.ErrBudget},
		{"by a budget of none", failing(v3, v2), v3, history, rollback.Ask{Budget: rollback.Budget{Returns: -1}}, rollback.ErrBudget},
		{"by the fleet's budget", failing(v3, v2), v3, history, rollback.Ask{Fleet: fleet}, rollback.ErrFleetBudget},
		{"through a door", failing(v3, v2), v3, history, rollback.Ask{Doors: []rollback.Door{door}}, rollback.ErrOneWay},
		{"through a door that it says it accepts", failing(v3, v2), v3, history, rollback.Ask{Doors: []rollback.Door{door}, Accept: []string{door.Name}}, rollback.ErrOneWay},
		{"from a revision without a digest", failing(v3, v2), rollback.Revision{ID: "r3"}, history, rollback.Ask{}, nil},
	} {
		got, err := c.ledger.Plan(now, c.current, c.history, c.ask)
		if err == nil || c.want != nil && (!errors.Is(err, c.want) || !errors.Is(err, rollback.ErrRefused)) {
			t.Errorf("%s: %v to %v; want %v", c.name, err, got.To, c.want)
		}
	}
}

func TestNoBudgetEverBlocksAPerson(t *testing.T) {
	t.Parallel()
	l := must(failing(v3, v1, v2).RolledBack(now, v3, v2, rollback.Ask{}))
	l = must(l.Deployed(now, v4))
	fleet := rollback.Fleet{}
	for i := range 500 {
		fleet = fleet.Returned(now, fmt.Sprint(i))
	}
	ask := rollback.Ask{
		Budget: rollback.Budget{Returns: -1, Window: 1000 * time.Hour}, FleetBudget: rollback.FleetBudget{Services: 1, Window: 1000 * time.Hour}, Fleet: fleet,
	}
	history := []rollback.Revision{v1, v2, v3, v4}
	if _, err := l.Plan(now, v4, history, ask); !errors.Is(err, rollback.ErrBudget) || !errors.Is(err, rollback.ErrFleetBudget) {
		t.Errorf("automatic: %v; want both budgets", err)
	}
	ask.Trigger, ask.By, ask.Why = rollback.Human, "ada", "customers call"
	if got, err := l.Plan(now, v4, history, ask); err != nil || got.To != v2 {
		t.Errorf("a person's: to %v, %v", got.To, err)
	}
	// Also further back, past the last known good, and what a rollback came to.
	ask.To = v1.ID
	if got, err := l.Plan(now, v2, history, ask); err != nil || got.To != v1 {
		t.Errorf("a person's, by name: to %v, %v", got.To, err)
	}
}

func TestAPersonLiftsAQuarantineFirstAndAcceptsADoorByName(t *testing.T) {
	t.Parallel()
	history := []rollback.Revision{v1, v2, v3}
	l := failing(v3, v1, v2).Quarantine(now, v1.Digest, "errors", "5% is over 1%")
	ask := rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "known evil", To: v1.ID, Doors: []rollback.Door{{Name: "drop users.email", Floor: 2}}}
	_, err := l.Plan(now, v3, history, ask)
	if !errors.Is(err, rollback.ErrQuarantined) || !strings.Contains(err.Error(), "5% is over 1%") {
		t.Errorf("into quarantine: %v; want ErrQuarantined with the reason", err)
	}
	l = must(l.Lift(now, v1.Digest, "ada", "known evil"))
	if _, err := l.Plan(now, v3, history, ask); !errors.Is(err, rollback.ErrOneWay) {
		t.Errorf("through a door: %v", err)
	}
	ask.Accept = []string{"drop users.email"}
	if _, err := l.Plan(now, v3, history, ask); err != nil {
		t.Errorf("through a door that was accepted: %v", err)
	}
	ask.Why = ""
	if _, err := l.Plan(now, v3, history, ask); !errors.Is(err, rollback.ErrRefused) {
		t.Errorf("without a reason: %v", err)
	}
	ask.Why, ask.To = "known evil", "previous"
	if _, err := l.Plan(now, v3, history, ask); !errors.Is(err, rollback.ErrNoTarget) {
		t.Errorf("to the previous one: %v; want no such revision", err)
	}
}

func TestAKeyFollowsFromTheDecisionAlone(t *testing.T) {
	t.Parallel()
	history := []rollback.Revision{v1, v2, v3, v4}
	l := failing(v3, v1, v2)
	human := rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "why"}
	key := must(l.Plan(now, v3, history, rollback.Ask{})).Key
	if again := must(l.Plan(now.Add(time.Hour), v3, history, human)).Key; again != key {
		t.Errorf("the same decision at another time, by another hand: key %q, was %q", again, key)
	}
	later := must(l.Deployed(now, v3))
	if again := must(later.Plan(now, v3, history, rollback.Ask{})).Key; again != key {
		t.Errorf("nothing was decided in between: key %q, was %q", again, key)
	}
	human.To = v1.ID
	other := l
	other.Service = "search"
	seen := map[string]string{key: "the decision"}
	for name, k := range map[string]string{
		"another revision to go to":  must(l.Plan(now, v3, history, human)).Key,
		"another one to come from":   must(l.Plan(now, v4, history, rollback.Ask{})).Key,
		"another service":            must(other.Plan(now, v3, history, rollback.Ask{})).Key,
		"the same way a second time": must(l.Begin(must(l.Plan(now, v3, history, rollback.Ask{}))).End(now, rollback.RolledBack, "").Plan(now, v3, history, rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "again"})).Key,
	} {
		if was := seen[k]; was != "" {
			t.Errorf("%s has the key of %s", name, was)
		}
		seen[k] = name
	}
}

func TestBudgetsForgetWithTime(t *testing.T) {
	t.Parallel()
	l := must(baked(v1).RolledBack(now, v2, v1, rollback.Ask{}))
	for _, c := range []struct {
		after time.Duration
		free  bool
	}{{0, false}, {59 * time.Minute, false}, {time.Hour, true}, {-24 * time.Hour, false}} {
		if err := (rollback.Budget{}).Allows(now.Add(c.after), l); (err == nil) != c.free {
			t.Errorf("%v after a return: %v", c.after, err)
		}
	}
	human := must(baked(v1).RolledBack(now, v2, v1, rollback.Ask{Trigger: rollback.Human}))
	if err := (rollback.Budget{}).Allows(now, human); err != nil {
		t.Errorf("a person's return counts: %v", err)
	}
	f := rollback.Fleet{}
	for range 10 {
		f = f.Returned(now, "search") // one service that flaps is one service
	}
	f = f.Returned(now, "checkout")
	two := rollback.FleetBudget{Services: 2}
	if err := two.Allows(now, f, "cart"); !errors.Is(err, rollback.ErrFleetBudget) {
		t.Errorf("two others returned: %v", err)
	}
	if err := two.Allows(now, f, "checkout"); err != nil {
		t.Errorf("one other returned: %v", err)
	}
	if err := two.Allows(now.Add(10*time.Minute), f, "cart"); err != nil {
		t.Errorf("ten minutes later: %v", err)
	}
}

func TestALedgerSurvivesJSONAndNewerOnesAreRefused(t *testing.T) {
	t.Parallel()
	l := must(failing(v3, v1, v2).RolledBack(now, v3, v2, rollback.Ask{By: "errors", Why: "5% is over 1%"}))
	l = must(l.Quarantine(now, v1.Digest, "ada", "why").Lift(now, v1.Digest, "ada", "why not"))
	l = must(l.Deployed(now, v4))
	l = l.Begin(must(l.Plan(now.Add(2*time.Hour), v4, []rollback.Revision{v2}, rollback.Ask{})))
	data := must(json.Marshal(l))
	got, err := rollback.ParseLedger(data)
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Errorf("read back as\n%+v, %v\nwant\n%+v", got, err, l)
	}
	if _, err := rollback.ParseLedger([]byte(`{"version":2}`)); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("version 2: %v", err)
	}
	if _, err := rollback.ParseLedger([]byte(`{`)); err == nil {
		t.Error("broken JSON was read")
	}
}

// model is the ledger's law said as simply as can be: no bounds, no copies.
type model struct {
	bakes       []string
	quarantined map[string]bool
	known       map[string]bool
}

func (m *model) good() string {
	for _, digest := range slices.Backward(m.bakes) {
		if !m.quarantined[digest] {
			return digest
		}
	}
	return ""
}

func TestRandomHistoriesNeverMakeABadRevisionGood(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := &model{quarantined: map[string]bool{}, known: map[string]bool{}}
		l := rollback.Ledger{Service: "checkout"}
		for step := range 60 {
			was, before := fmt.Sprintf("%+v", l), l
			r := revision(rng.IntN(6))
			at := now.Add(time.Duration(rng.IntN(100)-50) * time.Minute) // the clock is no help
			next := m.step(rng.IntN(6), l, r, revision(rng.IntN(6)), at)
			if fmt.Sprintf("%+v", before) != was {
				t.Fatalf("seed %d step %d: the old ledger was changed", seed, step)
			}
			if next.Rev > l.Rev+1 || next.Rev < l.Rev {
				t.Fatalf("seed %d step %d: Rev went from %d to %d", seed, step, l.Rev, next.Rev)
			}
			l = next
			good, ok := l.LastKnownGood()
			if good.Digest != m.good() || ok != (m.good() != "") {
				t.Fatalf("seed %d step %d: last known good is %v, want %q", seed, step, good, m.good())
			}
			if step%10 != 9 {
				continue
			}
			back, err := rollback.ParseLedger(must(json.Marshal(l)))
			if err != nil || !reflect.DeepEqual(back, l) {
				t.Fatalf("seed %d step %d: JSON changed the ledger: %v\n%+v\n%+v", seed, step, err, back, l)
			}
		}
	}
}

// step does one thing to the ledger and to the model.
func (m *model) step(what int, l rollback.Ledger, r, other rollback.Revision, at time.Time) rollback.Ledger {
	switch what {
	case 0, 1:
		m.known[r.Digest] = true
		return must(l.Deployed(at, r))
	case 2:
		next, err := l.Baked(at, r.Digest)
		if err == nil {
			m.bakes = append(m.bakes, r.Digest)
		}
		if (err == nil) != m.known[r.Digest] {
			panic(fmt.Sprintf("Baked(%v) = %v", r, err))
		}
		return next
	case 3:
		return l.Superseded(r.Digest)
	case 4:
		next, err := l.Lift(at, r.Digest, "ada", "why")
		if err == nil {
			delete(m.quarantined, r.Digest)
		}
		return next
	default:
		if r == other {
			return l
		}
		m.known[r.Digest], m.known[other.Digest] = true, true
		m.quarantined[r.Digest] = true
		return must(l.RolledBack(at, r, other, rollback.Ask{}))
	}
}

func TestALedgerStaysBoundedAndKeepsTheGoodOne(t *testing.T) {
	t.Parallel()
	l := baked(v1)
	for i := range 2000 {
		r := revision(100 + i)
		l = must(l.Deployed(now, r))
		if i%2 == 0 {
			l = must(l.RolledBack(now, r, v1, rollback.Ask{}))
		}
		if i%7 == 0 {
			l = must(l.Quarantine(now, r.Digest, "ada", "why").Lift(now, r.Digest, "ada", "why"))
		}
		if i == 100 || i == 1999 {
			wantGood(t, l, v1)
			for _, rec := range l.Records {
				// Whoever was rolled back and can still be chosen is still in quarantine.
				n := 0
				if _, err := fmt.Sscanf(rec.Revision.ID, "r%d", &n); err != nil {
					t.Fatal(err)
				}
				_, bad := l.Quarantined(rec.Revision.Digest)
				if want := n >= 100 && n%2 == 0 && (n-100)%7 != 0; want != bad {
					t.Errorf("%v: in quarantine %v, want %v", rec.Revision, bad, want)
				}
			}
		}
	}
	if len(l.Records) > 64 || len(l.Quarantines) > 128 || len(l.Returns) > 64 || len(l.Lifts) > 64 {
		t.Errorf("%d records, %d quarantines, %d returns, %d lifts", len(l.Records), len(l.Quarantines), len(l.Returns), len(l.Lifts))
	}
	if n := len(must(json.Marshal(l))); n > 128<<10 {
		t.Errorf("%d bytes of JSON", n)
	}
}

func TestWhatIsNeededIsNotDroppedForAge(t *testing.T) {
	t.Parallel()
	// The good one is old, and hundreds that came after it never finished a bake.
	l := failing(v2, v1).Quarantine(now, v2.Digest, "ada", "leaks memory")
	for i := range 300 {
		l = must(l.Deployed(now, revision(100+i)))
	}
	wantGood(t, l, v1)
	// One in quarantine can still be chosen, and hundreds that cannot are put there after it.
	l = failing(v2, v1).Quarantine(now, v2.Digest, "ada", "leaks memory")
	for i := range 300 {
		l = l.Quarantine(now, fmt.Sprint("sha256:elsewhere-", i), "ada", "why")
	}
	if _, bad := l.Quarantined(v2.Digest); !bad || len(l.Quarantines) > 128 {
		t.Errorf("r2 in quarantine %v, among %d", bad, len(l.Quarantines))
	}
}
