// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"math"
)

// sound reports evidence that observe cannot have left, or that does not bear out
// the verdict.
func (g *gate) sound(v Verdict) error {
	if n := len(g.Questions); n == 0 || n > maxBounds+1 || g.Questions[0].Above != 0 || g.Raised < 0 {
		return errors.New("its questions are not those of a compare")
	}
	if g.Latency > vain || g.Latency != chosen && len(g.Questions) > 1 {
		return errors.New("its bounds are both chosen and not")
	}
	for i, q := range g.Questions {
		if i > 0 && q.Above <= g.Questions[i-1].Above {
			return errors.New("its bounds do not rise")
		}
		for _, e := range [...]*eprocess{&q.Harm, &q.Safe} {
			if !(e.N >= 0 && e.Bad >= 0 && e.Bad <= e.N && e.Stable >= 0 && e.Stable <= 1 && e.Kept <= 0) || !e.Bursts.sound() || math.IsNaN(e.evidence()) {
				return errors.New("its evidence is not a number")
			}
		}
		if !q.Paired.sound() || !q.Alone.sound() || !q.Past.sound() || !(q.HalvesBad >= 0 && q.HalvesBad <= q.HalvesN) {
			return errors.New("what it learned of stable is no sum of squares")
		}
		if !(q.StableBad >= 0 && q.StableBad <= q.StableN) {
			return errors.New("its counts of stable are none")
		}
	}
	if g.failed() != (v == Fail) || v == Safe && !g.shownSafe() {
		return fmt.Errorf("its evidence does not bear out its verdict %v", v)
	}
	return nil
}

// tell puts the numbers of the question that speaks most against the candidate
// into a finding.
func (g *gate) tell(f *Finding) {
	f.Evidence = g.harm()
	q := &g.Questions[g.worst]
	f.N, f.BaselineN = uint64(q.Harm.N), uint64(q.StableN)
	if q.Harm.N > 0 {
		f.Value = q.Harm.Bad / q.Harm.N
		f.Low, f.High = confidence(q.Harm.Bad, q.Harm.N, g.o.SafeRisk)
	}
	if q.StableN > 0 {
		f.Baseline = q.StableBad / q.StableN
	}
}

// sentence is the evidence in words, and what follows from it. It is made for every
// block, for it is saved with the verdict, so it is put together in place.
func (g *gate) sentence(so string) string {
	evidence := g.harm()
	q := &g.Questions[g.worst]
	var buffer [maxReason]byte
	b := append(buffer[:0], "candidate "...)
	if q.Above > 0 {
		b = append(append(append(b, "takes longer than "...), q.Above.String()...), " for "...)
	} else {
		b = append(b, "fails "...)
	}
	b = appendPercent(b, q.Harm.Bad/max(q.Harm.N, 1))
	b = append(appendGrouped(append(b, " of "...), q.Harm.N), " requests"...)
	if q.StableN > 0 {
		b = appendPercent(append(b, ", stable "...), q.StableBad/q.StableN)
		b = appendGrouped(append(b, " of "...), q.StableN)
	} else {
		b = append(b, ", and stable got none to compare with"...)
	}
	b = appendOdds(append(b, ": "...), evidence)
	return string(append(b, so...))
}
