// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain is the program itself when a test starts it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("RHEOSTAT_TEST_PROXY") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// running is the program under way.
type running struct {
	admin, observe, front string
	leave                 func() // as SIGTERM does
	code                  func() int
	told                  *lines
}

// lines is what a program tells, which several goroutines write and read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the program in this process, on ports of its own.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	var stdout, stderr lines
	ended := make(chan int, 1)
	go func() {
		ended <- command(ctx, append([]string{"-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-observe", "127.0.0.1:0"}, args...), &stdout, &stderr)
	}()
	r := &running{leave: leave, told: &stderr}
	r.code = func() int {
		select {
		case code := <-ended:
			return code
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
		return -1
	}
	r.find(t, &stdout)
	return r
}

// find waits until the program has said where it listens.
func (r *running) find(t *testing.T, out *lines) {
	t.Helper()
	within(t, "the program listens", func() bool {
		for at, to := range map[string]*string{"admin: ": &r.admin, "observe: ": &r.observe, "listen: ": &r.front} {
			for line := range strings.Lines(out.String()) {
				if address, ok := strings.CutPrefix(line, at); ok && strings.HasSuffix(line, "\n") {
					*to = "http://" + strings.TrimSpace(address)
				}
			}
		}
		return r.admin != "" && r.observe != "" && r.front != ""
	})
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came about: %s", what)
		}
	}
}

// service is an arm's backend.
func service(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return s.URL
}

// do makes a request and returns what came.
func do(t *testing.T, method, url, body string, edit func(*http.Request)) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(all)
}

// wants makes a request and wants this code, and this in the answer.
func wants(t *testing.T, method, url, body string, code int, word string) {
	t.Helper()
	if got, text := do(t, method, url, body, nil); got != code || !strings.Contains(text, word) {
		t.Errorf("%s %s %s: %d %s, want %d with %q", method, url, body, got, text, code, word)
	}
}

func route(fence int, stable, candidate, weight string) string {
	return fmt.Sprintf(`{"fence": %d, "route": {"arms": {"stable": %q, "candidate": %q}, "split": {"candidate": %q}}}`, fence, stable, candidate, weight)
}

