// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients is how many ask side by side. Each has users of its own, so that it knows which
// of two writes was the later one.
const clients = 8

// crowd is the clients, and what they remember of every user.
type crowd struct {
	front  string
	users  int
	client *http.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup
	// A client holds its own while it asks; whoever has all of them has silence.
	asking [clients]sync.Mutex
	known  [clients]map[int64]*user

	reads, writes, refused, failed, stale atomic.Int64
	slowest                               atomic.Int64
	last                                  atomic.Pointer[string]
}

// user is what a client knows of one.
type user struct {
	// acked is the address of the last write that was acknowledged, and doubt are those
	// that were asked for since, without an answer that says what became of them.
	acked string
	doubt []string
	// by is the version that acknowledged it.
	by string
	// born is false while nobody has acknowledged that the user exists.
	born bool
}

func (u *user) may(email string) bool { return email == u.acked || slices.Contains(u.doubt, email) }

func startClients(front *url.URL, s settings) *crowd {
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{
		front: front.String(), users: s.users, stop: stop,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 20 * time.Second},
	}
	every := clients * time.Second / time.Duration(s.rate)
	for i := range clients {
		c.known[i] = map[int64]*user{}
		c.wg.Go(func() { c.ask(ctx, i, every) })
	}
	return c
}

// finish lets every request under way come to its end.
func (c *crowd) finish() {
	c.stop()
	c.wg.Wait()
	c.client.CloseIdleConnections()
}

func (c *crowd) ask(ctx context.Context, i int, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	mine := c.users / clients // at the start
	for n := int64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.asking[i].Lock()
		switch id := int64(i + 1 + clients*rand.IntN(mine)); {
		case n%5 == 0:
			c.write(i, http.MethodPost, int64(i)+1+clients*(int64(mine)+n), n)
		case n%2 == 0:
			c.write(i, http.MethodPut, id, n)
		default:
			c.read(i, id)
		}
		c.asking[i].Unlock()
	}
}

// user is what client i knows of a user; one that it has not met is as at the start.
func (c *crowd) user(i int, id int64) *user {
	u := c.known[i][id]
	if u == nil {
		u = &user{}
		if id <= int64(c.users) {
			u.acked, u.born = seeded(id), true
		}
		c.known[i][id] = u
	}
	return u
}

func (c *crowd) write(i int, method string, id, n int64) {
	email := fmt.Sprintf("%d.%d@example.org", id, n)
	if rand.IntN(4) == 0 {
		email = strings.Replace(email, ".", "+", 1)
	}
	u := c.user(i, id)
	u.doubt = append(u.doubt, email)
	if _, by, ok := c.send(method, id, email); ok {
		u.acked, u.doubt, u.by, u.born = email, nil, by, true
	}
	c.writes.Add(1)
}

func (c *crowd) read(i int, id int64) {
	email, by, ok := c.send(http.MethodGet, id, "")
	if ok && !c.user(i, id).may(email) {
		c.stale.Add(1)
		c.note(fmt.Sprintf("%s reads user %d as %q", by, id, email))
	}
	c.reads.Add(1)
}

// send asks once. ok is false where the answer is none, which is counted.
func (c *crowd) send(method string, id int64, email string) (answer, by string, ok bool) {
	began := time.Now()
	defer func() {
		took := int64(time.Since(began))
		for old := c.slowest.Load(); took > old && !c.slowest.CompareAndSwap(old, took); old = c.slowest.Load() {
		}
	}()
	request, err := http.NewRequest(method, c.front+"/"+strconv.FormatInt(id, 10), strings.NewReader(email)) //nolint:noctx // a client does not give up
	if err != nil {
		c.fail(err.Error())
		return "", "", false
	}
	response, err := c.client.Do(request)
	if err != nil {
		c.fail(err.Error())
		return "", "", false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		c.fail(err.Error())
	case response.Header.Get(refusedHeader) != "":
		c.refused.Add(1)
	case response.StatusCode != http.StatusOK:
		c.fail(fmt.Sprintf("%s to %d by %s: %s", method, id, response.Header.Get(versionHeader), body))
	default:
		return string(body), response.Header.Get(versionHeader), true
	}
	return "", "", false
}

func (c *crowd) fail(what string) {
	c.failed.Add(1)
	c.note(what)
}

func (c *crowd) note(what string) {
	what = strings.TrimSpace(what)
	c.last.Store(&what)
}

// verdict is what a look at the table found.
type verdict struct {
	rows, lost, diverged int
	// by counts the rows by the version that wrote them last.
	by map[string]int
}

// check holds the column, and the other one unless that is empty, against what the clients
// know, while all of them are silent.
func (c *crowd) check(ctx context.Context, db *sql.DB, column, other string) (verdict, error) {
	defer c.silence()()
	if other == "" {
		other = column
	}
	v := verdict{by: map[string]int{}}
	there := map[int64]bool{}
	rows, err := db.QueryContext(ctx, "SELECT id, "+column+", "+other+" FROM users")
	if err != nil {
		return v, err
	}
	for rows.Next() {
		var id int64
		var email, second sql.NullString
		if err := rows.Scan(&id, &email, &second); err != nil {
			return v, errors.Join(err, rows.Close())
		}
		there[id] = true
		if email != second {
			v.diverged++
		}
		u := c.user(int((id-1)%clients), id)
		v.by[u.by]++
		if !email.Valid || !u.may(email.String) {
			v.lost++
			c.note(fmt.Sprintf("user %d has %q in %s", id, email.String, column))
		}
	}
	v.rows = len(there)
	for _, known := range c.known {
		for id, u := range known {
			if u.born && !there[id] {
				v.lost++
				c.note(fmt.Sprintf("user %d is not there", id))
			}
		}
	}
	for id := range int64(c.users) {
		if !there[id+1] {
			v.lost++
		}
	}
	return v, errors.Join(rows.Err(), rows.Close())
}

// silence waits until no client asks, and keeps them all from it until it is undone.
func (c *crowd) silence() (undo func()) {
	for i := range c.asking {
		c.asking[i].Lock()
	}
	return func() {
		for i := range c.asking {
			c.asking[i].Unlock()
		}
	}
}

// lately is the last thing that a client saw and should not have.
func (c *crowd) lately() string {
	if last := c.last.Load(); last != nil {
		return ", such as: " + *last
	}
	return ""
}
