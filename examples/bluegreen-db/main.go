// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command bluegreen-db releases a version that needs another column, on a database that
// is read and written all the time, with nothing but Go installed:
//
//	go run ./examples/bluegreen-db                      # SQLite, in a file of its own
//	go run ./examples/bluegreen-db -db postgres://…     # PostgreSQL, in a schema of its own
//
// Version 1 of a web service keeps addresses in users.email, version 2 in users.new_email.
// Clients never stop asking, through a proxy, and remember every write that was
// acknowledged. The plan is printed first: what the traffic will do, and each statement
// with the locks it takes. Then
//
//   - v2 is deployed, the schema expanded, filled, verified, and v2 gets everything. It
//     refuses some addresses, so the judge sends it home within seconds; the schema
//     follows, and what v2 wrote is in the old column;
//   - v2.1 has that mended. It goes the same way, and stays. The old column is not taken
//     from v1 while an instance of it is alive; then it is hidden, soaks, and is dropped.
//
// The exit status is 0 only if v2 went home, v2.1 was promoted, and the clients found no
// write lost, no two columns different and no request failed but those that v2 refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are what the flags say.
type settings struct {
	url   string
	users int
	rate  int
	bake  time.Duration
	soak  time.Duration
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bluegreen-db", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.url, "db", "", "a `postgres://` URL; empty is SQLite in a temporary folder")
	flags.IntVar(&s.users, "users", 50_000, "how `many` there are at the start")
	flags.IntVar(&s.rate, "rate", 400, "requests a `second`")
	flags.DurationVar(&s.bake, "bake", 6*time.Second, "how `long` v1 is kept warm after the switch")
	flags.DurationVar(&s.soak, "soak", 2*time.Second, "how `long` the old column stays hidden before it is dropped")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q: there are only flags", flags.Arg(0))
	case s.users < clients:
		err = fmt.Errorf("-users %d: want %d or more, one for each client", s.users, clients)
	case s.rate < 1 || s.rate > 10_000:
		err = fmt.Errorf("-rate %d: want 1 to 10000", s.rate)
	case s.bake <= 0 || s.soak <= 0:
		err = errors.New("-bake and -soak: want more than 0")
	}
	if err != nil {
		fmt.Fprintln(stderr, "bluegreen-db:", err)
	}
	return s, err
}

// command is main without the process around it.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := run(ctx, s, stdout); err != nil {
		fmt.Fprintln(stderr, "bluegreen-db:", err)
		return 1
	}
	return 0
}
