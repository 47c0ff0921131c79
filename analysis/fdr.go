// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Discoveries are those of many findings, of regions, tenants or services, in which
// the candidate does harm, as their places in findings, rising. Of all that it names,
// the share that is named wrongly is on average at most rate, between 0 and 1,
// whatever the findings have to do with each other: the procedure e-BH (Wang and
// Ramdas, "False discovery rate control with e-values", 2022).
//
// It goes by Finding.Evidence alone, so it is for judges that weigh evidence, such
// as [Compare], [Limit] and [Ratio]. Beside many findings one that would fail on its
// own may not be enough, and many that would not fail alone may be enough together.
// A finding of another judge has no evidence and only makes the others' weigh less;
// one that is not a number counts as evidence against harm. The error names a rate
// that is none. Nothing is named where there are no findings.
func Discoveries(findings []Finding, rate float64) ([]int, error) {
	if !(rate > 0 && rate < 1) {
		return nil, fmt.Errorf("analysis: discoveries: rate %v: want a number between 0 and 1", rate)
	}
	strongest := make([]int, len(findings))
	for i := range strongest {
		strongest[i] = i
	}
	evidence := func(i int) float64 {
		if e := findings[i].Evidence; !math.IsNaN(e) {
			return e
		}
		return math.Inf(-1)
	}
	slices.SortStableFunc(strongest, func(a, b int) int { return cmp.Compare(evidence(b), evidence(a)) })
	// The k strongest are named if even the weakest of them has K/(k·rate) to 1.
	named := 0
	for k := len(strongest); k > 0 && named == 0; k-- {
		if evidence(strongest[k-1]) >= math.Log(float64(len(findings))/(float64(k)*rate)) {
			named = k
		}
	}
	list := slices.Clone(strongest[:named])
	slices.Sort(list)
	return list, nil
}
