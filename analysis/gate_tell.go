// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// sound reports evidence that observe cannot have left, or that does not bear out
// the verdict.
func (g *gate) sound(v Verdict) error {
	if n := len(g.Questions); n == 0 || n > maxBounds+1 || g.Questions[0].Above != 0 || g.Raised < 0 {
		return errors.New("its questions are not those of a compare")
	}
	for i, q := range g.Questions {
		if i > 0 && q.Above <= g.Questions[i-1].Above {
			return errors.New("its bounds do not rise")
		}
		for _, e := range [...]*eprocess{&q.Harm, &q.Safe} {
			if !(e.N >= 0 && e.Bad >= 0 && e.Bad <= e.N && e.Stable >= 0 && e.Stable <= 1 && e.Kept <= 0) || math.IsNaN(e.evidence()) {
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
	if g.failed() != (v == Fail) || v == Safe && g.safe() < -math.Log(g.o.SafeRisk) {
		return fmt.Errorf("its evidence does not bear out its verdict %v", v)
	}
	return nil
}

// tell puts the numbers of the question that speaks most against the candidate
// into a finding.
func (g *gate) tell(f *Finding) {
	q := g.worst()
	f.Evidence = g.harm()
	f.N, f.BaselineN = uint64(q.Harm.N), uint64(q.StableN)
	if q.Harm.N > 0 {
		f.Value = q.Harm.Bad / q.Harm.N
		f.Low, f.High = confidence(q.Harm.Bad, q.Harm.N, g.o.SafeRisk)
	}
	if q.StableN > 0 {
		f.Baseline = q.StableBad / q.StableN
	}
}

// sentence is the evidence in words.
func (g *gate) sentence(evidence float64) string {
	q := g.worst()
	did := "fails"
	if q.Above > 0 {
		did = "takes longer than " + q.Above.String() + " for"
	}
	said := fmt.Sprintf("candidate %s %s of %s requests", did, percent(q.Harm.Bad/max(q.Harm.N, 1)), grouped(q.Harm.N))
	if q.StableN > 0 {
		said += fmt.Sprintf(", stable %s of %s", percent(q.StableBad/q.StableN), grouped(q.StableN))
	} else {
		said += ", and stable got none to compare with"
	}
	return said + ": " + odds(evidence)
}

// odds says how strong evidence is.
func odds(nats float64) string {
	switch n := math.Exp(min(nats, 60*math.Ln10)); {
	case n >= 1e12:
		return "more than a trillion to 1 for harm"
	case n >= 10:
		return grouped(math.Floor(n)) + " to 1 for harm"
	case n >= 1:
		return strconv.FormatFloat(n, 'f', 1, 64) + " to 1 for harm"
	default:
		return "nothing speaks for harm"
	}
}

// grouped is a whole number with its thousands apart: 108,000.
func grouped(v float64) string {
	s := []byte(strconv.FormatFloat(v, 'f', 0, 64))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = slices.Insert(s, i, ',')
	}
	return string(s)
}

// confidence is between what the share behind bad of n lies, at every look at once:
// the confidence sequence of the mixture over all shares with weights Beta(½,½)
// (Robbins, "Statistical methods related to the law of the iterated logarithm", 1970).
func confidence(bad, n, risk float64) (low, high float64) {
	lbeta := func(a, b float64) float64 {
		x, _ := math.Lgamma(a)
		y, _ := math.Lgamma(b)
		z, _ := math.Lgamma(a + b)
		return x + y - z
	}
	mixture := lbeta(bad+0.5, n-bad+0.5) - lbeta(0.5, 0.5)
	inside := func(p float64) bool {
		p = clamp(p)
		return mixture-bad*math.Log(p)-(n-bad)*math.Log1p(-p) < -math.Log(risk)
	}
	edge := func(in, out float64) float64 {
		for range 40 {
			if mid := (in + out) / 2; inside(mid) {
				in = mid
			} else {
				out = mid
			}
		}
		return (in + out) / 2
	}
	at := bad / n
	low, high = 0, 1
	if bad > 0 {
		low = edge(at, 0)
	}
	if bad < n {
		high = edge(at, 1)
	}
	return low, high
}