func TestAReleaseByCurl(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "route.json")
	flags := []string{"-arm", "v1=" + service(t, "v1") + "," + service(t, "v1"), "-arm", "v2=" + service(t, "v2"), "-default", "v1", "-state", state}
	p := start(t, flags...)
	wants(t, http.MethodGet, p.front, "", http.StatusOK, "v1")
	wants(t, http.MethodGet, p.observe+"/readyz", "", http.StatusOK, "ready")
	wants(t, http.MethodPost, p.admin+"/arms/v1/drain", "", http.StatusConflict, "sends v1 requests")
	wants(t, http.MethodPut, p.admin+"/route", route(3, "v1", "v2", "100%"), http.StatusOK, `"weight": "100%"`)
	wants(t, http.MethodGet, p.front, "", http.StatusOK, "v2")
	wants(t, http.MethodPost, p.admin+"/arms/v1/drain?timeout=10s", "", http.StatusOK, `"inFlight": 0`)
	wants(t, http.MethodDelete, p.admin+"/arms/v1", "", http.StatusConflict, "the route in force names it")

	// The next version comes, and the first goes.
	wants(t, http.MethodPut, p.admin+"/arms/v3", fmt.Sprintf(`{"backends": [%q]}`, service(t, "v3")), http.StatusOK, `"v3"`)
	mirror := `{"fence": 4, "route": {"arms": {"stable": "v2", "candidate": "v3"}, "split": {"candidate": "0%", "mirror": "100%"}}}`
	wants(t, http.MethodPut, p.admin+"/route", mirror, http.StatusOK, `"mirror": "100%"`)
	wants(t, http.MethodPost, p.admin+"/arms/v3/drain", "", http.StatusConflict, "sends v3 requests")
	wants(t, http.MethodDelete, p.admin+"/arms/v1", "", http.StatusOK, `"fence": 4`)
	wants(t, http.MethodGet, p.front, "", http.StatusOK, "v2")
	within(t, "a copy is counted", func() bool {
		_, text := do(t, http.MethodGet, p.observe+"/metrics", "", nil)
		return strings.Contains(text, `rheostat_proxy_copies_total{arm="v3",outcome="answered"} 1`)
	})
	_, text := do(t, http.MethodGet, p.admin, "", nil)
	var s status
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Arms["v2"].Requests != 2 || len(s.Arms["v3"].Backends) != 1 || s.Arms["v3"].Copies.Requests != 1 {
		t.Errorf("%v, status %s", err, text)
	}
	wants(t, http.MethodPut, p.admin+"/route", route(5, "v2", "v3", "0%"), http.StatusOK, `"fence": 5`)
	p.leave()
	if code := p.code(); code != 0 {
		t.Errorf("status %d: %s", code, p.told)
	}

	// The route outlives it, and needs its arms.
	var stderr lines
	if code := command(t.Context(), append([]string{"-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, flags...), io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), `no arm "v3"`) {
		t.Errorf("without the route's arm: status %d, %s", code, &stderr)
	}
	again := start(t, append(flags, "-arm", "v3="+service(t, "v3"))...)
	wants(t, http.MethodGet, again.admin, "", http.StatusOK, `"fence": 5`)
	wants(t, http.MethodPut, again.admin+"/route", route(4, "v2", "v3", "50%"), http.StatusConflict, "fence 4 after 5")
}

func TestOrdersThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	p := start(t, "-arm", "v1="+service(t, "v1"), "-arm", "v2="+service(t, "v2"))
	wants(t, http.MethodGet, p.observe+"/readyz", "", http.StatusServiceUnavailable, "no route")
	wants(t, http.MethodPut, p.admin+"/route", route(7, "v1", "v2", "5%"), http.StatusOK, `"weight": "95%"`)
	wants(t, http.MethodGet, p.admin+"/readyz", "", http.StatusOK, "ready")
	for _, tt := range []struct {
		method, path, body string
		code               int
		word               string
	}{
		{http.MethodPut, "/route", route(6, "v1", "v2", "5%"), http.StatusConflict, "fence 6 after 7"},
		{http.MethodPut, "/route", route(7, "v1", "v2", "6%"), http.StatusConflict, "fence 7, which was used"},
		{http.MethodPut, "/route", route(7, "v1", "v2", "5%"), http.StatusOK, `"fence": 7`},
		{http.MethodPut, "/route", route(8, "v1", "v9", "5%"), http.StatusBadRequest, "arms.candidate: "},
		{http.MethodPut, "/route", route(8, "v1", "", "5%"), http.StatusBadRequest, "arms.candidate: "},
		{http.MethodPut, "/route", route(8, "v1", "v2", "500%"), http.StatusBadRequest, "route.split.candidate: "},
		{http.MethodPut, "/route", strings.Replace(route(8, "v1", "v2", "5%"), `"5%"`, "5", 1), http.StatusBadRequest, "route.split.candidate"},
		{http.MethodPut, "/route", strings.Replace(route(8, "v1", "v2", "5%"), `"split"`, `"spilt"`, 1), http.StatusBadRequest, "spilt"},
		{http.MethodPut, "/route", `{"route": {"arms": {"stable": "v1", "candidate": "v2"}, "split": {"candidate": "0%"}}}`, http.StatusBadRequest, "fence: "},
		{http.MethodPut, "/route", `{"fence": 8}`, http.StatusBadRequest, "route: "},
		{http.MethodPut, "/route", `{"fence": -8}`, http.StatusBadRequest, "fence"},
		{http.MethodPut, "/route", `nonsense`, http.StatusBadRequest, "the body: "},
		{http.MethodPut, "/route", strings.Repeat(" ", maxOrder+1), http.StatusBadRequest, "too large"},
		{http.MethodPost, "/route", "", http.StatusMethodNotAllowed, ""},
		{http.MethodPut, "/arms/v3", `{"backends": ["ftp://a"]}`, http.StatusBadRequest, "want http, https or h2c"},
		{http.MethodPut, "/arms/v3", `{"backends": ["http://u:secret@a\u0000"]}`, http.StatusBadRequest, "backends[0]: not a URL"},
		{http.MethodPut, "/arms/v3", `{"backends": []}`, http.StatusBadRequest, "give it a backend"},
		{http.MethodDelete, "/arms/v3", "", http.StatusNotFound, `known are ["v1" "v2"]`},
		{http.MethodPost, "/arms/v3/drain", "", http.StatusNotFound, `no arm "v3"`},
		{http.MethodPost, "/arms/v1/drain?timeout=soon", "", http.StatusBadRequest, "timeout: "},
	} {
		wants(t, tt.method, p.admin+tt.path, tt.body, tt.code, tt.word)
	}
	wants(t, http.MethodGet, p.admin, "", http.StatusOK, `"fence": 7`)
	wants(t, http.MethodPut, p.observe+"/route", route(9, "v1", "v2", "0%"), http.StatusNotFound, "")
}

