// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// compounded is the chance of 0 to most bad requests where as many bursts come as a
// Poisson law of mean says, and each goes on with chance g: by adding up bursts.
func compounded(mean, g float64, most int) []float64 {
	all, burst := make([]float64, most+1), make([]float64, most+1)
	sum := make([]float64, most+1) // of k bursts
	sum[0] = 1
	for x := 1; x <= most; x++ {
		burst[x] = (1 - g) * math.Pow(g, float64(x-1))
	}
	chance := math.Exp(-mean)
	for k := 1; k < 200; k++ {
		for x, p := range sum {
			all[x] += chance * p
		}
		next := make([]float64, most+1)
		for x, p := range sum {
			for y := 1; x+y <= most; y++ {
				next[x+y] += p * burst[y]
			}
		}
		sum = next
		chance *= mean / float64(k)
	}
	return all
}

func TestTheModelOfBurstsIsTheLawThatItNames(t *testing.T) {
	t.Parallel()
	for _, phi := range []float64{1.5, 3, 11} {
		for _, n := range []float64{30, 900} {
			const p, q = 0.03, 0.01
			g := (phi - 1) / (phi + 1)
			of := compounded(-n*(1-g)*math.Log1p(-p), g, counted)
			against := compounded(-n*(1-g)*math.Log1p(-q), g, counted)
			for x := range counted + 1 {
				got, want := (tallied{n, float64(x)}).bursts(p, q, phi), math.Log(of[x]/against[x])
				if math.Abs(got-want) > 1e-6 {
					t.Fatalf("%d bad of %v, bursts of dispersion %v: %v nats, want %v", x, n, phi, got, want)
				}
			}
		}
	}
}

func TestOneBurstIsLessNewsThanAsManyRequests(t *testing.T) {
	t.Parallel()
	six := tallied{100, 6}
	alone, burst, tempered := six.log(0.02, 0.001), six.bursts(0.02, 0.001, 11), six.log(0.02, 0.001)/11
	if burst >= alone/2 || burst <= tempered {
		t.Errorf("six bad in bursts of six: %v nats, want well below %v and more than %v", burst, alone, tempered)
	}
	if got := six.bursts(0.02, 0.001, 1); got != alone {
		t.Errorf("six bad of requests that are independent: %v nats, want %v", got, alone)
	}
}

func TestTheLesserOfBothCounts(t *testing.T) {
	t.Parallel()
	alike := func(l float64) (log [alternatives]float64) {
		for i := range log {
			log[i] = l
		}
		return log
	}
	for _, c := range []struct{ proven, bursts, room, want float64 }{
		{9, 2, 0, 2}, {2, 9, 0, 2}, {9, 2, 0.5, 2 + headStart/2}, {3, 2, 1, 3},
	} {
		swings := eprocess{Log: alike(c.proven), Kept: -1000, Bursts: burstEvidence{On: true, Log: alike(20), Swings: true, Swing: alike(c.bursts), Room: c.room}}
		if got := swings.evidence() - math.Log(1-kept); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("swings, %+v: %v nats", c, got)
		}
		e := eprocess{Log: alike(c.proven), Kept: -1000, Bursts: burstEvidence{On: true, Log: alike(c.bursts), Room: c.room}}
		if got := e.evidence() - math.Log(1-kept); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v nats", c, got)
		}
	}
}

// TestNoModelOfBurstsAddsToWhatIsProven is why the bound for independent requests
// needs nothing of the model: whatever stable shows, and whatever comes.
// strayed is any dispersion, and any less of swings.
func strayed(r *rand.Rand) temper {
	t := temper{candidate: 1 + 9*r.Float64(), stable: 1 + 9*r.Float64()}
	t.swing = 1 + (t.candidate-1)*min(1, 2*r.Float64())
	return t
}

func TestNoModelOfBurstsAddsToWhatIsProven(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 0)) //nolint:gosec // a simulation
	less := 0
	for range 300 {
		held, free := eprocess{Stable: 0.002}, eprocess{Stable: 0.002}
		for range 60 {
			p := 0.05 * r.Float64()
			b := block{drawn(r, r.IntN(60), 3*p*r.Float64()), drawn(r, r.IntN(300), p)}
			held.add(harm, Margin{1, 0.0005}, b, strayed(r))
			free.add(harm, Margin{1, 0.0005}, b, independent)
			if got, most := held.evidence(), free.evidence(); got > most {
				t.Fatalf("%v nats with a model of bursts, %v without, after %+v", got, most, b)
			} else if got < most-1 {
				less++
			}
		}
	}
	if less == 0 {
		t.Error("the model never said less")
	}
}

// clumped is how many of n requests are bad if they come in bursts of six on average.
func clumped(r *rand.Rand, n int, p float64) tallied {
	t := tallied{n: float64(n)}
	for range int(drawn(r, n, p/6).bad) {
		for t.bad++; r.Float64() > 1.0/6; {
			t.bad++
		}
	}
	t.bad = min(t.bad, t.n)
	return t
}

// TestBurstsNeitherBlameTheGoodNorHideTheBad: evidence for independent requests does
// the one, and that divided by the size of a burst the other.
func TestBurstsNeitherBlameTheGoodNorHideTheBad(t *testing.T) {
	t.Parallel()
	const seed, streams, blocks = 31, 400, 36
	found := func(excess float64) (n int) {
		r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
		for range streams {
			e := eprocess{Stable: 0.001}
			for range blocks {
				b := block{clumped(r, 100, 0.001+excess), clumped(r, 900, 0.001)}
				if e.add(harm, Margin{1, 0.0005}, b, temper{11, 11, 11}); e.evidence() >= -math.Log(0.01) {
					n++
					break
				}
			}
		}
		return n
	}
	if n := found(0); n > streams/100 {
		t.Errorf("seed %d: of %d good candidates %d are found to do harm, want 1 in 100 at most", seed, streams, n)
	}
	if n := found(0.01); n < streams/2 {
		t.Errorf("seed %d: of %d candidates that fail a point more %d are found, want half", seed, streams, n)
	}
}

