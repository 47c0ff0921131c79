// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"fmt"
	"go/types"
)

// flagsPath is the package whose functions take keys.
const flagsPath = "github.com/rheostat-go/rheostat/flags"

// none is a parameter that there is not.
const none = -1

// keyed says how a function takes a key. It is the fact of a wrapper.
type keyed struct {
	Name         string // as people call it
	Key          int    // the parameter that is the key
	FallbackFrom int    // the parameter that is the fallback, or none
	Fallback     string // the fallback that the function gives itself, "" if it is not known
	Type         Type
}

// AFact marks what is kept for packages that import this one.
func (*keyed) AFact() {}

// String is the fact as tests of analyzers read it.
func (k *keyed) String() string { return fmt.Sprintf("key %d %s", k.Key, k.Type) }

// constructors are the functions of package flags that make handles.
var constructors = map[string]keyed{
	"Bool":   {Key: 0, FallbackFrom: 1, Type: Bool},
	"String": {Key: 0, FallbackFrom: 1, Type: String},
	"Int":    {Key: 0, FallbackFrom: 1, Type: Int},
	"Float":  {Key: 0, FallbackFrom: 1, Type: Float},
	"JSON":   {Key: 0, FallbackFrom: 1, Type: JSON},
}

// methods are those of flags.Client that take keys.
var methods = map[string]keyed{
	"Bool":   {Key: 0, FallbackFrom: 1, Type: Bool},
	"String": {Key: 0, FallbackFrom: 1, Type: String},
	"Int":    {Key: 0, FallbackFrom: 1, Type: Int},
	"Float":  {Key: 0, FallbackFrom: 1, Type: Float},
	"Raw":    {Key: 0, FallbackFrom: none},

	"BoolDetail":   {Key: 0, FallbackFrom: 1, Type: Bool},
	"StringDetail": {Key: 0, FallbackFrom: 1, Type: String},
	"IntDetail":    {Key: 0, FallbackFrom: 1, Type: Int},
	"FloatDetail":  {Key: 0, FallbackFrom: 1, Type: Float},

	"Flag":    {Key: 0, FallbackFrom: none},
	"Explain": {Key: 0, FallbackFrom: none},
	"Changes": {Key: 1, FallbackFrom: none},
}

// builtin is how a function of package flags takes a key, or nil.
func builtin(f *types.Func) *keyed {
	if f.Pkg() == nil || f.Pkg().Path() != flagsPath {
		return nil
	}
	table, prefix := constructors, "flags."
	if recv := f.Signature().Recv(); recv != nil {
		if receiver(recv.Type()) != "Client" {
			return nil
		}
		table, prefix = methods, "flags.Client."
	}
	k, ok := table[f.Name()]
	if !ok {
		return nil
	}
	k.Name = prefix + f.Name()
	return &k
}

// receiver is the name of the type that a method belongs to.
func receiver(t types.Type) string {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj().Name()
	}
	return ""
}
