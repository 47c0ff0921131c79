// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command dbmigrate takes a database's schema up and down by files, as db-migrate does:
//
//	dbmigrate up --verbose
//	dbmigrate plan -e prod
//	DATABASE_URL=postgres://prod:5432/app dbmigrate status
//
// The database is an environment of database.json, dev unless -e names another, or what
// DATABASE_URL says. Two of it at once are safe: one waits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv, os.Args[1:]...); err != nil && !errors.Is(err, flag.ErrHelp) {
		stop()
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

const usage = `dbmigrate up | down | plan | status | resolve ID done|again | adopt goose|dbmate|golang-migrate`

// options are the flags.
type options struct {
	config, environment, folder string
	count                       int
	verbose, unsafe, late       bool
}

func run(ctx context.Context, out io.Writer, getenv func(string) string, args ...string) error {
	var o options
	flags := flag.NewFlagSet("dbmigrate", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() { fmt.Fprintln(out, usage); flags.PrintDefaults() }
	flags.StringVar(&o.config, "config", "database.json", "where the databases are said to be")
	flags.StringVar(&o.environment, "e", "", "the `environment` in it")
	flags.StringVar(&o.folder, "m", "migrations", "the `folder` of the migrations")
	flags.IntVar(&o.count, "c", 0, "how many to do: 0 is all up, and one down")
	flags.BoolVar(&o.verbose, "verbose", false, "tell each statement")
	flags.BoolVar(&o.verbose, "v", false, "the same")
	flags.BoolVar(&o.unsafe, "unsafe", false, "do what would stop the database's users, too")
	flags.BoolVar(&o.late, "out-of-order", false, "apply what is older than what has been applied, too")
	words, err := parse(flags, args)
	if err != nil {
		return err
	}
	file, err := os.ReadFile(o.config)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	target, err := migrate.ReadTarget(file, o.environment, getenv)
	if err != nil {
		return err
	}
	set, err := migrate.ReadDir(os.DirFS(o.folder), ".")
	if err != nil {
		return err
	}
	db, done, err := open(ctx, target)
	if err != nil {
		return fmt.Errorf("%v: %w", target, err)
	}
	defer done()
	m, err := migrate.New(db, migrate.Options{Observe: teller(out, o.verbose)})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, target)
	return command(ctx, out, m, set, o, words)
}

// parse takes flags before, between and after the words.
func parse(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
}

func command(ctx context.Context, out io.Writer, m *migrate.Migrator, set migrate.Set, o options, words []string) error {
	up := migrate.UpOptions{Limit: o.count, OutOfOrder: o.late, Unsafe: o.unsafe}
	switch strings.Join(words[:min(1, len(words))], "") {
	case "up":
		return report(out, "up to date")(m.Up(ctx, set, up))
	case "down":
		return report(out, "nothing was applied")(m.Down(ctx, set, max(o.count, 1)))
	case "plan":
		up.DryRun = true
		runs, err := m.Up(ctx, set, up)
		for _, r := range runs {
			show(out, r)
		}
		return err
	case "status":
		all, err := m.Status(ctx, set)
		for _, s := range all {
			when := ""
			if !s.Applied.IsZero() {
				when = s.Applied.UTC().Format(time.DateTime)
			}
			fmt.Fprintln(out, strings.TrimSpace(fmt.Sprintf("%-10s %-19s %s %s", s.State, when, s.ID, s.Why)))
		}
		return err
	case "resolve":
		if len(words) == 3 && (words[2] == "done" || words[2] == "again") {
			return m.Resolve(ctx, words[1], words[2] == "done")
		}
	case "adopt":
		if len(words) == 2 {
			adopted, err := m.Adopt(ctx, set, migrate.Tool(words[1]))
			fmt.Fprintf(out, "%d adopted\n", len(adopted))
			return err
		}
	}
	return errors.New(usage)
}

// report says what was done.
func report(out io.Writer, nothing string) func([]migrate.MigrationRun, error) error {
	return func(runs []migrate.MigrationRun, err error) error {
		for _, r := range runs {
			fmt.Fprintf(out, "%-4s %s\n", map[bool]string{true: "down", false: "up"}[r.Down], r.ID)
		}
		if len(runs) == 0 && err == nil {
			fmt.Fprintln(out, nothing)
		}
		return err
	}
}

// show prints what a migration would do.
func show(out io.Writer, r migrate.MigrationRun) {
	how := "one transaction"
	if r.Alone {
		how = "statement by statement"
	}
	fmt.Fprintf(out, "%s, %s\n", r.ID, how)
	for _, text := range r.Statements {
		fmt.Fprintf(out, "    %s;\n", strings.ReplaceAll(text, "\n", "\n    "))
	}
	for _, e := range r.Unsafe {
		fmt.Fprintf(out, "  ! %v\n", e)
	}
}

// teller tells what happens: what takes long always, and each statement if it is verbose.
func teller(out io.Writer, verbose bool) migrate.Observer {
	return func(_ context.Context, e migrate.Event) {
		switch {
		case e.Kind == migrate.Waiting || e.Kind == migrate.Retried:
			fmt.Fprintln(out, "[wait]", e.ID, e.Why, e.Err)
		case !verbose:
		case e.Kind == migrate.StatementRun:
			fmt.Fprintln(out, "[sql]", e.Statement)
		case e.Kind == migrate.StatementRan:
			fmt.Fprintf(out, "[ran] in %v\n", e.Took.Round(time.Millisecond/10))
		case e.Kind == migrate.StepDone:
			fmt.Fprintf(out, "[done] %s %s in %v\n", e.ID, e.Step, e.Took.Round(time.Millisecond))
		}
	}
}
