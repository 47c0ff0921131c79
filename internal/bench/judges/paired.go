// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"slices"
)

// paired is the judge that this project's research ended with, before analysis.Compare:
// e-processes with an affine margin, each arm's evidence divided by the dispersion that
// two halves of stable showed in the quarter of an hour before the rollout. It is kept
// to be compared with, and shares no code with analysis.
type paired struct {
	questions []*pairedQuestion
	past      [2][]float64 // of stable: its shares of errors and of slow requests
	raised    int
	total     float64
	limit     float64 // evidence that is enough, in nats
	most      float64 // the most that counted so far
	owed      tick    // what lost scrapes held, which the next one shows
}

// pairedQuestion is one comparison, for harm and for safety.
type pairedQuestion struct {
	bad        func(group) int
	part       float64 // of the mean
	harm, safe mix
	// A limit acts while stable has no traffic, and has a number in past.
	limit      float64
	of         int
	phi, alone float64
	n          float64 // requests of a half that phi was measured with
	nAlone     float64
}

// mix is the mean of products of likelihood ratios, against an edge ratio·p+abs.
type mix struct {
	ratio, abs float64
	harm       bool
	log        [7]float64
	guess      float64
	n, bad     float64
}

var (
	pairedExcess = [6]float64{0.002, 0.006, 0.02, 0.06, 0.2, 0.5}
	pairedSlack  = [6]float64{0, 0.15, 0.3, 0.45, 0.6, 0.8}
)

func newPaired() rule { return pairedAt(math.Log(100)) }

// worst is the most evidence so far, of more than one block.
func (j *paired) worst() float64 { return j.most }

// pairedAt is the judge with a limit.
func pairedAt(limit float64) tuned {
	j := &paired{limit: limit}
	ask := func(bad func(group) int, part, ratio, abs, safeRatio, safe float64) {
		j.questions = append(j.questions, &pairedQuestion{
			bad: bad, part: part, phi: 1, alone: 1,
			harm: mix{ratio: ratio, abs: abs, harm: true}, safe: mix{ratio: safeRatio, abs: safe},
		})
	}
	ask(failures, 1.0/3, 1, 0.0005, 1, 0.005)
	for _, bound := range [4]int{1, 2, over250, over500} {
		ask(func(g group) int { return g.slower(bound) }, 1.0/12, 1.05, 0.005, 1.1, 0.03)
	}
	for i, bad := range [2]func(group) int{failures, slow500} {
		ask(bad, 1.0/6, 0, 0.01, 0, 0.01)
		q := j.questions[len(j.questions)-1]
		q.limit, q.of = 0.01, i
	}
	return j
}

func (j *paired) begin(past []tick) {
	for _, q := range j.questions {
		q.learn(past)
	}
	for _, t := range past {
		j.remember(t.stable())
	}
}

func (j *paired) remember(g group) {
	if g.n > 0 {
		j.past[0] = append(j.past[0], float64(failures(g))/float64(g.n))
		j.past[1] = append(j.past[1], float64(slow500(g))/float64(g.n))
	}
}

// learn measures the dispersion of the difference of the halves, and of stable alone.
func (q *pairedQuestion) learn(past []tick) {
	n, bad := 0.0, 0.0
	for _, t := range past {
		n += float64(t.stable().n)
		bad += float64(q.bad(t.stable()))
	}
	p := bad / max(n, 1)
	q.harm.guess = (bad + 0.001) / (n + 1)
	q.safe.guess = q.harm.guess
	var both, alone []float64
	for _, t := range past {
		a, b := float64(t.halves[0].n), float64(t.halves[1].n)
		x, y := float64(q.bad(t.halves[0])), float64(q.bad(t.halves[1]))
		if a == 0 || b == 0 {
			continue
		}
		q.n += (a + b) / 2 / float64(len(past))
		q.nAlone += (a + b) / float64(len(past))
		if m := (x + y) / (a + b); m > 0 && m < 1 {
			both = append(both, (x/a-y/b)/math.Sqrt(m*(1-m)*(1/a+1/b)))
		}
		if p > 0 && p < 1 {
			alone = append(alone, (x+y-(a+b)*p)/math.Sqrt((a+b)*p*(1-p)))
		}
	}
	q.phi, q.alone = spread(both), spread(alone)
}

// spread is the mean square, more for neighbours that hang together, and 1 where
// there are few blocks or chance gives that easily.
func spread(z []float64) float64 {
	if len(z) < 8 {
		return 1
	}
	sum, lag := 0.0, 0.0
	for i, v := range z {
		sum += v * v
		if i > 0 {
			lag += v * z[i-1]
		}
	}
	df := float64(len(z))
	phi := sum / df
	if phi < 1+math.Sqrt(2/df) {
		return 1
	}
	if r := min(lag/sum, 0.9); r > 0 {
		phi *= (1 + r) / (1 - r)
	}
	return phi
}

