// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command flagvet holds the flags that Go code asks for against those that there are.
//
//	flagvet [-document flags.json] [-format text|sarif] [-stale-after 720h] [-evaluated report.json] [-ignore rule,…] [packages]
//
// It exits with 0 if all is well, with 1 if it found something, and with 2 if it could not
// tell. See package flagvet for what it looks at. The document is JSON of package flags, as
// files, HTTP and the cache of a client carry it; without one, only code is held against
// code. The report for -evaluated is what a program writes of its flags.Client.Stale with
// encoding/json.
//
// It also serves go vet, without a document: go vet -vettool=$(which flagvet) ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagvet"
)

func main() {
	if fromVet(os.Args[1:]) {
		unitchecker.Main(flagvet.Analyzer) // which exits
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	found, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now())
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case found:
		os.Exit(1)
	}
}

// fromVet reports whether go vet calls: it asks for the version, for the flags, and then
// hands over one configuration for each package.
func fromVet(args []string) bool {
	if len(args) == 0 {
		return false
	}
	return args[0] == "-V=full" || args[0] == "-flags" || strings.HasSuffix(args[len(args)-1], ".cfg")
}

// run is the command, and reports whether it found anything.
func run(ctx context.Context, args []string, out, usage io.Writer, now time.Time) (bool, error) {
	set := flag.NewFlagSet("flagvet", flag.ContinueOnError)
	set.SetOutput(usage)
	document := set.String("document", "", "the flags, as JSON of package flags; without it, code alone is looked at")
	format := set.String("format", "text", "text, or sarif for code scanning")
	after := set.Duration("stale-after", flags.StaleAfter, "how long everybody gets one variant before a flag is stale")
	evaluated := set.String("evaluated", "", "when flags were last evaluated: a program's flags.Client.Stale, as JSON")
	ignore := set.String("ignore", "", "rules to leave out, with commas between them")
	tests := set.Bool("tests", false, "count what tests ask for as used")
	tags := set.String("tags", "", "build tags")
	if err := set.Parse(args); err != nil {
		return false, err
	}
	write := flagvet.WriteText
	switch *format {
	case "text":
	case "sarif":
		write = flagvet.WriteSARIF
	default:
		return false, fmt.Errorf("flagvet: -format %q: give text or sarif", *format)
	}
	options := flagvet.Options{Now: now, StaleAfter: *after}
	var err error
	if options.Ignore, err = rules(*ignore); err != nil {
		return false, err
	}
	if err := read(&options, *document, *evaluated); err != nil {
		return false, err
	}
	patterns := set.Args()
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	uses, err := flagvet.Load(ctx, flagvet.LoadOptions{Tests: *tests, Tags: *tags}, patterns...)
	if err != nil {
		return false, err
	}
	root, err := os.Getwd()
	if err != nil {
		return false, err
	}
	findings := flagvet.Check(uses, options)
	return len(findings) > 0, write(out, findings, root)
}

// rules reads a list of rules.
func rules(list string) ([]flagvet.Rule, error) {
	var out []flagvet.Rule
	for name := range strings.SplitSeq(list, ",") {
		rule := flagvet.Rule(strings.TrimSpace(name))
		if rule == "" {
			continue
		}
		if !slices.Contains(flagvet.Rules(), rule) {
			return nil, fmt.Errorf("flagvet: -ignore %q: there is no such rule; there are %v", rule, flagvet.Rules())
		}
		out = append(out, rule)
	}
	return out, nil
}

// read reads the files that were named.
func read(options *flagvet.Options, document, evaluated string) error {
	if document != "" {
		data, err := os.ReadFile(document)
		if err != nil {
			return fmt.Errorf("flagvet: %w", err)
		}
		name, err := filepath.Abs(document)
		if err != nil {
			return fmt.Errorf("flagvet: %w", err)
		}
		if options.Document, err = flagvet.ParseDocument(name, data); err != nil {
			return err
		}
	}
	if evaluated != "" {
		data, err := os.ReadFile(evaluated)
		if err != nil {
			return fmt.Errorf("flagvet: %w", err)
		}
		if options.Evaluated, err = flagvet.ParseEvaluated(data); err != nil {
			return err
		}
	}
	return nil
}
