// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
)

// learn notes what variables hold.
func (f *finder) learn(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if fn, ok := f.pass.TypesInfo.Defs[n.Name].(*types.Func); ok {
			for p := range fn.Signature().Params().Variables() {
				f.params[p] = fn
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if len(n.Values) == len(n.Names) {
				f.declare(name, n.Values[i])
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if name, ok := left.(*ast.Ident); ok && f.pass.TypesInfo.Defs[name] != nil && len(n.Lhs) == len(n.Rhs) {
				f.declare(name, n.Rhs[i])
				continue
			}
			f.change(left)
		}
	case *ast.RangeStmt:
		f.change(n.Key)
		f.change(n.Value)
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			f.change(n.X)
		}
	}
	return true
}

// declare notes the constant that a variable begins with.
func (f *finder) declare(name *ast.Ident, value ast.Expr) {
	v, ok := f.pass.TypesInfo.Defs[name].(*types.Var)
	if tv := f.pass.TypesInfo.Types[value]; ok && tv.Value != nil {
		f.vars[v] = tv.Value
	}
}

// change notes that a variable may come to hold something else. An element or field of
// it is not the variable.
func (f *finder) change(e ast.Expr) {
	if v := f.variable(e); v != nil {
		f.changed[v] = true
	}
}

// variable is the variable that an expression is, or nil.
func (f *finder) variable(e ast.Expr) *types.Var {
	var name *ast.Ident
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		name = e
	case *ast.SelectorExpr:
		name = e.Sel
	default:
		return nil
	}
	v, ok := f.pass.TypesInfo.ObjectOf(name).(*types.Var)
	if !ok || v.IsField() {
		return nil
	}
	return v
}

// key is the constant string that an expression is.
func (f *finder) key(e ast.Expr) (string, bool) {
	if value := f.value(e); value != nil && value.Kind() == constant.String {
		return constant.StringVal(value), true
	}
	if v := f.variable(e); v != nil && v.Pkg() != f.pass.Pkg && !f.changed[v] {
		fact := new(always)
		if f.pass.ImportObjectFact(v, fact) {
			return fact.Value, true
		}
	}
	return "", false
}

// value is the constant that an expression is, itself or by its variable, or nil.
func (f *finder) value(e ast.Expr) constant.Value {
	if tv := f.pass.TypesInfo.Types[e]; tv.Value != nil {
		return tv.Value
	}
	if v := f.variable(e); v != nil && !f.changed[v] {
		return f.vars[v]
	}
	return nil
}

// text is a constant as Go writes it, "" for what is not constant.
func (f *finder) text(e ast.Expr) string {
	value := f.value(e)
	if value == nil {
		return ""
	}
	if b, ok := f.pass.TypesInfo.TypeOf(e).Underlying().(*types.Basic); ok && b.Info()&types.IsFloat != 0 {
		number, _ := constant.Float64Val(value)
		return strconv.FormatFloat(number, 'g', -1, 64)
	}
	return value.ExactString()
}
