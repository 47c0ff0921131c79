// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command judges lets the rules of other tools and analysis.Compare judge the same
// simulated rollouts, and writes what came of it as tables and charts. The same seed
// gives the same output.
//
//	GOWORK=off go run ./cmd/judges
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rheostat-go/rheostat/internal/bench/judges"
)

func main() {
	seed := flag.Uint64("seed", 1, "of all random numbers")
	runs := flag.Int("runs", 80, "how many rollouts of a good candidate a cell gets; bad ones get two fifths of it")
	worlds := flag.String("worlds", "", "comma-separated `names`; empty is all")
	rules := flag.String("rules", "", "comma-separated `names`; empty is all but av-paired")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many rollouts are simulated at once")
	out := flag.String("out", ".", "the `directory` that JUDGES.md and judges-*.svg are written to")
	flag.Parse()
	if err := run(judges.Plan{
		Seed: *seed, Runs: *runs, Workers: *workers, Worlds: split(*worlds), Rules: split(*rules),
	}, *out); err != nil {
		fmt.Fprintln(os.Stderr, "judges:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func run(p judges.Plan, out string) error {
	results, err := p.Run()
	if err != nil {
		return err
	}
	files := map[string]string{"JUDGES.md": results.Markdown()}
	for name, chart := range results.Charts() {
		files["judges-"+name+".svg"] = chart
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil { //nolint:gosec // a document
			return err
		}
	}
	return nil
}
