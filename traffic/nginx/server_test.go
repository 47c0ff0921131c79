// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/nginx"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// What the private nginx and the routers over it agree on.
const (
	shutdown = 100 * time.Millisecond
	handover = 400 * time.Millisecond
)

// server is a private nginx, with its arms.
type server struct {
	t       *testing.T
	dir     string
	conf    string
	include string
	socket  string // of the status
	front   string // host:port of the data plane
	arms    map[string]*routertest.Arm
	cmd     *exec.Cmd
}

// newServer starts one with two arms.
func newServer(t *testing.T) *server {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		if os.Getenv("RHEOSTAT_REAL") == "1" {
			t.Fatal("nginx is not installed, and RHEOSTAT_REAL wants it")
		}
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	s := &server{t: t, dir: dir, front: routertest.FreeAddress(t), arms: map[string]*routertest.Arm{}}
	s.conf, s.include, s.socket = filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "route.conf"), filepath.Join(dir, "s")
	for _, name := range []string{"stable", "candidate"} {
		s.arms[name] = routertest.NewArm(t, name)
	}
	s.configure("")
	s.begin()
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			said, _ := os.ReadFile(s.log())
			t.Logf("nginx said:\n%s", said[max(0, len(said)-4000):])
		}
	})
	return s
}

func (s *server) log() string { return filepath.Join(s.dir, "error.log") }
func (s *server) pid() string { return filepath.Join(s.dir, "pid") }

func (s *server) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) read(path string) string {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// configure writes nginx.conf around what Config prints.
func (s *server) configure(more string) {
	s.t.Helper()
	parts := strings.Split(s.router(nginx.Options{Status: "unix:" + s.socket}).Config(), "\n\n")
	if len(parts) != 3 {
		s.t.Fatalf("Config has %d parts, want 3", len(parts))
	}
	var b strings.Builder
	b.WriteString("# ours\n")
	if os.Geteuid() == 0 {
		b.WriteString("user root;\n") // the workers' folder is root's
	}
	fmt.Fprintf(&b, "%s\nworker_processes 2;\npid %s;\nevents { worker_connections 1024; }\nhttp {\naccess_log off;\n", parts[0], s.pid())
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s;\n", kind, filepath.Join(s.dir, kind))
	}
	for name, a := range s.arms {
		fmt.Fprintf(&b, "upstream %s { server %s; keepalive 16; }\n", name, a.Address)
	}
	fmt.Fprintf(&b, "# upstream gone { server 127.0.0.1:1; }\n%s\n%s\n", parts[1], more)
	fmt.Fprintf(&b, "server {\nlisten %s;\nlocation / {\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n%s}\n}\n}\n", s.front, parts[2])
	s.write(s.conf, b.String())
}

// begin puts back the include that sends all to stable.
func (s *server) begin() {
	s.t.Helper()
	text, err := s.router(nginx.Options{}).Initial("stable")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.include, text)
	if err := os.RemoveAll(s.include + ".lock"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) args(more ...string) []string {
	return append([]string{"nginx", "-p", s.dir, "-c", s.conf, "-e", s.log()}, more...)
}

func (s *server) start() {
	s.t.Helper()
	_ = os.Remove(s.socket) // a killed nginx leaves it, and the next cannot listen
	args := s.args("-g", "daemon off;")
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	routertest.Eventually(s.t, "nginx to start", func() error {
		if _, err := os.Stat(s.pid()); err != nil {
			return err
		}
		_, err := s.status()
		return err
	})
}

// kill ends nginx the hard way, its workers too.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	_ = os.Remove(s.pid())
}

// handedOver is nil once nginx has as many workers as it is configured to have.
func (s *server) handedOver() error {
	text, err := exec.Command("pgrep", "-c", "-P", strconv.Itoa(s.cmd.Process.Pid)).Output()
	if err != nil {
		return fmt.Errorf("pgrep: %w", err)
	}
	if n := strings.TrimSpace(string(text)); n != "2" {
		return fmt.Errorf("nginx has %s workers", n)
	}
	return nil
}

// status is what the status server answers.
func (s *server) status() (string, error) {
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /rheostat_arm HTTP/1.0\r\n\r\n")
	text, err := io.ReadAll(conn)
	_, body, _ := strings.Cut(string(text), "\r\n\r\n")
	return body, err
}

// router is one over this nginx; what o leaves open is as tests need it.
func (s *server) router(o nginx.Options) *nginx.Router {
	s.t.Helper()
	if o.Test == nil {
		o.Test = s.args("-T")
	}
	if o.Reload == nil && o.PIDFile == "" {
		o.Reload = s.args("-s", "reload")
	}
	o.WorkerShutdown, o.Handover = shutdown, handover
	r, err := nginx.New(s.include, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *server) asked() nginx.Options { return nginx.Options{Status: "unix:" + s.socket} }

// reload is what somebody does by hand. It returns when a new worker answers.
func (s *server) reload() error {
	args := s.args("-s", "reload")
	text, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// foreign is another tool that writes routes of this shape, and leaves alone the
// line that it does not know.
func (s *server) foreign(r traffic.Route) error {
	text, err := os.ReadFile(s.include)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	share := ""
	rest := "stable"
	switch w := r.Split.Candidate; w {
	case 0:
	case traffic.Full:
		rest = "candidate"
	default:
		share = fmt.Sprintf("    %d.%02d%% \"candidate\";\n", w/10000, w/100%100)
	}
	body := fmt.Sprintf("map $rheostat_arm_side $rheostat_arm {\n    default %q;\n    \"candidate\" %q;\n}\n", r.Arms.Stable, r.Arms.Candidate) +
		fmt.Sprintf("split_clients $request_id $rheostat_arm_side {\n%s    * %q;\n}\n", share, rest)
	sum := sha256.Sum256([]byte(body))
	s.write(s.include, fmt.Sprintf("%s\nmap $pid $rheostat_arm_generation { default %x; }\n%s", first, sum[:16], body))
	return s.reload()
}

// sender is a client as most are: it keeps connections, and asks once more what
// may be asked twice when one that was idle turns out to be closed.
func (s *server) sender() (send func(context.Context, traffictest.Request) (traffictest.Answer, error), end func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	return func(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
		req, err := routertest.NewRequest(ctx, http.MethodGet, s.front, q)
		if err != nil {
			return traffictest.Answer{}, err
		}
		res, err := transport.RoundTrip(req) //nolint:bodyclose // ReadAnswer closes it
		if err != nil {
			return traffictest.Answer{}, err
		}
		return routertest.ReadAnswer(res)
	}, transport.CloseIdleConnections
}
