// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

// lateGround is a ground whose walk goes through a network that can delay a batch.
func lateGround(t *testing.T, setup string) (*ground, *proxy) {
	t.Helper()
	direct := database(t)
	g := &ground{TB: t, pool: pool(t, direct)}
	g.exec(setup)
	wire, through := before(t, direct)
	walker := &ground{TB: t, pool: pool(t, through)}
	walker.lock()
	g.s = walker.s
	return g, wire
}

// loses does a batch that does not arrive, and whose client is told so.
func (g *ground) loses(b migrate.BatchOrder) {
	g.Helper()
	if done, err := g.s.Batch(g.Context(), b); !errors.Is(err, migrate.ErrLost) {
		g.Fatalf("a batch that did not arrive: %+v, %v", done, err)
	}
}

// cursor is where a walk is, as it is saved.
func (g *ground) cursor() (text string) {
	g.Helper()
	if err := g.pool.QueryRow(g.Context(), "SELECT concat_ws(' ', position, rows, seen, done) FROM rheostat.cursor").Scan(&text); err != nil {
		g.Fatal(err)
	}
	return text
}

// onceEach goes on to the end, after which each of n rows of users was done once.
func (g *ground) onceEach(b migrate.BatchOrder, n int64) {
	g.Helper()
	if last := g.walkShard(b); last.Progress.Rows != n {
		g.Errorf("%+v", last.Progress)
	}
	g.is("SELECT count(*) FROM users WHERE hits <> 1", 0)
}

// bare is a walk over users whose rows do not tell which are done, where the method can do without:
// one that moves rows about cannot.
func bare(method string) migrate.BatchOrder {
	w := fill()
	w.Method = method
	if method == "keyset" {
		w.Pending = "true"
	}
	return migrate.BatchOrder{ID: "walk", Step: 1, Walk: w, Size: map[string]int{"hot": 3, "keyset": 70}[method]}
}

// TestABatchThatArrivesLateDoesNothing: its client gave it up, and the same session went on,
// through another connection, from where the cursor was.
func TestABatchThatArrivesLateDoesNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"hot", "keyset"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			const n = 1000
			g, wire := lateGround(t, fmt.Sprintf(users, n))
			b := bare(method)
			for range 3 {
				g.batch(b)
			}
			deliver := wire.delay(t)
			g.loses(b)
			for range 3 {
				g.batch(b)
			}
			before, hits := g.cursor(), g.count("SELECT sum(hits) FROM users")
			deliver()
			g.is("SELECT sum(hits) FROM users", hits)
			if after := g.cursor(); after != before {
				t.Errorf("the cursor was %s, and is %s", before, after)
			}
			g.onceEach(b, n)
		})
	}
}

// TestABatchWhoseReplyIsLostIsDone, and the session goes on after it.
func TestABatchWhoseReplyIsLostIsDone(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"hot", "keyset"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			const n = 1000
			g, wire := lateGround(t, fmt.Sprintf(users, n))
			b := bare(method)
			g.batch(b)
			before := g.cursor()
			deliver := wire.delay(t)
			g.loses(b)
			deliver()
			if g.cursor() == before {
				t.Error("it did not arrive")
			}
			if _, err := g.s.Batch(t.Context(), b); err != nil {
				t.Fatalf("the next: %v", err)
			}
			g.onceEach(b, n)
		})
	}
}

// TestABatchThatArrivesLateSkipsNothing: a verification is begun anew, because what it had found
// was mended, and then a batch of the one before arrives. Whoever goes on from the cursor, after a
// crash, looks at every row.
func TestABatchThatArrivesLateSkipsNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"hot", "keyset"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			g, wire := lateGround(t, fmt.Sprintf(users, 1000)+"ALTER TABLE users DISABLE TRIGGER fill; UPDATE users SET new_email = email WHERE id <> 300")
			w := verify(fill())
			w.Method = method
			b := migrate.BatchOrder{ID: "walk", Step: 2, Walk: w, Size: map[string]int{"hot": 40, "keyset": 700}[method]}
			g.batch(b)
			deliver := wire.delay(t)
			g.loses(b)
			anew := b
			anew.Restart, anew.Size = true, 1
			g.batch(anew)
			deliver()
			next := &ground{TB: t, pool: g.pool}
			next.lock()
			if last := next.walkShard(b); last.Progress.Rows != 1 {
				t.Errorf("found %d rows that are wrong, want 1", last.Progress.Rows)
			}
		})
	}
}