// TestSwingsOfAnArmBlameNobody: the rates of all arms swing from block to block, and the
// candidate has a hundredth of the requests, and more later. Taken for bursts of seventy, which it would
// hardly ever have, its failures in every block would speak against it.
func TestSwingsOfAnArmBlameNobody(t *testing.T) {
	t.Parallel()
	const seed, streams, blocks, half = 41, 300, 18, 25_000
	failed := func(told bool) (count int) {
		r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
		arm := func(n int) tallied {
			mean := 0.01 * float64(n)
			swung := mean * math.Exp(0.5*r.NormFloat64()-0.125)
			return tallied{float64(n), max(0, math.Round(swung+math.Sqrt(swung)*r.NormFloat64()))}
		}
		for range streams {
			var d dispersion
			for range 90 {
				d.between(arm(half), arm(half))
			}
			e := eprocess{Stable: 0.01}
			for i := range blocks {
				n := 500 << (i / 6 * 2)
				a, b := arm(half), arm(half)
				phi := temper{candidate: d.factor(float64(n)), stable: d.factor(2 * half), swing: d.factor(float64(n))}
				if told {
					phi.swing = d.least(float64(n), 0.01)
				}
				e.add(harm, Margin{1, 0.0005}, block{arm(n), tallied{a.n + b.n, a.bad + b.bad}}, phi)
				if e.evidence() >= -math.Log(0.01) {
					count++
					break
				}
			}
		}
		return count
	}
	if blind, told := failed(false), failed(true); blind < streams/20 || told > streams/100 {
		t.Errorf("seed %d: of %d good candidates %d are found to do harm, want 1 in 100 at most; by bursts alone %d", seed, streams, told, blind)
	}
}

// TestALargeBurstIsNoCertaintyAndAnOutageIs: what a block may say is bounded, but for
// what it says divided by the dispersion.
func TestALargeBurstIsNoCertaintyAndAnOutageIs(t *testing.T) {
	t.Parallel()
	after := func(bad float64) (most float64) {
		e := eprocess{Stable: 0.001}
		e.add(harm, Margin{1, 0.0005}, block{tallied{1000, bad}, tallied{9000, 9}}, temper{11, 11, 11})
		return slices.Max(e.Bursts.Log[:])
	}
	swings := eprocess{Stable: 0.001}
	swings.add(harm, Margin{1, 0.0005}, block{tallied{1000, 20}, tallied{9000, 9}}, temper{11, 11, 2})
	if got := slices.Max(swings.Bursts.Swing[:]); got > 2.5 {
		t.Errorf("a swing by twenty that fail gives %v nats", got)
	}
	if got := after(20); got > 2.5 { // 2.9 by the model alone
		t.Errorf("twenty that fail together give %v nats", got)
	}
	if got := after(500); got < 50 {
		t.Errorf("half of a thousand that fail give %v nats", got)
	}
}

// TestWithoutStableNothingTellsSwingsFromBursts: what speaks without it speaks for both.
func TestWithoutStableNothingTellsSwingsFromBursts(t *testing.T) {
	t.Parallel()
	e := eprocess{Stable: 0.001}
	e.Bursts.begin(e.Log, temper{5, 5, 2})
	for range 3 {
		e.add(harm, Margin{Abs: 0.01}, block{candidate: tallied{1000, 30}}, temper{candidate: 5, stable: 1})
	}
	if e.Bursts.Swing != e.Bursts.Log || e.Bursts.Log == [alternatives]float64{} {
		t.Errorf("%+v", e.Bursts)
	}
}

func TestEvidenceByTheModelOfBurstsComesBackFromTheState(t *testing.T) {
	t.Parallel()
	e := eprocess{Stable: 0.001}
	plain, _ := json.Marshal(e)
	for range 5 {
		e.add(harm, Margin{1, 0.0005}, block{tallied{100, 6}, tallied{900, 1}}, temper{5, 5, 5})
	}
	if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), "swing") {
		t.Errorf("bursts cost what swings do: %s (%v)", text, err)
	}
	before := e.evidence()
	e.Bursts.begin(e.Log, temper{5, 5, 2}) // as a state of before swings is gone on with
	if got := e.evidence(); got != before {
		t.Errorf("evidence %v when swings are first told from bursts, %v before", got, before)
	}
	e.add(harm, Margin{1, 0.0005}, block{tallied{100, 2}, tallied{900, 1}}, temper{5, 5, 2})
	if e.Bursts.Swing == e.Bursts.Log {
		t.Error("a swing says the same as a burst")
	}
	data, err := json.Marshal(e)
	var back eprocess
	if err != nil || json.Unmarshal(data, &back) != nil || back != e || back.evidence() != e.evidence() {
		t.Errorf("%+v came back as %+v (%v)", e, back, err)
	}
	if len(plain) >= len(data)-100 {
		t.Errorf("a service without bursts pays for them: %s", plain)
	}
	for _, s := range []burstEvidence{{Room: 1}, {On: true, Room: 2}, {On: true, Room: math.NaN()}, {Log: e.Log}, {On: true, Swing: e.Log}} {
		if s.sound() {
			t.Errorf("%+v is taken for what add left", s)
		}
	}
}
