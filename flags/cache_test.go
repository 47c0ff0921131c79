// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// reports are the problems that a client was heard to have.
type reports struct {
	mu   sync.Mutex
	list []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, err)
}

func (r *reports) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.list, func(err error) bool { return strings.Contains(err.Error(), text) })
}

func TestACacheThatCannotBeReadIsReportedAndWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "truncated": `{"flags":{"a":{"enab`, "garbage": "\x00\xff", "null": "null", "another document": "{}", "a list": "[]",
	} {
		path := filepath.Join(t.TempDir(), "cache")
		save(t, path, text)
		var heard reports
		client, err := flags.New(flags.NewMemory(&flags.Flag{Key: "a", Enabled: true}), flags.Options{Cache: path, OnProblem: heard.add})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !heard.has(path) || client.Status().Cached {
			t.Errorf("%s: heard %v, status %+v", name, heard.list, client.Status())
		}
		run(t, client)
		eventually(t, name+": the cache is written", func() bool {
			again, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(again), `"a"`)
		})
	}
}

func TestACacheIsForNobodyElseAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "cache")
	save(t, path, `{"flags":{}}`)
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // what somebody else has made
		t.Fatal(err)
	}
	left, others, young := path+".1.flags-tmp", filepath.Join(dir, "other.1.flags-tmp"), path+".2.flags-tmp"
	for _, name := range []string{left, others, young} {
		save(t, name, "x")
	}
	for _, name := range []string{left, others} {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	client, err := flags.New(flags.NewMemory(&flags.Flag{Key: "a", Enabled: true}), flags.Options{Cache: path})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	eventually(t, "the cache is written, and only what was left is gone", func() bool {
		text, err := os.ReadFile(path)
		names, globbed := filepath.Glob(filepath.Join(dir, "*"))
		return err == nil && globbed == nil && strings.Contains(string(text), `"a"`) && strings.Join(names, " ") == strings.Join([]string{path, young, others}, " ")
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cache is %v, %v", info.Mode(), err)
	}
}

func TestACacheThatCannotBeWrittenIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "missing", "cache"): "the directory must be there",
		dir:                                    "flags: cache: rename",
	} {
		var heard reports
		client, err := flags.New(flags.NewMemory(&flags.Flag{Key: "a", Enabled: true}), flags.Options{Cache: path, OnProblem: heard.add})
		if err != nil {
			t.Fatal(err)
		}
		run(t, client)
		eventually(t, path+" is reported", func() bool { return heard.has(want) && client.Bool("a", false, nil) })
	}
	eventually(t, "nothing is left beside the directory", func() bool {
		left, err := filepath.Glob(dir + "*")
		return err == nil && len(left) == 1
	})
}
