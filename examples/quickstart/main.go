// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command quickstart shows rheostat at work on real traffic, with nothing but Go
// installed:
//
//	go run ./examples/quickstart
//
// It starts three versions of a web service on loopback, a proxy in front of them
// and clients that never stop asking. Then it carries out two rollouts: v2 is
// good and gets everything; v3 begins to fail once it has a quarter of the
// traffic, and is back at 0% within seconds.
//
// While that goes on, the control address that it prints takes orders:
//
//	curl -X POST http://127.0.0.1:PORT/hold      # or resume, abort, promote
//	curl http://127.0.0.1:PORT/                  # what it waits for, as JSON
//	curl http://127.0.0.1:PORT/metrics           # for Prometheus
//
// Give it a folder with -state, kill it with kill -9 wherever you like and start
// it again: it goes on where it was. Interrupted with Ctrl-C, it says how.
//
// The exit status tells the outcome:
//
//	0    v2 was promoted and v3 went home, as they should
//	1    it could not do its work
//	2    the flags were wrong
//	3    an operator aborted a rollout
//	4    a rollout ended otherwise than it should
//	5    clients saw errors that v3 did not make
//	130  it was interrupted, and can go on
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

const (
	exitFine        = 0
	exitError       = 1
	exitUsage       = 2
	exitAborted     = 3
	exitUnexpected  = 4
	exitMoved       = 5
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is main without the process around it.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFine
	case err != nil:
		return exitUsage
	}
	s.live = !s.plain && terminal(stdout)
	end, err := run(ctx, s, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
		return exitError
	}
	return end.code()
}

// settings are what the flags say.
type settings struct {
	state   string
	control string
	hold    time.Duration
	rate    int
	plain   bool
	live    bool
}

const (
	demoHold = 4 * time.Second
	realHold = time.Minute
)

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.state, "state", "", "keep everything in this `folder`, and go on from there if it has something")
	flags.StringVar(&s.control, "control", "127.0.0.1:0", "loopback `address` that takes orders; port 0 takes a free one")
	flags.DurationVar(&s.hold, "hold", demoHold, "how `long` each step lasts")
	flags.IntVar(&s.rate, "rate", 400, "requests a `second`")
	flags.BoolVar(&s.plain, "plain", false, "lines instead of a live view, as with NO_COLOR or without a terminal")
	inEarnest := flags.Bool("real", false, "hold each step for a minute, as a release would")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *inEarnest {
		s.hold = realHold
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q: there are only flags", flags.Arg(0))
	case s.hold <= 0:
		err = fmt.Errorf("-hold %v: want more than 0", s.hold)
	case s.rate < 1 || s.rate > 100_000:
		err = fmt.Errorf("-rate %d: want 1 to 100000", s.rate)
	}
	if err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
	}
	return s, err
}

// terminal reports whether w shows text to a person who wants to see it move.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
