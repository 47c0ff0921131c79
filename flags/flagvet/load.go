// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// LoadOptions are what packages [Load] reads. The zero value is those of the working
// directory, without tests.
type LoadOptions struct {
	// Dir is where patterns begin, "" being the working directory.
	Dir string
	// Tests has tests read, too: what only a test asks for counts as used.
	Tests bool
	// Tags are build tags, as go build takes them.
	Tags string
}

// Load finds the uses of flags in the packages that the patterns name, as the go command
// understands them. It runs that command. A package that does not compile is an error,
// since its uses are not known.
func Load(ctx context.Context, options LoadOptions, patterns ...string) ([]Use, error) {
	config := &packages.Config{Context: ctx, Mode: packages.LoadAllSyntax | packages.NeedModule, Dir: options.Dir, Tests: options.Tests}
	if options.Tags != "" {
		config.BuildFlags = []string{"-tags=" + options.Tags}
	}
	pkgs, err := packages.Load(config, patterns...)
	if err != nil {
		return nil, fmt.Errorf("flagvet: %w", err)
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("flagvet: no packages match %q", patterns)
	}
	var broken []error
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			broken = append(broken, e)
		}
	})
	if len(broken) > 0 {
		return nil, fmt.Errorf("flagvet: %w", errors.Join(broken[:min(len(broken), 10)]...))
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{Analyzer}, pkgs, nil)
	if err != nil {
		return nil, fmt.Errorf("flagvet: %w", err)
	}
	var uses []Use
	for _, action := range graph.Roots {
		if action.Err != nil {
			return nil, fmt.Errorf("flagvet: %s: %w", action.Package.PkgPath, action.Err)
		}
		if list, ok := action.Result.([]Use); ok {
			uses = append(uses, list...)
		}
	}
	return sorted(uses), nil
}
