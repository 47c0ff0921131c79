// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// API lists what a package exports, one sorted line each: every constant with
// its value, variable, function, type, field with its tag, and method. Names of
// other packages carry their path, those of this module from its root.
func API(pkg *types.Package) []string {
	a := api{pkg: pkg}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			a.object(obj)
		}
	}
	slices.Sort(a.lines)
	return slices.Compact(a.lines)
}

type api struct {
	pkg   *types.Package
	lines []string
}

func (a *api) add(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

// text is a type as the listing writes it.
func (a *api) text(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == a.pkg {
			return ""
		}
		if rel, ok := Rel(p.Path()); ok {
			return rel
		}
		return p.Path()
	})
}

// signature is what follows a function's name.
func (a *api) signature(fn *types.Func) string {
	return strings.TrimPrefix(a.text(fn.Type()), "func")
}

func (a *api) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		a.add("const %s %s = %s", obj.Name(), a.text(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		a.add("var %s %s", obj.Name(), a.text(obj.Type()))
	case *types.Func:
		a.add("func %s%s", obj.Name(), a.signature(obj))
	case *types.TypeName:
		if obj.IsAlias() {
			a.add("type %s = %s", obj.Name(), a.text(types.Unalias(obj.Type())))
			return
		}
		if named, ok := obj.Type().(*types.Named); ok {
			a.named(named)
		}
	}
}

func (a *api) named(t *types.Named) {
	name := t.Obj().Name() + a.typeParams(t)
	switch u := t.Underlying().(type) {
	case *types.Struct:
		a.add("type %s struct", name)
		a.fields(name, u)
	case *types.Interface:
		a.iface(name, u)
	default:
		a.add("type %s %s", name, a.text(u))
	}
	for m := range t.Methods() {
		if m.Exported() {
			recv := name
			if _, ok := m.Signature().Recv().Type().(*types.Pointer); ok {
				recv = "*" + name
			}
			a.add("method (%s) %s%s", recv, m.Name(), a.signature(m))
		}
	}
}

func (a *api) typeParams(t *types.Named) string {
	var params []string
	for p := range t.TypeParams().TypeParams() {
		params = append(params, p.Obj().Name()+" "+a.text(p.Constraint()))
	}
	if len(params) == 0 {
		return ""
	}
	return "[" + strings.Join(params, ", ") + "]"
}

func (a *api) fields(name string, s *types.Struct) {
	hidden := false
	for i := range s.NumFields() {
		f := s.Field(i)
		tag := ""
		if s.Tag(i) != "" {
			tag = " `" + s.Tag(i) + "`" // a tag is what is stored and sent: API like a name
		}
		switch {
		case f.Embedded():
			a.add("type %s struct, embeds %s%s", name, a.text(f.Type()), tag)
		case f.Exported():
			a.add("type %s struct, field %s %s%s", name, f.Name(), a.text(f.Type()), tag)
		default:
			hidden = true
		}
	}
	if hidden {
		a.add("type %s struct, has unexported fields", name)
	}
}

func (a *api) iface(name string, t *types.Interface) {
	a.add("type %s interface", name)
	hidden := false
	for m := range t.Methods() {
		if m.Exported() {
			a.add("type %s interface, method %s%s", name, m.Name(), a.signature(m))
		} else {
			hidden = true
		}
	}
	if hidden {
		a.add("type %s interface, has unexported methods: sealed", name)
	}
	for e := range t.EmbeddedTypes() {
		if _, ok := e.Underlying().(*types.Interface); !ok {
			a.add("type %s interface, of %s", name, a.text(e))
		}
	}
}

// APIDiff says which lines went and which came, or "" if none did.
func APIDiff(was, is []string) string {
	changed := map[string]string{}
	for _, line := range was {
		changed[line] = "-"
	}
	for _, line := range is {
		if changed[line] == "-" {
			delete(changed, line)
		} else {
			changed[line] = "+"
		}
	}
	var out strings.Builder
	for _, line := range slices.Sorted(maps.Keys(changed)) {
		fmt.Fprintf(&out, "  %s %s\n", changed[line], line)
	}
	return out.String()
}
