// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// saved is a proxy's file after a route was applied, and the route.
func saved(t *testing.T) (path string, text []byte, o proxy.Options, r traffic.Route) {
	t.Helper()
	o.File = filepath.Join(t.TempDir(), "route.json")
	r = split(50_000)
	r.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}}
	r.Split.Sticky.Cookie = "side"
	apply(t, newProxy(t, pair(t), o), 7, r)
	text, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	return o.File, text, o, r
}

func TestADamagedFileIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	path, text, o, want := saved(t)
	backends := pair(t)
	try := func(what string, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := proxy.New(backends, o)
		if err != nil {
			if !strings.Contains(err.Error(), "put back a copy, or delete it") {
				t.Errorf("%s: %v, want an error that says what to do", what, err)
			}
			return
		}
		// Damage to white space, or to the case of a key, loses nothing.
		if seen, err := p.Observe(t.Context()); err != nil || !seen.Route.Equal(want) || seen.Fence != 7 {
			t.Fatalf("%s: restored %v under fence %d", what, seen.Route, seen.Fence)
		}
	}
	for n := range text {
		try("cut off", text[:n])
	}
	for i := range text {
		for bit := range 8 {
			damaged := append([]byte(nil), text...)
			damaged[i] ^= 1 << bit
			try("a bit flipped", damaged)
		}
	}
	try("another version", []byte(strings.Replace(string(text), `"version":1`, `"version":2`, 1)))
}

func TestARouteToABackendThatIsNotThereIsNotRestored(t *testing.T) {
	t.Parallel()
	_, _, o, _ := saved(t)
	backends := pair(t)
	delete(backends, "candidate")
	if _, err := proxy.New(backends, o); err == nil || !strings.Contains(err.Error(), `no arm "candidate": known are stable; give New every arm`) {
		t.Errorf("%v, want an error that names the backend", err)
	}
}

func TestARouteThatCannotBeSavedIsNotInForce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, pair(t), proxy.Options{File: filepath.Join(dir, "route.json")})
	apply(t, p, 1, split(0))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), 2, split(traffic.Full)); err == nil || !strings.Contains(err.Error(), "Options.File") {
		t.Errorf("%v, want an error about the file", err)
	}
	if seen, err := p.Observe(t.Context()); err != nil || !seen.Route.Equal(split(0)) || seen.Fence != 1 {
		t.Errorf("observed %+v, %v, want the old route", seen, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	apply(t, p, 2, split(traffic.Full))
}

func TestAFileLeftBehindByACrashIsNoHindrance(t *testing.T) {
	t.Parallel()
	path, text, o, want := saved(t)
	if err := os.WriteFile(path+".tmp", text[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, pair(t), o)
	if seen, err := p.Observe(t.Context()); err != nil || !seen.Route.Equal(want) {
		t.Errorf("restored %+v, %v", seen, err)
	}
	apply(t, p, 8, split(0))
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v, want the one file", left, err)
	}
}
