// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"strconv"
	"strings"
)

// runtimeFiles are where the core meets the clock, the disk and other
// goroutines: the runner and the stores. Everything else is the pure core.
var runtimeFiles = []string{"runner*.go", "store*.go", "filestore*.go", "memorystore*.go"}

// impureImports are packages through which the world gets in.
var impureImports = []struct{ pattern, why string }{
	{"math/rand/...", "the same inputs must give the same decision; take the number as a parameter"},
	{"crypto/rand", "the same inputs must give the same decision; take the number as a parameter"},
	{"os/...", "the core does no I/O; the runner and the stores do"},
	{"io/ioutil", "the core does no I/O; the runner and the stores do"},
	{"net/...", "the core does no I/O; the runner and the stores do"},
	{"syscall", "the core does no I/O; the runner and the stores do"},
	{"sync/...", "the core shares nothing between goroutines; values go in and come out"},
	{"runtime/...", "the core must not depend on the process that it runs in"},
	{"unsafe", "the core must not depend on the process that it runs in"},
	{"log/...", "the core returns what happened; the runner logs it"},
}

// clockFuncs are the functions of package time that read or wait for the clock.
var clockFuncs = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true,
	"AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true,
}

// Determinism finds what could make the same inputs give another answer in the
// files of s that are not runtimeFiles.
func Determinism(s *Source) []Problem {
	d := determinism{s: s}
	for _, f := range s.Files {
		if !isRuntimeFile(s.file(f.Package)) {
			d.imports(f)
			ast.Inspect(f, d.node)
		}
	}
	return d.problems
}

func isRuntimeFile(name string) bool {
	for _, pattern := range runtimeFiles {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

type determinism struct {
	s        *Source
	problems []Problem
	sorted   map[ast.Expr]bool // calls whose result is put in order at once
}

func (d *determinism) add(pos token.Pos, what, why string) {
	d.problems = append(d.problems, Problem{Where: d.s.where(pos), What: what, Why: why})
}

func (d *determinism) imports(f *ast.File) {
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it
		}
		for _, impure := range impureImports {
			if matches(impure.pattern, name) {
				d.add(spec.Pos(), "imports "+name, impure.why)
			}
		}
	}
}

const (
	whyNoConcurrency = "the core runs in its caller's goroutine; the runner may start others"
	whyMapOrder      = "the order of a map changes from run to run; range over slices.Sorted(maps.Keys(m))"
)

func (d *determinism) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		d.add(n.Pos(), "go statement", whyNoConcurrency)
	case *ast.SelectStmt:
		d.add(n.Pos(), "select", whyNoConcurrency)
	case *ast.ChanType:
		d.add(n.Pos(), "channel", whyNoConcurrency)
	case *ast.SendStmt:
		d.add(n.Pos(), "send on a channel", whyNoConcurrency)
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			d.add(n.Pos(), "receive from a channel", whyNoConcurrency)
		}
	case *ast.RangeStmt:
		d.rangeOver(n)
	case *ast.CallExpr:
		if fn := d.callee(n); strings.HasPrefix(fn, "slices.Sorted") && len(n.Args) > 0 {
			if d.sorted == nil {
				d.sorted = map[ast.Expr]bool{}
			}
			d.sorted[ast.Unparen(n.Args[0])] = true
		}
		if fn := d.callee(n); (fn == "maps.Keys" || fn == "maps.Values" || fn == "maps.All") && !d.sorted[n] {
			d.add(n.Pos(), fn+" that is not sorted at once", whyMapOrder)
		}
	case *ast.Ident:
		if fn, ok := d.s.Info.Uses[n].(*types.Func); ok && fn.Pkg() != nil && fn.Pkg().Path() == "time" &&
			fn.Signature().Recv() == nil && clockFuncs[fn.Name()] {
			d.add(n.Pos(), "time."+fn.Name(), "the core takes the time as a parameter")
		}
	}
	return true
}

// rangeOver looks at what a range statement runs over.
func (d *determinism) rangeOver(n *ast.RangeStmt) {
	t := d.s.Info.TypeOf(n.X)
	if t == nil {
		return
	}
	switch {
	case anyTerm(t, func(t types.Type) bool { _, ok := t.(*types.Map); return ok }):
		d.add(n.Pos(), "range over a map", whyMapOrder)
	case anyTerm(t, func(t types.Type) bool { _, ok := t.(*types.Chan); return ok }):
		d.add(n.Pos(), "range over a channel", whyNoConcurrency)
	}
}

// anyTerm reports whether is holds for the underlying type of t, or for one that
// the type parameter t could be.
func anyTerm(t types.Type, is func(types.Type) bool) bool {
	param, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		return is(t.Underlying())
	}
	constraint, ok := param.Constraint().Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for embedded := range constraint.EmbeddedTypes() {
		union, ok := embedded.(*types.Union)
		if !ok {
			if is(embedded.Underlying()) {
				return true
			}
			continue
		}
		for term := range union.Terms() {
			if is(term.Type().Underlying()) {
				return true
			}
		}
	}
	return false
}

// callee is the package-level function that a call goes to, as "package.Name".
func (d *determinism) callee(n *ast.CallExpr) string {
	fun := ast.Unparen(n.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok { // explicit type arguments
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	fn, ok := d.s.Info.Uses[sel.Sel].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return ""
	}
	return fn.Pkg().Path() + "." + fn.Name()
}
