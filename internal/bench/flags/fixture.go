// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"math/rand/v2"
)

// Case is what is asked.
type Case int

// The cases.
const (
	On    Case = iota // a flag that is on for everybody
	Pct               // a flag that is on for 10 % of the users
	Users             // a flag that is on for 1,000 users by their ids
	Rules             // country in {US, CA} and plan = pro and build >= 500, else 10 %
	Built             // the same as Rules, and the context is built for each question
	cases
)

// String is the case's name in tables.
func (c Case) String() string {
	return [cases]string{"on", "pct", "users", "rules", "rules, context built in the loop"}[c]
}

// flag is the case whose flag is asked.
func (c Case) flag() Case {
	if c == Built {
		return Rules
	}
	return c
}

// Key is the flag that is asked.
func (c Case) Key() string {
	return [cases]string{"checkout-on", "checkout-pct", "checkout-users", "checkout-rules", "checkout-rules"}[c]
}

// People is how many ask in turn, a power of two.
const People = 1024

// last masks the number of one of the people.
const last = People - 1

const (
	listed   = 1000
	among    = People / 2 // of the people, listed
	percent  = 10
	minBuild = 500
	plan     = "pro"
)

var countries = []string{"US", "CA"}

// Person is who asks.
type Person struct {
	Key, Country, Plan string
	Build              float64
}

// Flag is one to be loaded.
type Flag struct {
	Key  string
	Case Case
}

// Fixture is what every library is given.
type Fixture struct {
	Flags  []Flag
	People []Person
	// Listed are the ids of the flag of the case Users.
	Listed []string
}

// New makes a fixture of that many flags. The four that are asked are among them; the
// others are of the kinds, in turn. It is the same each time.
//
// Where one is asked, the others are on for everybody: ConfigCat's client makes room for
// the answer of every flag with rules whenever a user asks for one of them.
func New(flags int, others ...Case) *Fixture {
	if len(others) == 0 {
		others = []Case{On}
	}
	chance := rand.New(rand.NewPCG(5, 4)) //nolint:gosec // the same each time
	f := new(Fixture)
	for c := range Built {
		f.Flags = append(f.Flags, Flag{c.Key(), c})
	}
	for i := len(f.Flags); i < flags; i++ {
		f.Flags = append(f.Flags, Flag{fmt.Sprintf("feature-%06d", i), others[i%len(others)]})
	}
	for i := range People {
		// Half of them match; the others miss the first, the second or the last clause.
		p := Person{fmt.Sprintf("user-%09d", i), countries[i/2%2], plan, minBuild + float64(i%100)}
		switch i % 6 {
		case 1:
			p.Country = "DE"
		case 3:
			p.Plan = "free"
		case 5:
			p.Build = minBuild - 1
		}
		f.People = append(f.People, p)
	}
	// In no order, so that no processor learns it as a pattern of six.
	chance.Shuffle(len(f.People), func(i, j int) { f.People[i], f.People[j] = f.People[j], f.People[i] })
	for i := range listed {
		if i < among {
			f.Listed = append(f.Listed, f.People[i].Key)
		} else {
			f.Listed = append(f.Listed, fmt.Sprintf("guest-%09d", i))
		}
	}
	chance.Shuffle(len(f.Listed), func(i, j int) { f.Listed[i], f.Listed[j] = f.Listed[j], f.Listed[i] })
	chance.Shuffle(len(f.People), func(i, j int) { f.People[i], f.People[j] = f.People[j], f.People[i] })
	return f
}

// check reports what is wrong with the number of people that a case is on for. Draws of
// 10 % may differ, by five standard deviations.
func (c Case) check(on int) error {
	bounds := [cases][2]int{{People, People}, {55, 155}, {among, among}, {532, 602}, {532, 602}}[c]
	if on < bounds[0] || on > bounds[1] {
		return fmt.Errorf("%s: on for %d of %d, want %d to %d", c, on, People, bounds[0], bounds[1])
	}
	return nil
}
