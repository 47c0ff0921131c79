// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program makes an executable file.
func program(t *testing.T, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheProgramsAreLookedForInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named := program(t, dir, "named")
	cached := program(t, dir, "cache", "rheostat", "controlplane", "controlplane")
	assets := filepath.Join(dir, "assets")
	program(t, assets, "etcd")
	program(t, assets, "kube-apiserver")
	apiOnly, all := Options{APIOnly: true}.programs(), Options{}.programs()

	for name, tt := range map[string]struct {
		env     map[string]string
		cache   string
		need    []Program
		want    programs
		missing string
	}{
		"named first":       {map[string]string{"RHEOSTAT_CONTROLPLANE": named, "KUBEBUILDER_ASSETS": assets}, "cache", all, programs{combined: named}, ""},
		"named and missing": {map[string]string{"RHEOSTAT_CONTROLPLANE": dir + "/nothing"}, "cache", all, programs{}, "/nothing is not an executable"},
		"then the cache":    {map[string]string{"KUBEBUILDER_ASSETS": assets}, "cache", all, programs{combined: cached}, ""},
		"then envtest's":    {map[string]string{"KUBEBUILDER_ASSETS": assets}, "", apiOnly, programs{folder: assets}, ""},
		"without its rest":  {map[string]string{"KUBEBUILDER_ASSETS": assets}, "", all, programs{}, "has no kube-controller-manager, kube-scheduler, kwok"},
		"nothing":           {nil, "", all, programs{}, "make controlplane"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, missing := lookup(func(k string) string { return tt.env[k] },
				func() (string, error) { return filepath.Join(dir, tt.cache), nil }, tt.need)
			if got != tt.want || (missing == "") != (tt.missing == "") || !strings.Contains(missing, tt.missing) {
				t.Errorf("got %v and %q, want %v and %q", got, missing, tt.want, tt.missing)
			}
		})
	}
}

func TestAProgramThatEndsByItselfIsNamedWithItsLastWords(t *testing.T) {
	t.Parallel()
	p := &process{path: "/bin/sh", args: []string{"-c", "echo the last words; exit 3"}, log: filepath.Join(t.TempDir(), "log")}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	<-p.running.done
	c := &Cluster{order: []Program{Etcd}, parts: map[Program]*process{Etcd: p}}
	err := c.fault()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the last words") {
		t.Errorf("the fault is %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = c.poll(ctx, "etcd", func(context.Context) error { return errors.New("it refuses") })
	if err == nil || !strings.Contains(err.Error(), "the last words") || !strings.HasSuffix(err.Error(), "it refuses") {
		t.Errorf("waiting for it ends with %v", err)
	}
}

func TestAProgramThatIsKilledHasNoFault(t *testing.T) {
	t.Parallel()
	p := &process{path: "/bin/sh", args: []string{"-c", "while :; do sleep 1; done"}, log: filepath.Join(t.TempDir(), "log")}
	for range 2 {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		if err := p.start(); err == nil {
			t.Fatal("it was started twice")
		}
		if alive, paused := p.state(); !alive || paused {
			t.Fatalf("alive %v, paused %v", alive, paused)
		}
		if err := p.pause(true); err != nil {
			t.Fatal(err)
		}
		if _, paused := p.state(); !paused {
			t.Fatal("not paused")
		}
		if err := p.kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.fault(); err != nil {
			t.Fatalf("killed on purpose: %v", err)
		}
	}
}

func TestTheEndOfALogBeginsWithALine(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte("first\nsecond\nthird\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(name, 10); got != "third\n" {
		t.Errorf("the last 10 bytes are %q", got)
	}
	if got := tail(name, 100); got != "first\nsecond\nthird\n" {
		t.Errorf("all of it is %q", got)
	}
}
