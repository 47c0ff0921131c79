// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
)

// Peer is a library that evaluates flags.
type Peer struct {
	Name string
	// Modules are those whose versions the tables say, the first being the library.
	Modules []string
	// Text writes the flags as the library reads them; it is nil where it takes none.
	Text func(*Fixture) any
	// Start loads them, and makes ready to answer.
	Start func(f *Fixture, text []byte) (*Running, error)
}

// Loop asks n times, beginning with one of the people and going round, and returns
// how often the answer was on. Each library has its own, so that nothing is called
// through a pointer but what is its way to be called.
type Loop func(from, n int) (on int)

// Running is a library with its flags.
type Running struct {
	// Loops are nil for cases that the library cannot do by itself.
	Loops [cases]Loop
	// Sweep makes a loop that asks for all flags in turn, in no order, the people likewise.
	// It may be nil.
	Sweep func() Loop
	// Close ends it.
	Close func()
}

// Check reports the first case whose answers are wrong, or nil.
func (r *Running) Check() error {
	for c := range cases {
		if loop := r.Loops[c]; loop != nil {
			if err := c.check(loop(0, People)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Peers are this project's flags and the libraries of others. The first of others
// is the one that ratios are to.
var Peers = []Peer{
	byHandle, byKey, launchDarkly, launchDarklyEvaluator, configCat, growthBook, unleashClient, openFeature, flagd,
}

// base is whom ratios are to.
var base = launchDarkly.Name

// open starts a peer with the fixture and checks its answers.
func (p *Peer) open(f *Fixture) (*Running, error) {
	text, err := p.text(f)
	if err != nil {
		return nil, err
	}
	r, err := p.Start(f, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := r.Check(); err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}
