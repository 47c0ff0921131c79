// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package script runs tests that are written as text: commands and what they
// should answer. One file tells one story, and reads as documentation.
//
//	# A line that starts with a hash is a comment.
//	step +3s checks=errors,latency reason="two words"
//	any lines that follow are the command's input
//	----
//	what the command answers, up to an empty line
//
// An answer that has empty lines of its own stands between two doubled marks:
//
//	explain
//	----
//	----
//	first paragraph
//
//	second paragraph
//	----
//	----
//
// Comments and empty lines may stand between two commands, and not within one:
// there a hash is part of the input. Running the tests with -update writes the
// answers given into the files; commit only changes that you understand.
package script

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests answer into their files instead of comparing")

// Update reports whether the tests run with -update, for golden files of other
// kinds in the same test binary, which must not define that flag again.
func Update() bool { return *update }

// Run runs every command of each file that pattern matches, in order, through
// handle and compares its answer with the file's. Each file is a subtest. What
// handle remembers runs through all files; see Each for a fresh start per file.
//
// handle ends the story with t.Fatalf("%s: ...", cmd.Pos) when a command makes
// no sense; an error that the story is about is part of the answer.
func Run(t *testing.T, pattern string, handle func(t *testing.T, cmd Cmd) string) {
	t.Helper()
	Each(t, pattern, func(t *testing.T) func(Cmd) string {
		t.Helper()
		return func(cmd Cmd) string { return handle(t, cmd) }
	})
}

// Each is Run with a handler of its own for every file: open is called once per
// file, with that file's subtest, which it may make parallel.
func Each(t *testing.T, pattern string, open func(t *testing.T) func(Cmd) string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatalf("script: pattern %q: %v", pattern, err)
	}
	if len(paths) == 0 {
		t.Fatalf("script: no file matches %q", pattern)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		t.Run(name, func(t *testing.T) { runFile(t, path, open(t)) })
	}
}

func runFile(t *testing.T, path string, handle func(Cmd) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(path, string(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) == 0 {
		t.Fatalf("%s: no command; a story without one cannot fail", path)
	}
	for i := range blocks {
		b := &blocks[i]
		got := lines(handle(b.cmd))
		if !*update && !slices.Equal(got, b.want) {
			t.Errorf("%s: %s\n(- the file, + the answer)\n%s", b.cmd.Pos, b.source[0], diff(b.want, got))
		}
		b.want = got
	}
	if !*update {
		return
	}
	if text := format(blocks); text != string(data) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: rewritten", path)
	}
}

// lines splits an answer, without the empty lines at its end.
func lines(s string) []string {
	s = strings.TrimRight(s, " \t\n")
	if s == "" {
		return nil
	}
	all := strings.Split(s, "\n")
	for i, line := range all {
		// Blanks at a line's end cannot be seen in a review, and editors remove them.
		all[i] = strings.TrimRight(line, " \t\r")
	}
	return all
}