func TestOrdersComeFromThisMachineAlone(t *testing.T) {
	t.Parallel()
	p := start(t, "-arm", "v1="+service(t, "v1"))
	for name, edit := range map[string]func(*http.Request){
		"a page of another site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"an old browser":         func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a name that was bent":   func(r *http.Request) { r.Host = "evil.example" },
	} {
		if code, _ := do(t, http.MethodPut, p.admin+"/arms/v2", `{"backends":["http://127.0.0.1:1"]}`, edit); code != http.StatusForbidden {
			t.Errorf("%s: %d, want %d", name, code, http.StatusForbidden)
		}
	}
	wants(t, http.MethodGet, p.admin, "", http.StatusOK, `"v1"`)
	if _, text := do(t, http.MethodGet, p.admin, "", nil); strings.Contains(text, `"v2"`) {
		t.Errorf("an order of a stranger was obeyed: %s", text)
	}
}

func TestFlagsThatAreWrongAreStatus2(t *testing.T) {
	t.Parallel()
	arm := "v1=http://127.0.0.1:1"
	for want, args := range map[string][]string{
		"-arm: give at least one":         {},
		"want name=URL":                   {"-arm", "v1"},
		"there twice":                     {"-arm", arm, "-arm", arm},
		"there are only flags":            {"-arm", arm, "now"},
		"-admin 0.0.0.0:9: only loopback": {"-arm", arm, "-admin", "0.0.0.0:9"},
		"-admin :9: only loopback":        {"-arm", arm, "-admin", ":9"},
		"give both or none":               {"-arm", arm, "-cert", "cert.pem"},
		"want no time below 0":            {"-arm", arm, "-drain", "-1s"},
		"want no limit below 0":           {"-arm", arm, "-max-body", "-1"},
		"-max-in-flight: want no limit":   {"-arm", arm, "-max-in-flight", "-1"},
	} {
		var stderr lines
		if code := command(t.Context(), args, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: status %d with %s, want 2 with %q", args, code, &stderr, want)
		}
	}
	var stderr lines
	if code := command(t.Context(), []string{"-arm", "v1=ftp://a"}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "want http, https or h2c") {
		t.Errorf("a backend that is none: status %d with %s", code, &stderr)
	}
}

func TestRequestsThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t, "-arm", "v1="+service(t, "v1"), "-max-body", "10", "-max-header", "1000")
	wants(t, http.MethodPost, p.front, "as it may", http.StatusOK, "v1")
	wants(t, http.MethodPost, p.front, "more than it may", http.StatusRequestEntityTooLarge, "")
	if code, _ := do(t, http.MethodGet, p.front, "", func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", 10_000)) }); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header: %d, want %d", code, http.StatusRequestHeaderFieldsTooLarge)
	}
}

