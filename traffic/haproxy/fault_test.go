// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package haproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
)

// Whichever answer is lost, the route in force is the old one or the new one,
// and the same Apply again ends with the new one, in the file, too.
func TestAnyLostAnswerCanBeAskedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	between := newRelay(t, s.socket)
	r, err := haproxy.New("unix", between.path, s.config, s.file())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, 1, split(0))
	lost := 0
	for n := 1; n <= 5; n++ {
		fence := uint64(n + 1) //nolint:gosec // small
		before, want := observe(t, r).Route, split(traffic.Percent(float64(n)))
		between.loseAnswer(n)
		err := r.Apply(t.Context(), fence, want)
		if err != nil {
			lost++
			if !strings.Contains(err.Error(), "closed without an answer") || !strings.Contains(err.Error(), between.path) {
				t.Errorf("answer %d lost: %q, want what happened and where", n, err)
			}
			if now := observe(t, r).Route; !now.Equal(before) && !now.Equal(want) {
				t.Errorf("answer %d lost: in force is %v, want %v or %v", n, now, before, want)
			}
			apply(t, r, fence, want)
		}
		if seen := observe(t, r); !seen.Route.Equal(want) || seen.Fence != fence || seen.Evidence != traffic.Programmed {
			t.Errorf("after answer %d was lost and asked again: %+v", n, seen)
		}
		if entries := strings.Count(s.must("show map "+s.config.Map), ":"); entries != 1 {
			t.Errorf("after answer %d was lost %d entries are left", n, entries)
		}
	}
	if lost != 5 {
		t.Errorf("%d answers were lost, want the five of an Apply", lost)
	}
}

// talker is a socket that says one thing to everybody.
func talker(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					answer(conn)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func says(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

func TestASocketThatIsNotHAProxysIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(net.Conn)
		want   string
	}{
		"another protocol": {says("HTTP/1.1 400 Bad Request\r\n\r\n"), "cut short, or not one of HAProxy's"},
		"other answers":    {says("ok\n\n\n\n\n\n"), "is it the stats socket"},
		"cut short":        {says("type=int, case=sensitive, found=yes, idx=li"), "cut short"},
		"nothing":          {says(""), "closed without an answer"},
		"text":             {says("hello\n\n"), `answered by "hello"`},
		"no right":         {says("Permission denied\n\n"), "level admin"},
		"another map":      {says("Unknown map identifier. Please use #<id> or <file>.\n\n"), "put Config.Rules into it"},
		"another kind":     {says("type=str, case=sensitive, found=no\n\n"), "map_int"},
		"no route":         {says("type=int, case=sensitive, found=yes, idx=list, key=\"0:\", value=\"blue\", type=\"str\"\n\n"), "which is not a route"},
		"endless": {func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}, "longer than"},
		"hanging": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "no answer from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 30 * time.Second
			if name == "hanging" {
				patience = 100 * time.Millisecond
			}
			r, err := haproxy.New("tcp", talker(t, tt.answer), haproxy.Config{Map: "m"}, haproxy.Options{Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Observe(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "haproxy: observe: ") || len(err.Error()) > 500 {
				t.Errorf("Observe: %v, want %q", err, tt.want)
			}
			if name == "hanging" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Observe: %v, want a deadline", err)
			}
			if _, err := r.Meter(t.Context()); err == nil {
				t.Error("Meter: no error")
			}
			if err := r.Apply(t.Context(), 1, split(0)); err == nil || !strings.HasPrefix(err.Error(), "haproxy: apply: ") {
				t.Errorf("Apply: %v, want an error", err)
			}
		})
	}
}

func TestTheCallersContextEndsAQuestion(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	address := talker(t, func(c net.Conn) { asked <- struct{}{}; _, _ = io.Copy(io.Discard, c) })
	r, err := haproxy.New("tcp", address, haproxy.Config{Map: "m"}, haproxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the deploy was called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(why) }()
	if _, err := r.Observe(ctx); !errors.Is(err, why) {
		t.Errorf("Observe: %v, want the context's cause", err)
	}
}

func TestWhatCannotBeCarriedOutIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(s.file())
	apply(t, r, 1, split(0))
	before := observe(t, r)
	edit := func(f func(*traffic.Route)) traffic.Route {
		route := split(traffic.Full)
		f(&route)
		return route
	}
	long := edit(func(r *traffic.Route) {
		for i := range 100 {
			r.Split.Match = append(r.Split.Match, traffic.Match{Header: "X-User", Value: strings.Repeat("x", 50+i)})
		}
	})
	for name, tt := range map[string]struct {
		fence uint64
		route traffic.Route
		want  string
		is    error
	}{
		"no such arm":      {2, edit(func(r *traffic.Route) { r.Arms.Candidate = "green" }), `arms.candidate: "green": HAProxy has no backend`, nil},
		"no such stable":   {2, edit(func(r *traffic.Route) { r.Arms.Stable = "blue" }), `arms.stable: "blue"`, nil},
		"no name":          {2, edit(func(r *traffic.Route) { r.Arms.Stable = "a b;shutdown" }), "cannot be the name of a backend", nil},
		"header":           {2, edit(func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "X-New"}} }), `match[0]: the header "X-New"`, errors.ErrUnsupported},
		"spelled":          {2, edit(func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "x-preview"}} }), `"X-Preview"`, errors.ErrUnsupported},
		"cookie":           {2, edit(func(r *traffic.Route) { r.Split.Sticky.Cookie = "session" }), `sticky: the cookie "session"`, errors.ErrUnsupported},
		"parameter":        {2, edit(func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Query: "q"}} }), `query parameter "q"`, errors.ErrUnsupported},
		"too long":         {2, long, "use fewer matches", errors.ErrUnsupported},
		"fence too high":   {1 << 62, split(traffic.Full), "want less than", errors.ErrUnsupported},
		"highest of fence": {math.MaxUint64, split(traffic.Full), "want less than", errors.ErrUnsupported},
	} {
		err := r.Apply(t.Context(), tt.fence, tt.route)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if now := observe(t, r); !now.Route.Equal(before.Route) || now.Fence != before.Fence {
			t.Errorf("%s: in force is %v", name, now)
		}
	}
	highest := uint64(1<<62 - 1)
	apply(t, r, highest, split(traffic.Full))
	if seen := observe(t, r); seen.Fence != highest {
		t.Errorf("the fence is %d, want %d", seen.Fence, highest)
	}
}

// Whatever stands in the header or the cookie, the match compares all of it.
func TestAnyTextCanBeMatched(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(haproxy.Options{})
	data := &pool{front: s.front}
	t.Cleanup(data.close)
	for i, value := range []string{"a b;c|d,e=f\"'\\", "%41 $HOME #", "ü", strings.Repeat("x", 300), "=", "a=b", ".*", `\k<v>`} {
		route := split(0)
		route.Split.Match = []traffic.Match{{Header: "X-Tester", Value: "other"}, {Header: "X-Preview", Value: value}, {Cookie: "ring"}}
		apply(t, r, uint64(i+1), route) //nolint:gosec // small
		if seen := observe(t, r); !seen.Route.Equal(route) {
			t.Errorf("%q: seen is %+v", value, seen.Route)
		}
		for header, want := range map[string]string{value: "candidate", value + "x": "stable", value[1:]: "stable", "x" + value: "stable"} {
			q := request("X-Preview", header)
			answer, err := data.send(t.Context(), q)
			if err != nil || answer.Arm != want {
				t.Errorf("match on %q: %q was answered by %q (%v), want %q", value, header, answer.Arm, err, want)
			}
		}
	}
}

