// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
)

// The least there is: a part per million of the frontend's requests, without
// names that a route may look at.
func ExampleConfig_Rules() {
	config := haproxy.Config{Map: "/var/lib/haproxy/web.map", Name: "web"}
	rules, err := config.Rules()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print("frontend web\n", rules)

	router, err := haproxy.New("unix", "/run/haproxy/admin.sock", config, haproxy.Options{File: config.Map})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("# steps of", router.Caps().Granularity)
	// Output:
	// frontend web
	//     http-request set-var(txn.web) int(4611686018427387904),map_int(/var/lib/haproxy/web.map)
	//     http-request set-var(txn.web_weight) var(txn.web),field(1,|),add(0)
	//     http-request set-var(txn.web_arm) var(txn.web),field(2,|)
	//     http-request set-var(txn.web_candidate) var(txn.web),field(3,|)
	//     http-request set-var(txn.web_place) rand(1000000) if !{ var(txn.web_place) -m found }
	//     http-request set-var(txn.web_arm) var(txn.web_candidate) if { var(txn.web_place),sub(txn.web_weight) lt 0 }
	//     use_backend %[var(txn.web_arm)] if { var(txn.web_arm) -m found }
	// # steps of 0.0001%
}

func TestCapsAreWhatIsRecorded(t *testing.T) {
	t.Parallel()
	var rows []routertest.Row
	for _, v := range []struct {
		note   string
		config haproxy.Config
	}{
		{"map", haproxy.Config{Map: "m"}},
		{"map, with names declared", haproxy.Config{Map: "m", Headers: []string{"a"}, Cookies: []string{"b"}, Queries: []string{"c"}}},
	} {
		r, err := haproxy.New("unix", "s", v.config, haproxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, routertest.Row{Router: "traffic/haproxy", Note: v.note, Caps: r.Caps()})
	}
	routertest.Caps(t, rows...)
}

func TestNewNamesWhatCannotBeRight(t *testing.T) {
	t.Parallel()
	good := haproxy.Config{Map: "/a/b.map"}
	with := func(f func(*haproxy.Config)) haproxy.Config { c := good; f(&c); return c }
	for want, tt := range map[string]struct {
		network, address string
		config           haproxy.Config
		options          haproxy.Options
	}{
		"config.map: name":    {"unix", "s", haproxy.Config{}, haproxy.Options{}},
		`config.map: "a b"`:   {"unix", "s", haproxy.Config{Map: "a b"}, haproxy.Options{}},
		"config.name":         {"unix", "s", with(func(c *haproxy.Config) { c.Name = "A-b" }), haproxy.Options{}},
		"config.when":         {"unix", "s", with(func(c *haproxy.Config) { c.When = "a\nb" }), haproxy.Options{}},
		"config.headers[1]":   {"unix", "s", with(func(c *haproxy.Config) { c.Headers = []string{"a", "b c"} }), haproxy.Options{}},
		"config.cookies[0]":   {"unix", "s", with(func(c *haproxy.Config) { c.Cookies = []string{""} }), haproxy.Options{}},
		"config.queries[0]":   {"unix", "s", with(func(c *haproxy.Config) { c.Queries = []string{"a)"} }), haproxy.Options{}},
		`network: "udp"`:      {"udp", "s", good, haproxy.Options{}},
		"address: name":       {"unix", "", good, haproxy.Options{}},
		"options.timeout: -1": {"tcp", "s", good, haproxy.Options{Timeout: -time.Second}},
	} {
		if _, err := haproxy.New(tt.network, tt.address, tt.config, tt.options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want %q", err, want)
		}
	}
	if _, err := (haproxy.Config{}).Rules(); err == nil {
		t.Error("Rules without a map: no error")
	}
	if _, err := (haproxy.Config{}).Sample("s", "b", nil); err == nil {
		t.Error("Sample without a map: no error")
	}
}

// One frontend can hold several routes, each for some of its requests, and each
// name that rules may hold is one that HAProxy takes.
func TestHAProxyTakesTheRules(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("RHEOSTAT_REAL") == "1" {
			t.Fatal("haproxy is not installed, and RHEOSTAT_REAL wants it")
		}
		t.Skip("haproxy is not installed")
	}
	dir := t.TempDir()
	text := "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nfrontend f\n    bind 127.0.0.1:1\n"
	last := ""
	for _, c := range []haproxy.Config{
		{Name: "web", Map: "web-1_a.map", When: "{ path_beg /web }", Headers: []string{"X.a_b-c9"}, Cookies: []string{"a.b_c-9", "d"}, Queries: []string{"a.b_c-9"}, GiveCookies: true},
		{Name: "api", Map: "api+b.map", When: "!{ path_beg /web } or { path /x }"},
	} {
		c.Map = filepath.Join(dir, c.Map)
		if err := os.WriteFile(c.Map, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := c.Rules()
		if err != nil {
			t.Fatal(err)
		}
		// All requests are looked at before any backend is chosen.
		look, choose, _ := strings.Cut(rules, "    use_backend")
		text += look
		last += "    use_backend" + choose
	}
	text += last
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// -dW makes a warning an error.
	if out, err := exec.CommandContext(t.Context(), "haproxy", "-dW", "-c", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}
