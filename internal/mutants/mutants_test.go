// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// source is a mutant's file, and the file with the guard taken away.
func (m mutant) source(t *testing.T) (path, mutated string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), m.old); n != 1 {
		t.Errorf("promise %d, %q: the guard stands %d times in %s; mend the list", m.promise, m.name, n, m.file)
	}
	return path, strings.Replace(string(data), m.old, m.new, 1)
}

func TestEveryPromiseHasAGuardThatIsWhereTheListSays(t *testing.T) {
	t.Parallel()
	promises := map[int]bool{}
	for _, m := range mutants {
		m.source(t)
		promises[m.promise] = true
	}
	for p := 1; p <= 12; p++ {
		if !promises[p] {
			t.Errorf("promise %d has no mutant", p)
		}
	}
}

// TestEveryGuardIsMissed builds the tests with one guard gone, and wants them red.
func TestEveryGuardIsMissed(t *testing.T) {
	if os.Getenv("RHEOSTAT_MUTANTS") == "" {
		t.Skip("RHEOSTAT_MUTANTS is not set: this builds and tests the core once for each guard")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			red, output := m.test(t)
			if !red {
				t.Errorf("promise %d: nobody misses the guard in %s\n%s", m.promise, m.file, output)
				return
			}
			t.Logf("promise %d: %s", m.promise, firstFailure(output))
		})
	}
}

// test reports whether the tests fail without the guard. Tests that do not
// build prove nothing.
func (m mutant) test(t *testing.T) (red bool, output string) {
	t.Helper()
	path, mutated := m.source(t)
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{file: []byte(mutated), overlay: list} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"test", "-count=1", "-vet=off", "-short", "-timeout=5m", "-overlay", overlay, "-run", m.run, m.pkg}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	text := string(out)
	if strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]") || strings.Contains(text, "no tests to run") {
		t.Fatalf("the mutant proves nothing:\n%s", text)
	}
	return err != nil, text
}

// firstFailure is the first line that says which test failed.
func firstFailure(output string) string {
	for line := range strings.Lines(output) {
		if strings.Contains(line, "--- FAIL") || strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return "it fails"
}
