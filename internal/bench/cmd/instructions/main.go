// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command instructions counts the instructions of one operation of a benchmark
// of this module. They do not depend on what else the machine does, as
// nanoseconds do, so two versions can be compared anywhere. It needs valgrind.
// What it counts as many instructions is one where a processor copies a block at
// once, so copies of large values look worse than they are.
//
//	GOWORK=off go run ./cmd/instructions 'BenchmarkStep/lanes=1$/'
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: instructions BENCHMARK, such as 'BenchmarkStep/lanes=1$/'")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

func run(pattern string) (err error) {
	dir, err := os.MkdirTemp("", "instructions")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "bench.test")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	names, err := list(binary, pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		per, err := instructions(binary, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Printf("%-40s %7d instructions/op\n", name, per)
	}
	return nil
}

var ran = regexp.MustCompile(`(?m)^(Benchmark\S+?)(?:-\d+)?\s+1\s`)

// list runs every benchmark that matches once, to hear its name.
func list(binary, pattern string) ([]string, error) {
	out, err := exec.Command(binary, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "1x").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var names []string
	for _, m := range ran.FindAllSubmatch(out, -1) {
		names = append(names, string(m[1]))
	}
	if names == nil {
		return nil, fmt.Errorf("no benchmark matches %q", pattern)
	}
	return names, nil
}

const few, many, tries = 1_000, 6_000, 20

// instructions is what one operation takes: the difference between many and few,
// in which whatever happens once cancels out.
func instructions(binary, name string) (int64, error) {
	a, err := total(binary, name, few)
	if err != nil {
		return 0, err
	}
	b, err := total(binary, name, many)
	return (b - a) / (many - few), err
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

// total is the least of two good runs: now and then valgrind stops over what the
// Go runtime does in some schedules.
func total(binary, name string, times int) (int64, error) {
	least, good := int64(0), 0
	for try := 0; try < tries && good < 2; try++ {
		cmd := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file="+os.DevNull, binary,
			"-test.run", "^$", "-test.bench", "^"+strings.ReplaceAll(name, "/", "$/^")+"$",
			"-test.benchtime", strconv.Itoa(times)+"x")
		// One thread, no collections and no preemption: only the benchmark itself.
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
		out, err := cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return 0, err
		}
		m := collected.FindSubmatch(out)
		if err != nil || m == nil || !bytes.Contains(out, []byte("\nPASS")) {
			continue
		}
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		if good++; good == 1 || n < least {
			least = n
		}
	}
	if good == 0 {
		return 0, fmt.Errorf("valgrind did not finish in %d tries", tries)
	}
	return least, nil
}
