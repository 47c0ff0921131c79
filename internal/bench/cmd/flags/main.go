// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command flags puts the evaluation of feature flags by this project and by others side
// by side, and prints what came of it as tables.
//
//	GOWORK=off go run ./cmd/flags -write
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench/flags"
)

func main() {
	var plan flags.Plan
	flag.IntVar(&plan.Flags, "flags", 1000, "how many `flags` are loaded for a question")
	flag.IntVar(&plan.Rounds, "rounds", 10, "how many `turns` each library has with each case")
	flag.DurationVar(&plan.Slot, "slot", 40*time.Millisecond, "the `CPU` of a turn")
	many := flag.Int("many", 100_000, "how many `flags` are many")
	units := flag.Int("units", 100_000, "how many `units` are drawn")
	write := flag.Bool("write", false, "write FLAGS.md, too")
	out := flag.String("out", ".", "the `directory` that FLAGS.md is written to")
	flag.Parse()
	if err := run(plan, *many, *units, *write, *out); err != nil {
		fmt.Fprintln(os.Stderr, "flags:", err)
		os.Exit(1)
	}
}

func run(plan flags.Plan, many, units int, write bool, out string) error {
	r := &flags.Results{Plan: plan, Units: units, Load: flags.Load()}
	r.Command = strings.Join(append([]string{"GOWORK=off go run ./cmd/flags"}, os.Args[1:]...), " ")
	var err error
	if r.Costs, err = plan.Costs(); err != nil {
		return err
	}
	if r.Scales, err = plan.Scales(plan.Flags, many); err != nil {
		return err
	}
	const writes, goroutines = 200, 1000
	for _, size := range []int{plan.Flags, many} {
		for _, n := range []int{8, goroutines} {
			v, err := flags.See(size, n, writes)
			if err != nil {
				return err
			}
			r.Visible = append(r.Visible, v)
		}
	}
	r.Qualities = flags.Qualities(units)
	text := r.Markdown()
	if write {
		return os.WriteFile(filepath.Join(out, "FLAGS.md"), []byte(text), 0o644) //nolint:gosec // a document
	}
	_, err = fmt.Print(text)
	return err
}
