// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
)

func Example() {
	main()
	// Output: v2 promoted
}

// The README shows this program, so that what people copy is what was tested.
func TestTheREADMEShowsThisProgram(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if os.IsNotExist(err) {
		t.Skip("there is no README.md")
	}
	if err != nil {
		t.Fatal(err)
	}
	shown, ok := block(string(readme))
	if !ok {
		t.Fatal("README.md has no block ```go; show this program in it")
	}
	if strings.TrimSpace(shown) == "" {
		t.Skip("README.md leaves the place of the program empty")
	}
	// The licence need not be shown.
	_, rest, _ := strings.Cut(string(program), "\n\n")
	if shown != string(program) && shown != rest {
		t.Errorf("the first block of Go in README.md is not examples/canary/main.go; it shows:\n%s", shown)
	}
}

// block is the first block of Go after the program's path, or of all where there is none.
func block(readme string) (string, bool) {
	if _, after, ok := strings.Cut(readme, "examples/canary/main.go"); ok {
		readme = after
	}
	_, after, ok := strings.Cut(readme, "```go\n")
	if !ok {
		return "", false
	}
	shown, _, ok := strings.Cut(after, "```")
	return shown, ok
}
