// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Package is what go list says about a package.
type Package struct {
	ImportPath   string
	Dir          string
	Name         string
	Standard     bool
	Export       string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Deps         []string
	Module       *struct{ Path string }
	Error        *struct{ Err string }
}

// listFields are the fields of Package, so that go list computes no others.
const listFields = "ImportPath,Dir,Name,Standard,Export,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,Deps,Module,Error"

// List runs go list in dir. A package that does not build is an error: half a
// package would pass rules that the whole one breaks.
func List(ctx context.Context, dir string, args ...string) ([]Package, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=" + listFields}, args...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	var all []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// Source is a package as it was written, type-checked.
type Source struct {
	Path  string // import path
	Fset  *token.FileSet
	Files []*ast.File // without tests
	Tests []*ast.File // of both kinds, parsed and not type-checked
	Types *types.Package
	Info  *types.Info
}

// Rel is the package's path from the root of the module.
func (s *Source) Rel() string {
	rel, _ := Rel(s.Path)
	return rel
}

// Load type-checks every package that patterns match in dir. The types of what
// they import come from the compiler's export data, so that nothing but the go
// command is needed.
func Load(ctx context.Context, dir string, patterns ...string) ([]*Source, error) {
	wanted, err := List(ctx, dir, patterns...)
	if err != nil {
		return nil, err
	}
	all, err := List(ctx, dir, append([]string{"-export", "-deps"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	})
	var sources []*Source
	for _, p := range wanted {
		s := &Source{Path: p.ImportPath, Fset: fset}
		if s.Files, err = parseFiles(fset, dir, p.Dir, p.GoFiles, p.CgoFiles); err != nil {
			return nil, err
		}
		if s.Tests, err = parseFiles(fset, dir, p.Dir, p.TestGoFiles, p.XTestGoFiles); err != nil {
			return nil, err
		}
		if err := s.check(imp); err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// parseFiles parses the files of one package under names that start at root, so
// that a problem reads the same on every machine.
func parseFiles(fset *token.FileSet, root, dir string, names ...[]string) ([]*ast.File, error) {
	var files []*ast.File
	for _, name := range slices.Concat(names...) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if rel, err := filepath.Rel(root, path); err == nil {
			path = filepath.ToSlash(rel)
		}
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// check type-checks the files of s.
func (s *Source) check(imp types.Importer) (err error) {
	s.Info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Uses:  map[*ast.Ident]types.Object{},
		Defs:  map[*ast.Ident]types.Object{},
	}
	conf := types.Config{Importer: imp, FakeImportC: true}
	s.Types, err = conf.Check(s.Path, s.Fset, s.Files, s.Info)
	return err
}

// where is the file and line of pos.
func (s *Source) where(pos token.Pos) string {
	p := s.Fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// file is the base name of the file that holds pos.
func (s *Source) file(pos token.Pos) string { return filepath.Base(s.Fset.Position(pos).Filename) }
