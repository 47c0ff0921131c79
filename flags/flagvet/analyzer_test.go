// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet_test

import (
	"go/types"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/packages"

	"github.com/rheostat-go/rheostat/flags/flagvet"
)

// The packages under testdata are of this module, and use package flags as it is.

func TestKeysAreFoundByTypeAndThroughWrappers(t *testing.T) {
	t.Parallel()
	analysistest.Run(t, ".", flagvet.Analyzer, "./testdata/src/keys", "./testdata/src/wrap", "./testdata/src/use")
}

// What takes a key in package flags, and is no use of the flag by code that depends on it.
var noUse = map[string]bool{
	"Edit": true, "Kill": true, "Ramp": true, "Retire": true, "ParseFlag": true, "User": true,
}

func TestEveryFunctionThatTakesAKeyIsKnown(t *testing.T) {
	t.Parallel()
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadTypes}, "github.com/rheostat-go/rheostat/flags")
	if err != nil || len(pkgs) != 1 || len(pkgs[0].Errors) > 0 {
		t.Fatal(err, pkgs)
	}
	scope := pkgs[0].Types.Scope()
	found := 0
	check := func(fn *types.Func) {
		for i := range fn.Signature().Params().Len() {
			p := fn.Signature().Params().At(i)
			if p.Name() != "key" || noUse[fn.Name()] {
				continue
			}
			found++
			if key, ok := flagvet.KeyOf(fn); !ok || key != i {
				t.Errorf("%s takes a key at %d, and is taken for %d, %v: put it into the table or among those that are no use", fn.FullName(), i, key, ok)
			}
		}
	}
	for _, name := range scope.Names() {
		if fn, ok := scope.Lookup(name).(*types.Func); ok && fn.Exported() {
			check(fn)
		}
	}
	client, ok := scope.Lookup("Client").Type().(*types.Named)
	if !ok {
		t.Fatal("flags.Client is no type")
	}
	for m := range client.Methods() {
		if m.Exported() {
			check(m)
		}
	}
	if want := flagvet.Known(); found != want {
		t.Errorf("%d functions of package flags take keys; the tables have %d", found, want)
	}
}
