// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"go/ast"
	"go/constant"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// site is a use with its place in the syntax.
type site struct {
	use  Use
	node ast.Node
}

// finder finds the uses of one package.
type finder struct {
	pass     *analysis.Pass
	vars     map[*types.Var]constant.Value // what a variable is declared with, if it is constant
	changed  map[*types.Var]bool           // whatever else may be in it
	params   map[*types.Var]*types.Func    // whose parameter it is
	wrappers map[*types.Func]*keyed
	called   map[*ast.Ident]bool // names that are called, and not values
}

func newFinder(pass *analysis.Pass) *finder {
	f := &finder{
		pass: pass,
		vars: make(map[*types.Var]constant.Value), changed: make(map[*types.Var]bool),
		params: make(map[*types.Var]*types.Func), wrappers: make(map[*types.Func]*keyed),
		called: make(map[*ast.Ident]bool),
	}
	for _, file := range pass.Files {
		ast.Inspect(file, f.learn)
	}
	return f
}

// find finds all uses. A wrapper may be called before it is known as one, so
// it looks again until no new one turns up.
func (f *finder) find() []site {
	for {
		before := len(f.wrappers)
		var sites []site
		for _, file := range f.pass.Files {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					sites = f.call(sites, call)
				}
				return true
			})
		}
		if len(f.wrappers) == before {
			return append(sites, f.values()...)
		}
	}
}

// keyed is how a function takes a key, or nil.
func (f *finder) keyed(fn *types.Func) *keyed {
	if k := builtin(fn); k != nil {
		return k
	}
	fn = fn.Origin()
	if k := f.wrappers[fn]; k != nil {
		return k
	}
	k := new(keyed)
	if fn.Pkg() != nil && fn.Pkg() != f.pass.Pkg && f.pass.ImportObjectFact(fn, k) {
		return k
	}
	return nil
}

// call adds the use that a call is, or notes that its function is a wrapper.
func (f *finder) call(sites []site, call *ast.CallExpr) []site {
	fn := typeutil.StaticCallee(f.pass.TypesInfo, call)
	if fn == nil {
		return sites
	}
	k := f.keyed(fn)
	if k == nil {
		return sites
	}
	args := call.Args
	if x := methodExpr(f.pass.TypesInfo, call); x && len(args) > 0 { // (*flags.Client).Bool(client, "key", …)
		args = args[1:]
	}
	f.called[callee(call)] = true
	if k.Key >= len(args) || f.several(args[0]) { // f(g()), with what g returns as the arguments
		return append(sites, f.unchecked(call, k.Name, "its arguments come from another call"))
	}
	key := args[k.Key]
	use := Use{Type: k.Type, Func: k.Name, Fallback: k.Fallback, Pos: f.pass.Fset.Position(key.Pos())}
	if k.FallbackFrom >= 0 && k.FallbackFrom < len(args) {
		use.Fallback = f.text(args[k.FallbackFrom])
	}
	if text, ok := f.key(key); ok {
		use.Key = text
		return append(sites, site{use, key})
	}
	if f.ofHandle(key) || f.wraps(key, k, args, use) {
		return sites
	}
	return append(sites, f.unchecked(key, k.Name, "the key is not constant"))
}

// ofHandle reports whether an expression is the key of a handle: where that was made, it
// is a use already.
func (f *finder) ofHandle(e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	fn := typeutil.StaticCallee(f.pass.TypesInfo, call)
	return fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == flagsPath && fn.Name() == "Key" &&
		fn.Signature().Recv() != nil && receiver(fn.Signature().Recv().Type()) == "Handle"
}

// several reports whether an expression is a call that returns several values.
func (f *finder) several(e ast.Expr) bool {
	_, ok := f.pass.TypesInfo.TypeOf(e).(*types.Tuple)
	return ok
}

// wraps notes that the function around a call passes its own parameter on as the key.
func (f *finder) wraps(key ast.Expr, k *keyed, args []ast.Expr, use Use) bool {
	v := f.variable(key)
	if v == nil || f.changed[v] || f.params[v] == nil {
		return false
	}
	fn := f.params[v]
	index := place(fn, v)
	if fn.Signature().Variadic() && index == fn.Signature().Params().Len()-1 {
		return false
	}
	w := &keyed{Name: fn.Name(), Key: index, FallbackFrom: none, Fallback: use.Fallback, Type: k.Type}
	if k.FallbackFrom >= 0 && k.FallbackFrom < len(args) {
		if p := f.variable(args[k.FallbackFrom]); p != nil && f.params[p] == fn && !f.changed[p] {
			w.FallbackFrom = place(fn, p)
		}
	}
	if before := f.wrappers[fn]; before != nil && *before != *w {
		if before.Key != w.Key { // it takes two keys; one can be followed
			return false
		}
		// It asks more than once: keep what both agree on.
		if before.Type != w.Type {
			before.Type = Untyped
		}
		if before.FallbackFrom != w.FallbackFrom || before.Fallback != w.Fallback {
			before.FallbackFrom, before.Fallback = none, ""
		}
		return true
	}
	if f.wrappers[fn] == nil {
		f.wrappers[fn] = w
	}
	return true
}

// place is which parameter of fn v is.
func place(fn *types.Func, v *types.Var) int {
	for i := range fn.Signature().Params().Len() {
		if fn.Signature().Params().At(i) == v {
			return i
		}
	}
	return none
}

func (f *finder) unchecked(n ast.Node, name, why string) site {
	return site{Use{Func: name, Problem: why, Pos: f.pass.Fset.Position(n.Pos())}, n}
}

// values are the places where a function that takes a key is not called: whoever calls
// what it is given to cannot be followed.
func (f *finder) values() []site {
	var sites []site
	for _, file := range f.pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			name, ok := n.(*ast.Ident)
			if !ok || f.called[name] {
				return true
			}
			if fn, ok := f.pass.TypesInfo.Uses[name].(*types.Func); ok {
				if k := f.keyed(fn); k != nil {
					sites = append(sites, f.unchecked(name, k.Name, "it is used as a value"))
				}
			}
			return true
		})
	}
	return sites
}

// export keeps for other packages what they need to know of this one.
func (f *finder) export() {
	for fn, k := range f.wrappers {
		if k.Name = f.pass.Pkg.Name() + "." + fn.Name(); fn.Signature().Recv() != nil {
			k.Name = f.pass.Pkg.Name() + "." + receiver(fn.Signature().Recv().Type()) + "." + fn.Name()
		}
		f.pass.ExportObjectFact(fn, k)
	}
	for v, value := range f.vars {
		if v.Exported() && v.Parent() == f.pass.Pkg.Scope() && !f.changed[v] && value.Kind() == constant.String {
			f.pass.ExportObjectFact(v, &always{constant.StringVal(value)})
		}
	}
}

// callee is the name that a call calls.
func callee(call *ast.CallExpr) *ast.Ident {
	e := ast.Unparen(call.Fun)
	switch x := e.(type) { // flags.JSON[T]
	case *ast.IndexExpr:
		e = ast.Unparen(x.X)
	case *ast.IndexListExpr:
		e = ast.Unparen(x.X)
	}
	switch x := e.(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	}
	return nil
}

// methodExpr reports whether the call is one of a method by its type, with the receiver as
// an argument.
func methodExpr(info *types.Info, call *ast.CallExpr) bool {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	return ok && info.Selections[sel] != nil && info.Selections[sel].Kind() == types.MethodExpr
}