func scaled(phi, n, measured float64) float64 { return 1 + (phi-1)*max(1, n/max(measured, 1)) }

func (j *paired) step() {
	for _, q := range j.questions {
		q.safe.log, q.safe.n, q.safe.bad = [7]float64{}, 0, 0
	}
}

func (j *paired) observe(t tick, _ bool) Verdict {
	t.candidate = t.candidate.plus(j.owed.candidate)
	for i := range t.halves {
		t.halves[i] = t.halves[i].plus(j.owed.halves[i])
	}
	if j.owed = (tick{}); t.lost {
		j.owed = t
		return Nothing
	}
	stable := t.stable()
	logs := make([]float64, 0, len(j.questions))
	safe := math.Inf(1)
	for _, q := range j.questions {
		nC, xC, nS, xS := float64(t.candidate.n), float64(q.bad(t.candidate)), float64(stable.n), float64(q.bad(stable))
		switch {
		case q.limit > 0 && stable.n == 0:
			edge := max(q.limit, 1.25*high(j.past[q.of]))
			phi := scaled(q.alone, nC, q.nAlone)
			q.harm.abs, q.safe.abs = edge, edge
			q.harm.add(nC, xC, 0, 0, phi, 1)
		case q.limit == 0:
			f, g := scaled(q.phi, nC, q.n), scaled(q.phi, nS, q.n)
			q.harm.add(nC, xC, nS, xS, f, g)
			q.safe.add(nC, xC, nS, xS, f, g)
			safe = min(safe, q.safe.evidence())
		}
		logs = append(logs, q.harm.evidence()+math.Log(q.part))
	}
	j.remember(stable)
	total := logSum(logs)
	if total > j.total+0.1 {
		j.raised++
	}
	j.total = total
	if j.raised >= 2 {
		j.most = max(j.most, total)
	}
	switch {
	case j.raised >= 2 && total >= j.limit:
		return Rollback
	case stable.n > 0 && safe >= math.Log(20):
		return Early
	}
	return Nothing
}

// high is the 90th percentile.
func high(shares []float64) float64 {
	if len(shares) == 0 {
		return 0
	}
	sorted := slices.Clone(shares)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)*9/10]
}

func logSum(logs []float64) float64 {
	top, sum := slices.Max(logs), 0.0
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum)
}

func (m *mix) evidence() float64 { return logSum(m.log[:]) - math.Log(7) }

// add takes a block into account, each arm's evidence divided by what it is told.
func (m *mix) add(nC, xC, nS, xS, phiC, phiS float64) {
	s := min(max(m.guess, 1e-7), 1-1e-7)
	edge := m.ratio*s + m.abs
	if nC > 0 && (nS > 0 || m.ratio == 0) && edge > 1e-7 && edge < 0.98 {
		for i := range m.log {
			var c float64
			switch {
			case i == 6:
				c = (m.bad + edge) / (m.n + 1)
			case m.harm:
				c = edge + (1-edge)*pairedExcess[i]
			default:
				c = edge * pairedSlack[i]
			}
			c = min(max(c, 1e-7), 1-1e-7)
			if m.harm == (c > edge) && c != edge {
				m.log[i] += m.ratioOf(nC, xC, nS, xS, phiC, phiS, c, s)
			}
		}
	}
	m.n += nC
	m.bad += xC
	if nS > 0 {
		m.guess += 0.06 * (xS/nS - m.guess)
	}
}

// ratioOf is the log likelihood ratio of a block against the point of the edge that is
// nearest, which bisection finds.
func (m *mix) ratioOf(nC, xC, nS, xS, phiC, phiS, c, s float64) float64 {
	c0, s0 := m.abs, s
	if m.ratio > 0 {
		low, high := s, min((c-m.abs)/m.ratio, 1)
		if high < low {
			low, high = max(high, 0), low
		}
		for range 50 {
			s0 = (low + high) / 2
			c0 = m.ratio*s0 + m.abs
			if nC/phiC*m.ratio*(c0-c)*s0*(1-s0)+nS/phiS*(s0-s)*c0*(1-c0) < 0 {
				low = s0
			} else {
				high = s0
			}
		}
	}
	if c0 <= 0 || c0 >= 1 || m.ratio > 0 && (s0 <= 0 || s0 >= 1) {
		return 0
	}
	l := (xC*math.Log(c/c0) + (nC-xC)*math.Log((1-c)/(1-c0))) / phiC
	if m.ratio > 0 {
		l += (xS*math.Log(s/s0) + (nS-xS)*math.Log((1-s)/(1-s0))) / phiS
	}
	return l
}
