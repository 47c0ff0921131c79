// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the repository to its own rules in an ordinary go test,
// so that nobody needs a tool, a server or a reviewer's memory to find a breach:
// who imports whom, what keeps the core deterministic, the exported API as
// reviewed text under api/, documentation, licence headers and the list of
// dependencies. Every rule carries its reason and prints it when it fails.
//
// A rule is a function from sources to problems. The tests run each one on the
// repository, where it must be silent, and on a breach, where it must speak.
//
// To rewrite the API listings after a wanted change:
//
//	go test ./internal/archtest -run TestTheExportedAPI -update
package archtest

import (
	"fmt"
	"strings"
)

// Module is the path of the root module.
const Module = "github.com/rheostat-go/rheostat"

// Problem is one breach of a rule.
type Problem struct {
	// Where is a file:line, a package or a module.
	Where string
	// What was found there.
	What string
	// Why the rule exists, and what to do instead.
	Why string
}

// String is the problem on one line.
func (p Problem) String() string {
	s := p.Where + ": " + p.What
	if p.Why != "" {
		s += " (" + p.Why + ")"
	}
	return s
}

// Rel is an import path as seen from the root of module: "traffic/proxy", "."
// for the root itself, and false for a package of somebody else.
func Rel(path string) (string, bool) {
	if path == Module {
		return ".", true
	}
	return strings.CutPrefix(path, Module+"/")
}

func problemf(where, why, format string, args ...any) Problem {
	return Problem{Where: where, What: fmt.Sprintf(format, args...), Why: why}
}
