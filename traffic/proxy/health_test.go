// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// ward is backends that exist as words only: how each answers its checks, and
// how often it was asked.
type ward struct {
	mu    sync.Mutex
	sick  map[string]error
	asked map[string]int
}

func (w *ward) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[r.URL.Host+r.URL.Path]++
	res := &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: io.NopCloser(strings.NewReader("ok")), Request: r}
	switch err := w.sick[r.URL.Host]; {
	case err == errSick: //nolint:errorlint // it is one of two
		res.StatusCode, res.Status = http.StatusServiceUnavailable, "503 Service Unavailable"
	case err != nil:
		return nil, err
	}
	return res, nil
}

var errSick = fmt.Errorf("it answers 503")

func (w *ward) set(host string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sick[host] = err
}

func (w *ward) count(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[host+"/healthz"]
}

func hosts(names ...string) []*url.URL {
	urls := make([]*url.URL, 0, len(names))
	for _, n := range names {
		urls = append(urls, &url.URL{Scheme: "http", Host: n})
	}
	return urls
}

// checked is a proxy under Run, between an arm v1 of backends a, b and c, and v2 of d.
func checked(t *testing.T, sick map[string]error) (_ *Proxy, w *ward, stop func()) {
	t.Helper()
	w = &ward{sick: sick, asked: map[string]int{}}
	if sick == nil {
		w.sick = map[string]error{}
	}
	p, err := New(map[string][]*url.URL{"v1": hosts("a", "b", "c"), "v2": hosts("d")}, Options{Transport: w, Health: "/healthz"})
	if err != nil {
		t.Fatal(err)
	}
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	if err := p.Apply(t.Context(), 1, route); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	synctest.Wait()
	return p, w, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
}

// states is how the arm's backends fare, in a word each.
func (p *Proxy) states(arm string) string {
	var words []string
	for _, b := range p.Backends(arm) {
		words = append(words, b.State.String())
	}
	return strings.Join(words, " ")
}

func TestChecksTakeABackendOutAndBringItBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := checked(t, map[string]error{"a": errSick})
		defer stop()
		pool := (*p.arms.Load())["v1"].pool
		if got := p.states("v1"); got != "failing well well" || pool.chosen()[pool.all[0]] > 0 {
			t.Errorf("after the first checks: %s", got)
		}
		if got := p.Backends("v1")[0].LastError; got != "/healthz answered 503 Service Unavailable" {
			t.Errorf("its last error is %q", got)
		}
		// until waits for so many checks of a host more.
		until := func(host string, n int) {
			for n += w.count(host); w.count(host) < n; {
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait()
		}
		w.set("a", nil)
		w.set("b", errSick)
		until("a", 1)
		if got := p.states("v1"); got[:7] != "failing" {
			t.Errorf("after one check that passes: %s", got)
		}
		until("a", 1)
		if got := p.states("v1"); got[:4] != "well" {
			t.Errorf("after two checks that pass: %s", got)
		}
		w.set("b", nil)
		until("b", 1)
		w.set("b", errSick)
		until("b", 2)
		if got := p.states("v1"); got != "well well well" {
			t.Errorf("after two checks that fail: %s", got)
		}
		until("b", 1)
		if got := p.states("v1"); got != "well failing well" || pool.chosen()[pool.all[1]] > 0 {
			t.Errorf("after three checks that fail: %s", got)
		}
		// Answering requests is no answer to a check.
		pool.all[1].tell(answered)
		if got := p.states("v1"); got != "well failing well" {
			t.Errorf("after an answered request: %s", got)
		}
	})
}

func TestChecksComeEverySoOftenAndNotAllAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, w, stop := checked(t, nil)
		begun, last := time.Now(), time.Now()
		together, n := 0, 0
		for before := w.count("a"); time.Since(begun) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
			if now := w.count("a"); now > before {
				if d := time.Since(last); n > 0 && (d < 1790*time.Millisecond || d > 2210*time.Millisecond) {
					t.Fatalf("checked after %v, want 2s give or take 200ms", d)
				}
				before, last = now, time.Now()
				n++
				if time.Since(begun) > time.Minute && w.count("b") == now && w.count("c") == now && w.count("d") == now {
					together++
				}
			}
		}
		if n < 270 || n > 330 || together > n/2 {
			t.Errorf("%d checks in ten minutes, %d of them in step with all others, want about 300 and few", n, together)
		}
		stop()
		w.asked["a/healthz"] = 0
		time.Sleep(time.Minute)
		if w.count("a") > 0 {
			t.Error("it was checked after Run had ended")
		}
	})
}

func TestWhoeverComesIsCheckedAndWhoeverGoesIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := checked(t, map[string]error{"e": errSick})
		defer stop()
		if err := p.SetArm("v1", hosts("b", "c", "e")...); err != nil {
			t.Fatal(err)
		}
		if err := p.SetArm("v3", hosts("f")...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := p.states("v1"); got != "well well failing" || w.count("f") != 1 {
			t.Errorf("%s, and f was checked %d times, want e failing and f checked at once", got, w.count("f"))
		}
		if err := p.RemoveArm("v3"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a, f := w.count("a"), w.count("f")
		time.Sleep(time.Minute)
		if w.count("a") != a || w.count("f") != f {
			t.Error("a backend that is gone was checked")
		}
		if w.count("b") < 20 || w.count("e") < 20 {
			t.Errorf("in a minute, b was checked %d times and e %d", w.count("b"), w.count("e"))
		}
	})
}

func TestWhenRunEndsItsWordIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, stop := checked(t, map[string]error{"a": errSick, "b": errSick})
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
			t.Errorf("a second Run: %v", err)
		}
		if got := p.states("v1"); got != "failing failing well" {
			t.Fatal(got)
		}
		stop()
		if got := p.states("v1"); got != "well well well" {
			t.Errorf("%s after Run has ended: nothing could bring them back", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx); err != nil {
			t.Errorf("another Run: %v", err)
		}
	})
}

func TestACheckThatFindsABackendThereHasItTriedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := checked(t, nil)
		defer stop()
		pool := (*p.arms.Load())["v1"].pool
		b := pool.all[0]
		for range 8 { // up to Max
			b.tell(refused)
			time.Sleep(time.Until(p.Backends("v1")[0].Until))
			pool.chosen()
		}
		for _, tt := range []struct {
			state string
			gone  time.Duration
		}{{"ejected", 3 * time.Second}, {"failing", 30 * time.Second}} {
			w.set("a", errRefused)
			b.tell(refused)
			time.Sleep(tt.gone)
			if n := pool.chosen()[b]; n > 0 || !strings.HasPrefix(p.states("v1"), tt.state) {
				t.Fatalf("%d requests while it is gone, and %s", n, p.states("v1"))
			}
			w.set("a", nil)
			time.Sleep(5 * time.Second)
			if n := pool.chosen()[b]; n != 1 {
				t.Errorf("%s: %d trials once it is there again, want 1 without waiting for a minute", tt.state, n)
			}
			time.Sleep(5 * time.Second)
			if n := pool.chosen()[b]; n != 0 {
				t.Errorf("%s: %d trials while one is under way", tt.state, n)
			}
			b.tell(answered)
		}
		// What breaks takes connections all the time: it is no news that it does.
		b.tell(broken)
		time.Sleep(10 * time.Second)
		if n := pool.chosen()[b]; n > 0 {
			t.Errorf("%d requests ten seconds into an ejection of a minute", n)
		}
	})
}

func TestACheckThatPassesDoesNotDoubleATrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := checked(t, nil)
		defer stop()
		pool := (*p.arms.Load())["v1"].pool
		b := pool.all[0]
		b.tell(refused)
		time.Sleep(time.Second)
		first := pool.chosen()[b]
		before := w.count("a")
		time.Sleep(1500 * time.Millisecond) // the next trial would be due half a second later
		if n := pool.chosen()[b]; first != 1 || n != 0 || w.count("a") == before {
			t.Errorf("%d trials, and %d more after %d checks that pass, want 1 and none", first, n, w.count("a")-before)
		}
	})
}

func TestAnArmThatFailsItsChecksAndIsGoneIsTriedByRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, stop := checked(t, map[string]error{"d": errRefused})
		defer stop()
		pool := (*p.arms.Load())["v2"].pool
		d := pool.all[0]
		if got := p.states("v2"); got != "failing" || pool.chosen()[d] > 1 {
			t.Fatalf("%s, and it got more than a trial", got)
		}
		time.Sleep(100 * time.Millisecond)
		if pool.choose(nil) != d || pool.choose(nil) != nil {
			t.Fatal("it was not given one trial, a tenth of a second later")
		}
		// It answers a request, long before it has passed checks enough.
		d.tell(answered)
		if pool.chosen()[d] != 50 {
			t.Errorf("%d of 50 requests after it has answered one", pool.chosen()[d])
		}
	})
}

func TestRoomIsWhatRunHasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w, stop := checked(t, map[string]error{"a": errSick, "d": errRefused})
		room := func() traffic.Room {
			seen, err := p.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return seen.Room
		}
		asked := w.count("a") + w.count("b") + w.count("c") + w.count("d")
		if got, want := room(), (traffic.Room{Known: true, Stable: 666_666}); got != want {
			t.Errorf("room %+v, want %+v", got, want)
		}
		(*p.arms.Load())["v1"].pool.all[1].tell(refused)
		if got, want := room(), (traffic.Room{Known: true, Stable: 333_333}); got != want {
			t.Errorf("with one ejected: room %+v, want %+v", got, want)
		}
		if now := w.count("a") + w.count("b") + w.count("c") + w.count("d"); now != asked {
			t.Errorf("Observe checked %d times by itself", now-asked)
		}
		stop()
		w.set("a", nil)
		time.Sleep(time.Minute)
		if got, want := room(), (traffic.Room{Known: true, Stable: traffic.Full}); got != want {
			t.Errorf("without a Run: room %+v, want %+v", got, want)
		}
	})
}

func TestABackendsStatusIsForPeopleAndTools(t *testing.T) {
	t.Parallel()
	secret, err := url.Parse("http://user:secret@10.0.0.1/base")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(map[string][]*url.URL{"v1": {secret}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Backends("v2") != nil {
		t.Error("an unknown arm has backends")
	}
	text, err := json.Marshal(p.Backends("v1"))
	if err != nil || strings.Contains(string(text), "secret") || !strings.Contains(string(text), `"state":"well"`) || strings.Contains(string(text), "until") {
		t.Errorf("%s, %v", text, err)
	}
	(*p.arms.Load())["v1"].pool.all[0].tell(refused)
	s := p.Backends("v1")[0]
	if s.State != BackendEjected || !s.Until.After(s.Since) || !strings.Contains(s.LastError, "refused") {
		t.Errorf("%+v", s)
	}
	if got := BackendState(9).String(); got != "BackendState(9)" {
		t.Error(got)
	}
}
