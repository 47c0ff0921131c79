// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest_test

import (
	"encoding/json"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// codeBlock is a block of Go code in a document, with the file that it is said
// to be, as in "`traffic/acme/acme.go`:".
var codeBlock = regexp.MustCompile("(?m:^)`([a-z/_]+\\.go)`:\n\n```go\n((?s:.*?)\n)```\n")

// TestTheRecipeInContributingPasses builds the router that CONTRIBUTING.md shows
// as if its files stood in the tree, and runs it through the suite: a recipe
// that has rotted would cost every newcomer an evening.
func TestTheRecipeInContributingPasses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	folder := ""
	for _, block := range codeBlock.FindAllStringSubmatch(string(text), -1) {
		name, code := block[1], block[2]
		if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
			t.Errorf("gofmt would change %s (%v)", name, err)
		}
		file := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(root, filepath.FromSlash(name))] = file
		folder = filepath.Dir(filepath.FromSlash(name))
	}
	if len(overlay["Replace"]) != 2 {
		t.Fatalf("CONTRIBUTING.md shows %d files, want a router and its test", len(overlay["Replace"]))
	}
	config, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}

	run := func(wd, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = wd
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
		}
		return string(out)
	}
	binary := filepath.Join(dir, "recipe.test")
	run(root, "go", "test", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-c", "-o", binary, "."+string(filepath.Separator)+folder)
	out := run(dir, binary, "-test.v", "-test.timeout=1m")
	if !regexp.MustCompile(`(?m)^--- PASS: TestConformance `).MatchString(out) {
		t.Errorf("the suite did not run:\n%s", out)
	}
}
