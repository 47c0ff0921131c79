// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
)

// chance is how much of the requests that it takes to show a regression of
// CompareOptions.Worth the run has seen; 1 is enough. The weights of all its steps
// are taken for one, which is close: what a request of the candidate says differs
// little between them.
func (g *gate) chance() float64 {
	if g.o.Worth == 0 {
		return 1
	}
	q := &g.Questions[0]
	n, stable := q.Harm.N, q.StableN
	if n <= 0 || stable <= 0 {
		return 0
	}
	m, share := g.o.Errors.Harm, q.StableBad/stable
	if m.of(share) >= 1 {
		return 0 // stable fails so often that nothing is worse
	}
	worse := min(m.of(share)+g.o.Worth, 1)
	return n / requestsFor(-math.Log(g.o.Risk), m, worse, share, stable/n)
}

func tooFew(chance, worth float64) string {
	return fmt.Sprintf("that is %s of the requests in which a regression of %s would show", percent(math.Floor(100*chance)/100), percent(worth))
}
