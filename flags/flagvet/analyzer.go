// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports what can be told from code alone: uses of one flag that disagree, in
// the package or with one that it imports, and keys that cannot be checked. Its result is the
// []Use of the package. It has no flags.
//
// What needs the document is the command's: go vet keeps what it found while
// code does not change, however the document does.
var Analyzer = &analysis.Analyzer{
	Name:       "flagvet",
	Doc:        "find flags in code by type: uses that disagree, and keys that cannot be checked\n\nSee package flagvet for what counts as a use.",
	URL:        "https://pkg.go.dev/github.com/rheostat-go/rheostat/flags/flagvet",
	Run:        run,
	ResultType: reflect.TypeFor[[]Use](),
	FactTypes:  []analysis.Fact{(*keyed)(nil), (*always)(nil), (*usesFact)(nil)},
}

// always is a variable of a package that is only ever given that string.
type always struct{ Value string }

// AFact marks what is kept for packages that import this one.
func (*always) AFact() {}

// String is the fact as tests of analyzers read it.
func (c *always) String() string { return fmt.Sprintf("always %q", c.Value) }

// usesFact are the uses of a package, so that those that import it can be held against them.
type usesFact struct{ Uses []Use }

// AFact marks what is kept for packages that import this one.
func (*usesFact) AFact() {}

// String is the fact as tests of analyzers read it.
func (f *usesFact) String() string { return fmt.Sprintf("%d uses", len(f.Uses)) }

func run(pass *analysis.Pass) (any, error) {
	if pass.Pkg.Path() == flagsPath || !concerned(pass) {
		return []Use(nil), nil
	}
	f := newFinder(pass)
	sites := f.find()
	f.export()
	uses := make([]Use, len(sites))
	at := make(map[token.Position]ast.Node, len(sites))
	for i, s := range sites {
		uses[i] = s.use
		at[s.use.Pos] = s.node
	}
	if len(uses) > 0 {
		pass.ExportPackageFact(&usesFact{portable(pass.Pkg.Path(), uses)})
	}
	// Those of imports come first: what disagrees with them is here.
	for _, finding := range disagreements(append(imported(pass), uses...)) {
		if node := at[finding.Pos]; node != nil {
			pass.Report(analysis.Diagnostic{Pos: node.Pos(), End: node.End(), Category: string(finding.Rule), Message: finding.Message})
		}
	}
	return uses, nil
}

// concerned reports whether the package can have anything to do with flags: it imports
// them, or a package with facts.
func concerned(pass *analysis.Pass) bool {
	for _, p := range pass.Pkg.Imports() {
		if p.Path() == flagsPath {
			return true
		}
	}
	return len(pass.AllObjectFacts()) > 0 || len(pass.AllPackageFacts()) > 0
}

// imported are the uses of all packages below this one.
func imported(pass *analysis.Pass) []Use {
	facts := pass.AllPackageFacts()
	slices.SortFunc(facts, func(a, b analysis.PackageFact) int { return cmp.Compare(a.Package.Path(), b.Package.Path()) })
	var list []Use
	for _, f := range facts {
		if u, ok := f.Fact.(*usesFact); ok && f.Package != pass.Pkg {
			list = append(list, u.Uses...)
		}
	}
	return list
}

// portable are uses as other packages are told of them: without the machine's paths, so
// that a cache of facts serves everywhere, and without those that cannot be checked.
func portable(pkg string, uses []Use) []Use {
	var list []Use
	for _, u := range uses {
		if u.Problem != "" {
			continue
		}
		u.Pos.Filename = path.Join(pkg, filepath.Base(u.Pos.Filename))
		list = append(list, u)
	}
	return list
}
