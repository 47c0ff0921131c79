// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Mean is one judge of several that weigh evidence, such as [Compare], [Limit] and
// [Ratio], with one risk for all of them: the chance, over a whole rollout, of failing
// a candidate that does no harm in any respect. Its evidence is the mean of the parts',
// by [Part.Weight], which is evidence as good as each of them whatever they have to do
// with each other; more parts cost a little time, and no error. risk lies between 0
// and 1; 0 is 0.01. Its verdicts:
//
//   - Fail: the mean is 1 to risk or more.
//   - Inconclusive: a part is; or a part fails and the mean is not enough, as for a
//     part that knows no evidence.
//   - Pending: a part is, or could not work.
//   - Safe: all parts are. Each is right to say so with its own risk, and all of them
//     together are wrong no more often.
//   - Pass: otherwise.
//
// A part that fails stops there. So that nothing is lost by it, give each a Risk of
// its weight's share of this one's: of two that count the same, 0.005 each.
//
// The numbers of the finding are those of the part with the most evidence, but for
// Evidence itself. The error names the part that is wrong. See [Combination] for how
// parts are asked.
func Mean(risk float64, parts ...Part) (*Combination, error) {
	if risk == 0 {
		risk = Default().Risk
	}
	if err := checkChance("risk", risk); err != nil {
		return nil, fmt.Errorf("analysis: mean: %w", err)
	}
	parts = slices.Clone(parts)
	for i := range parts {
		switch p := &parts[i]; {
		case p.Weight == 0:
			p.Weight = 1
		case !(p.Weight > 0 && p.Weight <= maxLimit):
			return nil, fmt.Errorf("analysis: mean: part %q: Weight %v: want 0 for 1, up to %d", p.Name, p.Weight, maxLimit)
		}
	}
	return combine("mean", parts, func(findings []partFinding) Finding { return byEvidence(risk, findings) })
}

// byEvidence decides by the mean of the parts' evidence.
func byEvidence(risk float64, findings []partFinding) Finding {
	logs, weights := make([]float64, len(findings)), make([]float64, len(findings))
	most, worst := 0, rank(Safe)
	var reasons []string
	for i, f := range findings {
		logs[i], weights[i] = f.Evidence, f.Weight
		if !f.heard {
			logs[i] = math.Inf(-1) // what it would have said is not known
		}
		if logs[i]+math.Log(weights[i]) > logs[most]+math.Log(weights[most]) {
			most = i
		}
		worst = min(worst, max(rank(f.Verdict), rank(Inconclusive)))
	}
	decided := findings[most].Finding
	// At least one part was heard.
	decided.Evidence = logMean(logs, weights)
	decided.Verdict = worstFirst[worst]
	if decided.Evidence >= -math.Log(risk) {
		decided.Verdict = Fail
		reasons = append(reasons, findings[most].Name+": "+findings[most].Reason)
	} else {
		for _, f := range findings {
			if r := rank(f.Verdict); r == worst || r == rank(Fail) {
				reasons = append(reasons, f.Name+": "+f.Reason)
			}
		}
	}
	decided.Reason = odds(decided.Evidence) + " in the mean; " + strings.Join(reasons, "; ")
	return decided
}
