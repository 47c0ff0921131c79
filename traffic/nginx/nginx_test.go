// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/nginx"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

var arms = traffic.Arms{Stable: "stable", Candidate: "candidate"}

func to(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
}

func TestCapsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	caps := func(o nginx.Options) traffic.Caps {
		r, err := nginx.New("/etc/nginx/route.conf", o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Caps()
	}
	routertest.Caps(t,
		routertest.Row{Router: "traffic/nginx", Note: "include and reload", Caps: caps(nginx.Options{Status: "127.0.0.1:9180"})},
		routertest.Row{Router: "traffic/nginx", Note: "without a status", Caps: caps(nginx.Options{})},
	)
}

func TestNewNamesWhatCannotBeRight(t *testing.T) {
	t.Parallel()
	for want, tt := range map[string]struct {
		include string
		o       nginx.Options
	}{
		`include: ""`:                     {"", nginx.Options{}},
		`include: "route.conf"`:           {"route.conf", nginx.Options{}},
		`include: "/a b"`:                 {"/a b", nginx.Options{}},
		"options.variable":                {"/a", nginx.Options{Variable: "$x"}},
		"options.reload":                  {"/a", nginx.Options{Reload: []string{"x"}, PIDFile: "/p"}},
		"worker_shutdown":                 {"/a", nginx.Options{WorkerShutdown: -1}},
		`options.status: "x"`:             {"/a", nginx.Options{Status: "x"}},
		`options.status: "unix:x"`:        {"/a", nginx.Options{Status: "unix:x"}},
		`options.status: "127.0.0.1:;"`:   {"/a", nginx.Options{Status: "127.0.0.1:;"}},
		`options.status: "a;b:80"`:        {"/a", nginx.Options{Status: "a;b:80"}},
		`options.status: "127.0.0.1:htt"`: {"/a", nginx.Options{Status: "127.0.0.1:htt"}},
	} {
		if _, err := nginx.New(tt.include, tt.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want %q", err, want)
		}
	}
}

// eventuallySeen waits until the router shows the route with that evidence.
func eventuallySeen(t *testing.T, r *nginx.Router, want traffic.Route, e traffic.Evidence) traffic.Seen {
	t.Helper()
	var seen traffic.Seen
	routertest.Eventually(t, fmt.Sprintf("%v to be %v", want, e), func() (err error) {
		seen, err = r.Observe(t.Context())
		if err == nil && (!seen.Route.Equal(want) || seen.Evidence != e) {
			err = fmt.Errorf("it is %v (%v)", seen.Route, seen.Evidence)
		}
		return err
	})
	return seen
}

func apply(t *testing.T, r *nginx.Router, fence uint64, route traffic.Route) {
	t.Helper()
	if err := r.Apply(t.Context(), fence, route); err != nil {
		t.Fatal(err)
	}
}

// refused applies what must fail, and wants the include as it was.
func (s *server) refused(t *testing.T, r *nginx.Router, fence uint64, route traffic.Route, want ...string) {
	t.Helper()
	before := s.read(s.include)
	err := r.Apply(t.Context(), fence, route)
	if err == nil {
		t.Fatalf("Apply of %v: no error", route)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("Apply: %v, want %q in it", err, w)
		}
	}
	if after := s.read(s.include); after != before {
		t.Errorf("the include was\n%s\nand is\n%s", before, after)
	}
}

func TestAConfigurationThatIsBrokenElsewhereLeavesTheOldRoute(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	apply(t, r, 1, to(traffic.Full))
	eventuallySeen(t, r, to(traffic.Full), traffic.Programmed)
	conf := s.read(s.conf)
	s.write(s.conf, conf+"lisen 80;\n")
	s.refused(t, r, 2, to(0), `unknown directive "lisen"`, s.conf)
	eventuallySeen(t, r, to(traffic.Full), traffic.Programmed)
	send, end := s.sender()
	defer end()
	if answer, err := send(t.Context(), traffictest.Request{}); err != nil || answer.Arm != "candidate" {
		t.Errorf("the old route does not serve: %v, %v", answer, err)
	}
	s.write(s.conf, conf)
	apply(t, r, 2, to(0))
	eventuallySeen(t, r, to(0), traffic.Programmed)
}

func TestARouteThatWouldLeadNowhereIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	gone := to(traffic.Full / 2)
	gone.Arms.Candidate = "gone"
	s.refused(t, r, 1, gone, `arms.candidate: nginx has no upstream "gone"`)
	gone.Split.Candidate = 0
	apply(t, r, 1, gone) // the way home does not need the candidate
	gone.Arms = traffic.Arms{Stable: "gone", Candidate: "candidate"}
	s.refused(t, r, 2, gone, `arms.stable: nginx has no upstream "gone"`)

	conf := s.read(s.conf)
	text := strings.Replace(conf, "include "+s.include+";", "", 1)
	text = strings.Replace(text, "$rheostat_arm_generation", "", 1)
	s.write(s.conf, strings.Replace(text, "http://$rheostat_arm;", "http://stable;", 1))
	s.refused(t, r, 2, to(traffic.Full), "nginx does not read it")
}

func TestAReloadThatIsNotTakenLeavesTheOldInclude(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stale := filepath.Join(s.dir, "stale")
	for _, tt := range []struct {
		o    nginx.Options
		want string
	}{
		{nginx.Options{Reload: []string{"false"}}, "reload: false: exit status 1"},
		{nginx.Options{Reload: []string{"sh", "-c", "echo so it is >&2; exit 3"}}, "exit status 3: so it is"},
		{nginx.Options{Reload: []string{"/missing"}}, "/missing"},
		{nginx.Options{Reload: []string{"sleep", "60"}, Timeout: 2 * time.Second}, "not done after 2s"},
		{nginx.Options{Test: []string{"false"}}, "the configuration is refused"},
		{nginx.Options{PIDFile: "/missing"}, "options.pid_file: open /missing"},
		{nginx.Options{PIDFile: s.include}, "holds no process id"},
		{nginx.Options{PIDFile: stale}, "is no master process"},
	} {
		s.write(stale, fmt.Sprint(os.Getpid()))
		s.refused(t, s.router(tt.o), 1, to(traffic.Full), tt.want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	before := s.read(s.include)
	if err := s.router(nginx.Options{Reload: []string{"sleep", "60"}}).Apply(ctx, 1, to(traffic.Full)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Apply under a deadline: %v", err)
	}
	if s.read(s.include) != before {
		t.Error("the include has changed")
	}
}

func TestAnEditByHandIsForeignAndNotInForceBeforeAReload(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	apply(t, r, 5, to(traffic.Full/4))
	if seen := eventuallySeen(t, r, to(traffic.Full/4), traffic.Programmed); seen.Fence != 5 {
		t.Errorf("the fence is %d, want 5", seen.Fence)
	}
	ours := s.read(s.include)
	s.write(s.include, strings.Replace(ours, "25.00%", "50%", 1))
	if seen := eventuallySeen(t, r, to(traffic.Full/2), traffic.Written); seen.Fence != 0 {
		t.Errorf("the fence of an edit is %d, want 0", seen.Fence)
	}
	if err := r.Apply(t.Context(), 4, to(0)); !errors.Is(err, traffic.ErrFenced) {
		t.Errorf("a stale Apply after an edit: %v", err)
	}
	apply(t, r, 5, to(traffic.Full/4))
	eventuallySeen(t, r, to(traffic.Full/4), traffic.Programmed)
	if s.read(s.include) != ours {
		t.Error("the edit was not put back")
	}

	s.write(s.include, strings.Replace(ours, "\"fence\":5", "\"fence\":1", 1))
	s.refused(t, r, 9, to(0), "the line with the fence is damaged")
	if _, err := r.Observe(t.Context()); err == nil {
		t.Error("Observe of a damaged fence: no error")
	}
	first, rest, _ := strings.Cut(ours, "\n")
	s.write(s.include, first+"\nserver { listen 1; }\n"+rest)
	if _, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), `"server"`) {
		t.Errorf("Observe of what is no route: %v", err)
	}
	apply(t, r, 6, to(0)) // it is ours, whatever somebody made of it
	eventuallySeen(t, r, to(0), traffic.Programmed)
}

func TestTheFileOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	s.write(s.include, "gzip on;\n")
	s.refused(t, r, 1, to(0), "empty it to hand it over")
	s.write(s.include, "\n")
	apply(t, r, 1, to(0))
	eventuallySeen(t, r, to(0), traffic.Programmed)
}

func TestALinkStaysALink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	behind := filepath.Join(s.dir, "behind")
	if err := errors.Join(os.Rename(s.include, behind), os.Symlink(behind, s.include)); err != nil {
		t.Fatal(err)
	}
	r := s.router(s.asked())
	apply(t, r, 1, to(traffic.Full))
	eventuallySeen(t, r, to(traffic.Full), traffic.Programmed)
	if at, err := os.Readlink(s.include); err != nil || at != behind {
		t.Errorf("the link leads to %q: %v", at, err)
	}
}

// counted is a reload that leaves a line in a file.
func (s *server) counted(file string) []string {
	return append([]string{"sh", "-c", `echo >>` + file + `; "$@"`, "reload"}, s.args("-s", "reload")...)
}

func TestNginxIsReloadedOnlyWhenItMust(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, o := range []nginx.Options{{}, s.asked()} {
		s.begin()
		file := filepath.Join(t.TempDir(), "reloads")
		o.Reload = s.counted(file)
		r := s.router(o)
		for n, tt := range []struct {
			fence   uint64
			route   traffic.Route
			reloads int
		}{
			{1, to(traffic.Full / 4), 1},
			{1, to(traffic.Full / 4), 1}, // the same again
			{2, to(traffic.Full / 4), 1}, // only a higher fence
			{3, to(traffic.Full / 2), 2},
		} {
			apply(t, r, tt.fence, tt.route)
			if got := strings.Count(s.read(file), "\n"); got != tt.reloads {
				t.Errorf("after Apply %d: %d reloads, want %d", n+1, got, tt.reloads)
			}
			eventuallySeen(t, r, tt.route, r.Caps().Evidence)
			// An old worker that still answers is a reason to tell nginx once more.
			routertest.Eventually(t, "the old workers to go", s.handedOver)
		}
	}
}

// TestMain lets the test be a process that dies in the middle of an Apply.
func TestMain(m *testing.M) {
	if args := os.Getenv("NGINX_TEST_APPLY"); args != "" {
		dies(strings.Split(args, "\n"))
	}
	os.Exit(m.Run())
}

// dies applies with a command that kills this process when its turn comes.
func dies(args []string) {
	fatal := []string{"sh", "-c", "kill -9 $PPID; sleep 1"}
	o := nginx.Options{Status: args[1], Test: args[3:], Reload: fatal}
	if args[2] == "test" {
		o.Test = fatal
	}
	r, err := nginx.New(args[0], o)
	if err == nil {
		err = r.Apply(context.Background(), 7, to(traffic.Full))
	}
	fmt.Println("it lives:", err)
	os.Exit(1)
}

func TestAWriterThatIsKilledIsMadeGoodByTheSameApply(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, o := range []nginx.Options{s.asked(), {}} {
		for _, when := range []string{"test", "reload"} {
			s.begin()
			if err := s.reload(); err != nil {
				t.Fatal(err)
			}
			r := s.router(o)
			apply(t, r, 1, to(0))
			eventuallySeen(t, r, to(0), r.Caps().Evidence)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "NGINX_TEST_APPLY="+strings.Join(append([]string{s.include, o.Status, when}, s.args("-T")...), "\n"))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the writer was not killed: %v %s", err, out)
			}
			// The route is written, and nginx has not been told.
			if seen := eventuallySeen(t, r, to(traffic.Full), traffic.Written); seen.Fence != 7 {
				t.Errorf("killed at the %s, the fence is %d, want 7", when, seen.Fence)
			}
			apply(t, r, 7, to(traffic.Full))
			eventuallySeen(t, r, to(traffic.Full), r.Caps().Evidence)
			send, end := s.sender()
			routertest.Eventually(t, "the candidate to answer", func() error {
				defer end()
				answer, err := send(t.Context(), traffictest.Request{})
				if err == nil && answer.Arm != "candidate" {
					err = errors.New(answer.Arm)
				}
				return err
			})
		}
	}
}