func TestTooManyAtOnceAreRefusedAndEachIsInTheLog(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer }))
	defer backend.Close()
	file := filepath.Join(t.TempDir(), "access.json")
	p := start(t, "-arm", "v1="+backend.URL, "-max-in-flight", "1", "-access-log", file)
	first := make(chan int, 1)
	go func() {
		code, _ := do(t, http.MethodGet, p.front+"/first?token=secret", "", nil)
		first <- code
	}()
	<-arrived
	wants(t, http.MethodGet, p.front+"/second", "", http.StatusServiceUnavailable, "1 requests are under way")
	close(answer)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first request: %d", code)
	}
	p.leave()
	if code := p.code(); code != 0 {
		t.Errorf("status %d: %s", code, p.told)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var l struct {
			Path, Arm, Backend, Client string
			Status                     int
			Total                      float64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got[l.Path] = l.Status
		if l.Client == "" || l.Total <= 0 || l.Status == http.StatusOK && (l.Arm != "v1" || "http://"+l.Backend != backend.URL) {
			t.Errorf("%+v", l)
		}
	}
	if len(got) != 2 || got["/first"] != http.StatusOK || got["/second"] != http.StatusServiceUnavailable || strings.Contains(string(text), "secret") {
		t.Errorf("the log has %s", text)
	}
	var stderr lines
	if code := command(t.Context(), []string{"-arm", "v1=" + backend.URL, "-access-log", t.TempDir()}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "-access-log: ") {
		t.Errorf("a log that is a folder: status %d with %s", code, &stderr)
	}
}

// TestSIGTERMLetsRequestsEnd holds a request and a joined connection under way in
// a process that is asked to go.
func TestSIGTERMLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}, 2), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		if r.Header.Get("Upgrade") != "" {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, line)
			_ = rw.Flush()
			return
		}
		<-answer
		fmt.Fprint(w, "late but whole")
	}))
	defer backend.Close()

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-observe", "127.0.0.1:0", "-arm", "v1="+backend.URL, "-drain", "20s")
	cmd.Env = append(os.Environ(), "RHEOSTAT_TEST_PROXY=1")
	var stdout, stderr lines
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }() // it has ended, unless the test failed
	var p running
	p.find(t, &stdout)

	conn, err := net.Dial("tcp", strings.TrimPrefix(p.front, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	joined := bufio.NewReader(conn)
	if res, err := http.ReadResponse(joined, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	got := make(chan string, 1)
	go func() {
		_, text := do(t, http.MethodGet, p.front, "", nil)
		got <- text
	}()
	<-arrived
	<-arrived
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "it is ready no more", func() bool {
		code, _ := do(t, http.MethodGet, p.observe+"/readyz", "", nil)
		return code == http.StatusServiceUnavailable
	})
	within(t, "no connection is taken", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.front, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, "still here\n")
	if line, err := joined.ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("the joined connection: %q, %v", line, err)
	}
	_ = conn.Close()
	close(answer)
	if text := <-got; text != "late but whole" {
		t.Errorf("the request under way got %q", text)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &stderr)
	}
}

func TestWhatDoesNotEndIsCutOffAtTheDeadline(t *testing.T) {
	t.Parallel()
	arrived, stop := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-stop }))
	defer backend.Close()
	defer close(stop)
	p := start(t, "-arm", "v1="+backend.URL, "-drain", "20ms")
	go func() {
		if res, err := http.Get(p.front); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-arrived
	p.leave()
	if code := p.code(); code != 1 || !strings.Contains(p.told.String(), `1 requests are under way to "v1"`) {
		t.Errorf("status %d: %s; want 1, and how many were cut off", code, p.told)
	}
}
