// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/doc"
	"go/token"
	"strings"
)

const (
	whyPackageDoc = "a reader meets a package by its first sentence"
	whyDoc        = "a name without a promise cannot be relied on; start the comment with the name and say units, errors and the zero value"
	whyExample    = "an example is the first thing a user copies, and the only prose that is compiled"
)

// Docs finds packages without a comment and exported names without one that
// starts with the name.
func Docs(s *Source) []Problem {
	d := docs{s: s}
	d.pkg()
	exported := map[string]bool{}
	for _, f := range s.Files {
		for _, decl := range f.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.TYPE {
				for _, spec := range gen.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						exported[spec.Name.Name] = spec.Name.IsExported()
					}
				}
			}
		}
	}
	for _, f := range s.Files {
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil || exported[receiver(decl)] {
					d.name(decl.Name, decl.Doc)
				}
			case *ast.GenDecl:
				d.gen(decl)
			}
		}
	}
	return d.problems
}

type docs struct {
	s        *Source
	problems []Problem
}

func (d *docs) add(pos token.Pos, why, format string, args ...any) {
	d.problems = append(d.problems, problemf(d.s.where(pos), why, format, args...))
}

func (d *docs) pkg() {
	var with []*ast.File
	for _, f := range d.s.Files {
		if f.Doc != nil {
			with = append(with, f)
		}
	}
	switch {
	case len(d.s.Files) == 0:
	case len(with) == 0:
		d.add(d.s.Files[0].Package, whyPackageDoc, "package %s has no comment", d.s.Files[0].Name.Name)
	case len(with) > 1:
		d.add(with[1].Package, whyPackageDoc, "package %s has a second comment", with[1].Name.Name)
	case with[0].Name.Name != "main" && !strings.HasPrefix(with[0].Doc.Text(), "Package "+with[0].Name.Name+" "):
		d.add(with[0].Package, whyPackageDoc, "the package comment does not start with %q", "Package "+with[0].Name.Name)
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// name holds the comment on one exported name to the rule.
func (d *docs) name(name *ast.Ident, comment *ast.CommentGroup) {
	if !name.IsExported() {
		return
	}
	text := comment.Text()
	if text == "" {
		d.add(name.Pos(), whyDoc, "%s has no comment", name.Name)
		return
	}
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	first := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n.,:;'’[]()*", r) })
	if len(first) == 0 || first[0] != name.Name && first[0] != "Deprecated" {
		d.add(name.Pos(), whyDoc, "the comment on %s does not start with its name", name.Name)
	}
}

func (d *docs) gen(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			comment := spec.Doc
			if comment == nil {
				comment = decl.Doc
			}
			d.name(spec.Name, comment)
			if t, ok := spec.Type.(*ast.InterfaceType); ok && spec.Name.IsExported() {
				d.methods(spec.Name.Name, t)
			}
		case *ast.ValueSpec:
			d.values(decl, spec)
		}
	}
}

// values wants a comment on each exported name, or one on the group that they
// stand in, or one at the end of the line.
func (d *docs) values(decl *ast.GenDecl, spec *ast.ValueSpec) {
	for _, name := range spec.Names {
		switch {
		case !name.IsExported():
		case spec.Doc != nil && len(spec.Names) == 1:
			d.name(name, spec.Doc)
		case spec.Doc != nil, spec.Comment != nil:
		case decl.Doc == nil:
			d.add(name.Pos(), whyDoc, "%s has no comment", name.Name)
		case !decl.Lparen.IsValid() && len(spec.Names) == 1:
			d.name(name, decl.Doc)
		}
	}
}

// methods wants a comment on each method of an interface: that is where the
// duties of its implementers stand.
func (d *docs) methods(owner string, t *ast.InterfaceType) {
	for _, m := range t.Methods.List {
		for _, name := range m.Names {
			if name.IsExported() && m.Doc.Text() == "" && m.Comment.Text() == "" {
				d.add(name.Pos(), whyDoc, "%s.%s has no comment", owner, name.Name)
			}
		}
	}
}

// Examples finds packages that export something and have no example whose output
// go test compares.
func Examples(s *Source) []Problem {
	if len(API(s.Types)) == 0 || s.Types.Name() == "main" {
		return nil
	}
	for _, e := range doc.Examples(s.Tests...) {
		if e.Output != "" || e.EmptyOutput {
			return nil
		}
	}
	return []Problem{problemf(s.Path, whyExample, "no example with an output")}
}
