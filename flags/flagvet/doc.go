// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flagvet finds flags in Go code by what the type checker knows of them, and
// holds them against the flags that there are: what code asks for and nobody has, what
// nobody asks for any more, what can be taken out, and what two places disagree about.
//
//	go run github.com/rheostat-go/rheostat/flags/flagvet/cmd/flagvet -document flags.json ./...
//
// is the whole of it. Without a document, and as an [Analyzer] in go vet or a
// multichecker, it says what can be told from code alone.
//
// # What it sees
//
// A use of a flag is a call of one of package flags' constructors ([flags.Bool] and the rest)
// or of a method of [flags.Client] that takes a key. The key may be a constant, or a variable
// that is given a constant where it is declared and nothing else in its package. A
// function that passes a parameter of its own on as the key, unchanged, is a wrapper:
// its calls are uses, in other packages and through other wrappers, too. The key of a handle,
// asked of the handle, is the handle's use.
//
// A key that is none of these cannot be checked, and each is reported once. So is
// a constructor or a wrapper that is used as a value instead of being called.
//
// # What it does not see
//
// Calls through an interface, reflection, and a variable of another package that somebody
// assigns to from outside. JSON handles are not held against the type they decode
// into. A flag that the document only has for a front end, or for a program
// elsewhere, is unused here: mark it permanent, or leave that rule out.
package flagvet
