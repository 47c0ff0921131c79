// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
)

func show(t *testing.T, s settings) {
	t.Helper()
	s.users, s.rate, s.bake, s.soak = 3000, 400, 3*time.Second, 500*time.Millisecond
	var out bytes.Buffer
	err := run(t.Context(), s, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"contracting: after the soak the old side is dropped", // the plan
		"v2 goes home: check \"errors\" failed",               // found out
		"the change is rolledBack",                            //
		"a version that needs it is alive: shop@v1",           // refused
		"migrate: version retired",                            // and cannot come back
		"the change is done",                                  //
		"v2.1: promoted",                                      //
		" 0 failed, 0 were read otherwise than written\n",     //
	} {
		at := strings.Index(text, want)
		if at < 0 {
			t.Fatalf("%q is not said, or not where it should be", want)
		}
		text = text[at:]
	}
}

func TestNothingIsLostOnSQLite(t *testing.T) {
	t.Parallel()
	show(t, settings{})
}

func TestNothingIsLostOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t, dbtest.Options{Fast: true})
	show(t, settings{url: server.URL("postgres")})
}

func TestTheClientsSeeWhatIsLost(t *testing.T) {
	t.Parallel()
	b, err := openBase(t.Context(), settings{users: 2 * clients})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.drop(); err != nil {
			t.Error(err)
		}
	}()
	db, err := b.open("test")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := &crowd{users: 2 * clients}
	for i := range c.known {
		c.known[i] = map[int64]*user{}
	}
	for _, text := range []string{
		"ALTER TABLE users ADD COLUMN new_email text",
		"UPDATE users SET new_email = email",
		"UPDATE users SET email = 'older@example.com' WHERE id = 1", // lost, and otherwise
		"UPDATE users SET email = 'asked@example.com', new_email = 'asked@example.com' WHERE id = 2",
		"DELETE FROM users WHERE id = 3", // lost
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	c.user(1, 2).doubt = []string{"asked@example.com"}                         // may be there, or not
	c.known[3][100] = &user{acked: "new@example.com", born: true, by: "v2"}    // lost
	c.known[4][101] = &user{doubt: []string{"never@example.com"}, born: false} // may not be there
	v, err := c.check(t.Context(), db, "email", "new_email")
	if err != nil || v.rows != 2*clients-1 || v.lost != 3 || v.diverged != 1 {
		t.Errorf("%+v, %v; want 3 lost and 1 diverged", v, err)
	}
}

func TestTheFlagsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"more", "only flags"},
		{"-users 1", "-users"},
		{"-rate 0", "-rate"},
		{"-soak 0s", "-soak"},
	} {
		var stderr bytes.Buffer
		if code := command(t.Context(), strings.Fields(c.args), nil, &stderr); code != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s: %d, %s", c.args, code, stderr.String())
		}
	}
	var stderr bytes.Buffer
	if code := command(t.Context(), []string{"-db", "mysql://ann:secret@localhost/shop"}, nil, &stderr); code != 1 || strings.Contains(stderr.String(), "secret") {
		t.Errorf("%d, %s", code, stderr.String())
	}
}