func TestMatchesAreExact(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	route := to(0)
	odd := `";} $uri \ #.*é`
	route.Split.Match = []traffic.Match{
		{Header: "X-Odd", Value: odd},
		{Header: "X-Case", Value: "Yes"},
		{Query: "q", Value: "a b&c=d/é+%"},
		{Cookie: "c", Value: "a.b"},
	}
	apply(t, r, 1, route)
	eventuallySeen(t, r, route, traffic.Programmed)
	time.Sleep(r.Caps().Lag)
	send, end := s.sender()
	defer end()
	for _, tt := range []struct {
		request traffictest.Request
		want    string
	}{
		{traffictest.Request{Header: map[string]string{"X-Odd": odd}}, "candidate"},
		{traffictest.Request{Header: map[string]string{"X-Odd": odd + "x"}}, "stable"},
		{traffictest.Request{Header: map[string]string{"X-Odd": `";} $uri \ #xé`}}, "stable"},
		{traffictest.Request{Header: map[string]string{"x-case": "Yes"}}, "candidate"},
		{traffictest.Request{Header: map[string]string{"X-Case": "yes"}}, "stable"},
		{traffictest.Request{Query: map[string]string{"q": "a b&c=d/é+%"}}, "candidate"},
		{traffictest.Request{Query: map[string]string{"q": "a b&c=d/é %"}}, "stable"},
		{traffictest.Request{Cookie: map[string]string{"c": "a.b"}}, "candidate"},
		{traffictest.Request{Cookie: map[string]string{"c": "aXb"}}, "stable"},
	} {
		if answer, err := send(t.Context(), tt.request); err != nil || answer.Arm != tt.want {
			t.Errorf("%+v: %q (%v), want %s", tt.request, answer.Arm, err, tt.want)
		}
	}
}

func TestAReloadWhoseReplyWasLostIsNotTakenForNone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	deaf, loaded := filepath.Join(s.dir, "deaf"), filepath.Join(s.dir, "loaded")
	script := fmt.Sprintf(`"$@"; test -e %s || exit 0; until test -e %s; do sleep 0.02; done; exit 1`, deaf, loaded)
	r := s.router(nginx.Options{Reload: append([]string{"sh", "-c", script, "reload"}, s.args("-s", "reload")...)})
	apply(t, r, 1, to(0))
	routertest.Eventually(t, "nginx to have the first route", s.has)
	s.write(deaf, "")
	var watching sync.WaitGroup
	watching.Go(func() {
		routertest.Eventually(t, "nginx to have the second", func() error {
			if text := s.read(s.include); !strings.Contains(text, `"fence":2`) {
				return errors.New("it is not written")
			}
			return s.has()
		})
		s.write(loaded, "")
	})
	s.refused(t, r, 2, to(traffic.Full), "reload: sh: exit status 1")
	watching.Wait()
	if err := os.Remove(deaf); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the old workers to go", s.handedOver)
	// nginx has loaded what was taken back, and only the lock file knows of it.
	if s.has() == nil {
		t.Fatal("nginx has the first route, and nothing is tried")
	}
	apply(t, r, 1, to(0))
	routertest.Eventually(t, "nginx to have the first route again", s.has)
}

// has reports whether a worker has the include that is on disk.
func (s *server) has() error {
	answer, err := s.status()
	if err != nil {
		return err
	}
	generation, _ := strings.CutPrefix(strings.TrimSpace(answer), "rheostat ")
	if generation == "" || !strings.Contains(s.read(s.include), `"`+generation+`"`) {
		return fmt.Errorf("it has %q", answer)
	}
	return nil
}

func TestProbesProveAShare(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.router(s.asked())
	send, end := s.sender()
	defer end()
	probe := func(ctx context.Context) (string, error) {
		answer, err := send(ctx, traffictest.Request{})
		return answer.Arm, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for fence, w := range []traffic.Weight{traffic.Full / 4, traffic.Full, 0} {
		apply(t, r, uint64(fence+1), to(w)) //nolint:gosec // small
		proof, err := traffic.Verify(ctx, r, to(w), traffic.VerifyOptions{Probe: probe, Every: 10 * time.Millisecond})
		if err != nil || proof.Evidence != traffic.Effective {
			t.Errorf("%v: %v", proof, err)
		}
	}
}
