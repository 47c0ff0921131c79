// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build makes the command.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "flagvet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// command runs a program in the folder of the module, and returns what it says and its exit code.
func command(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = filepath.Join("..", "..")
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

func TestTheCommandSaysByItsExitCodeWhatItFound(t *testing.T) {
	t.Parallel()
	bin := build(t)
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"flags": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const shop, doc = "./testdata/shop/...", "testdata/shop/flags.json"
	for _, test := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"findings", []string{"-document", doc, "-evaluated", "testdata/shop/stale.json", shop}, 1, "last evaluated 2026-05-31"},
		{"code alone", []string{shop}, 1, "main.go:16:13: flag \"new-checkout\" is taken for int here and for bool at testdata/shop/checkout/checkout.go"},
		{"sarif", []string{"-format", "sarif", "-document", doc, shop}, 1, `"version": "2.1.0"`},
		{"clean", []string{"-ignore", "type-conflict,fallback-conflict", shop}, 0, ""},
		{"no such rule", []string{"-ignore", "colour", shop}, 2, `-ignore "colour"`},
		{"no such format", []string{"-format", "xml", shop}, 2, `-format "xml"`},
		{"no such package", []string{"./testdata/nowhere"}, 2, "nowhere"},
		{"no such document", []string{"-document", "nowhere.json", shop}, 2, "nowhere.json"},
		{"a document that is none", []string{"-document", broken, shop}, 2, "broken.json"},
		{"a report that is none", []string{"-evaluated", doc, shop}, 2, "report"},
		{"help", []string{"-h"}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := command(t, bin, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, test.code, stdout, stderr)
			}
			said := stdout
			if test.code == 2 {
				said = stderr
			}
			if !strings.Contains(said, test.says) {
				t.Errorf("it does not say %q:\n%s%s", test.says, stdout, stderr)
			}
		})
	}
}

func TestGoVetRunsTheCommand(t *testing.T) {
	t.Parallel()
	_, stderr, code := command(t, "go", "vet", "-vettool="+build(t), "./testdata/shop/...")
	want := `flag "new-checkout" is taken for int here and for bool at github.com/rheostat-go/rheostat/flags/flagvet/testdata/shop/checkout/checkout.go:`
	if code == 0 || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
