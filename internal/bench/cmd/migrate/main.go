// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command migrate puts ways of filling a new column side by side, and prints what came of
// it as tables.
//
//	GOWORK=off go run ./cmd/migrate -write
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench/migrate"
)

func main() {
	var plan migrate.Plan
	flag.IntVar(&plan.Rows, "rows", 2_000_000, "how many `rows` the table has")
	flag.IntVar(&plan.Writers, "writers", 8, "how many `clients` write meanwhile")
	flag.IntVar(&plan.Rounds, "rounds", 1, "how many `turns` each method has without writers")
	flag.StringVar(&plan.Pgroll, "pgroll", "", "the `path` of pgroll's binary; without it pgroll is left out")
	flag.DurationVar(&plan.On, "on", 3*time.Second, "how long a backfill works before it rests")
	flag.DurationVar(&plan.Off, "off", 2*time.Second, "how long it rests")
	flag.DurationVar(&plan.Before, "before", 5*time.Second, "how long the writers are watched beforehand")
	write := flag.Bool("write", false, "write MIGRATE.md, too")
	out := flag.String("out", ".", "the `directory` that MIGRATE.md is written to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, plan, *write, *out); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, plan migrate.Plan, write bool, out string) error {
	load := migrate.Load()
	r, err := migrate.Measure(ctx, plan, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	r.Load = load
	r.Command = strings.Join(append([]string{"GOWORK=off go run ./cmd/migrate"}, os.Args[1:]...), " ")
	text := r.Markdown()
	if write {
		return os.WriteFile(filepath.Join(out, "MIGRATE.md"), []byte(text), 0o644) //nolint:gosec // a document
	}
	_, err = fmt.Print(text)
	return err
}