func TestTheFileFollowsWhatIsInForce(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(s.file())
	if err := os.Chmod(s.config.Map, 0o640); err != nil {
		t.Fatal(err)
	}
	apply(t, r, 3, split(traffic.Percent(25)))
	text, err := os.ReadFile(s.config.Map)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n3:") || !strings.HasSuffix(string(text), " 250000|stable|candidate|-|,\n") {
		t.Errorf("the file says %q", text)
	}
	if info, err := os.Stat(s.config.Map); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v (%v), want it kept", info.Mode(), err)
	}

	// A file that lags is seen, and applying again mends it.
	s.write("route.map", "# older\n")
	if seen := observe(t, r); seen.Evidence != traffic.Written || seen.Fence != 3 {
		t.Errorf("with a file that lags Observe shows %+v, want Written", seen)
	}
	apply(t, r, 3, split(traffic.Percent(25)))
	if seen := observe(t, r); seen.Evidence != traffic.Programmed {
		t.Errorf("after the same Apply Observe shows %+v, want Programmed", seen)
	}

	// The file keeps the fence when somebody clears the map.
	s.must("clear map " + s.config.Map)
	if seen := observe(t, r); !seen.Route.IsZero() || seen.Fence != 0 || seen.Room.Known {
		t.Errorf("of a map that was cleared Observe shows %+v", seen)
	}
	if err := r.Apply(t.Context(), 2, split(0)); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("a stale Apply after the map was cleared: %v, want ErrFenced", err)
	}
	if err := r.Apply(t.Context(), 3, split(0)); !errors.Is(err, traffic.ErrConflict) {
		t.Errorf("another route under the fence of the file: %v, want ErrConflict", err)
	}
	apply(t, r, 3, split(traffic.Percent(25)))

	// A file that cannot be written is an error; the route is in force all the same.
	bad, err := haproxy.New("unix", s.socket, s.config, haproxy.Options{File: filepath.Join(s.dir, "gone", "route.map")})
	if err != nil {
		t.Fatal(err)
	}
	err = bad.Apply(t.Context(), 4, split(traffic.Full))
	if err == nil || !strings.Contains(err.Error(), "options.file") || !strings.Contains(err.Error(), "in force") {
		t.Errorf("Apply with a file that cannot be written: %v", err)
	}
	if seen := observe(t, r); seen.Fence != 4 || seen.Evidence != traffic.Written {
		t.Errorf("Observe shows %+v, want fence 4, which the file lacks", seen)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A map that an operator writes by hand is read, and what stands in it for
// others is left alone.
func TestAForeignEntryIsSeenAndOvertaken(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(haproxy.Options{})
	s.must("add map " + s.config.Map + " 17 unrelated")
	s.must("add map " + s.config.Map + " 0: 500000|stable|candidate|h:X-User|,c:ring,h:X-Preview=eWVz,")
	want := split(traffic.Percent(50))
	want.Split.Sticky.Header = "X-User"
	want.Split.Match = []traffic.Match{{Cookie: "ring"}, {Header: "X-Preview", Value: "yes"}}
	if seen := observe(t, r); !seen.Route.Equal(want) || seen.Fence != 0 || !seen.Room.Known {
		t.Errorf("Observe shows %+v, want %v", seen, want)
	}
	apply(t, r, 1, split(0))
	if seen := observe(t, r); seen.Fence != 1 {
		t.Errorf("Observe shows %+v", seen)
	}
	if text := s.must("show map " + s.config.Map); !strings.Contains(text, " 17 unrelated\n") || strings.Contains(text, " 0: ") {
		t.Errorf("the map is %q", text)
	}
	s.must("add map " + s.config.Map + " 0: 500000|stable|candidate|-|,")
	if seen := observe(t, r); seen.Fence != 1 {
		t.Errorf("an entry behind ours is in force: %+v", seen)
	}

	s.must("clear map " + s.config.Map)
	s.must("add map " + s.config.Map + " 0: 0|stable|nowhere|-|,")
	if seen := observe(t, r); seen.Evidence != traffic.Written || seen.Room.Known {
		t.Errorf("of a route to nowhere Observe shows %+v, want Written and no room", seen)
	}
	if _, err := r.Meter(t.Context()); err == nil {
		t.Error("Meter of a route to nowhere: no error")
	}
	apply(t, r, 2, split(0))
}

func TestRoomIsTheWeightOfReadyServers(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(s *server) {
		good, dead := s.arms["stable"].Address, routertest.FreeAddress(s.t)
		s.more = fmt.Sprintf(`backend mixed
    server a %[1]s weight 30
    server b %[1]s weight 20
    server c %[2]s weight 50 check inter 50 rise 1 fall 1
    server z %[1]s weight 0
    server y %[1]s weight 99 backup
backend dead
    server c %[2]s check inter 50 rise 1 fall 1
backend own
    http-request return status 200
backend backups
    server y %[1]s backup
`, good, dead)
	})
	r := s.router(haproxy.Options{})
	room := func(stable, candidate string) (room traffic.Room) {
		t.Helper()
		route := traffic.Route{Arms: traffic.Arms{Stable: stable, Candidate: candidate}}
		apply(t, r, observe(t, r).Fence+1, route)
		return observe(t, r).Room
	}
	routertest.Eventually(t, "checks to fail", func() error {
		if got, want := room("mixed", "dead"), (traffic.Room{Known: true, Stable: traffic.Percent(50)}); got != want {
			return fmt.Errorf("room is %+v, want %+v", got, want)
		}
		return nil
	})
	s.must("set server mixed/b state drain")
	if got, want := room("mixed", "own"), (traffic.Room{Known: true, Stable: traffic.Percent(30), Candidate: traffic.Full}); got != want {
		t.Errorf("room with a server drained is %+v, want %+v", got, want)
	}
	s.must("set server mixed/a state maint")
	if got, want := room("mixed", "backups"), (traffic.Room{Known: true, Stable: 0, Candidate: traffic.Full}); got != want {
		t.Errorf("room with none but a backup is %+v, want %+v", got, want)
	}
}
