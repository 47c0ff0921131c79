// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// BurnWindow is a pair of windows over which an error budget may burn too fast.
type BurnWindow struct {
	// Long shows that it matters, and Short, at most as long, that it still goes on.
	Long, Short time.Duration
	// Rate is how many times as fast as the objective allows is too fast.
	Rate float64
}

// BurnRateOptions shape a [BurnRate]. The zero BurnRateOptions are safe.
type BurnRateOptions struct {
	// Objective is the share of requests that must succeed. 0 is 0.999.
	Objective float64
	// Hold is how long a step is, to which windows are scaled where none are given. 0
	// is one minute.
	Hold time.Duration
	// Windows are the pairs of windows, at most four. Without any they are those of
	// the SRE workbook (14.4 over an hour and five minutes, 6 over six hours and half an
	// hour), scaled so that its hour is two holds; a short one is two blocks at
	// least. For those of the workbook itself, use [WorkbookWindows].
	Windows []BurnWindow
	// MinRequests is the fewest requests that a long window must hold to say
	// anything. 0 is 1000; with fewer, one failure in a hundred is a burn rate of 10.
	MinRequests uint64
	// Pace is when the source is read.
	Pace Pace
}

// WorkbookWindows are the windows at which the SRE workbook (chapter 5) has a person
// paged.
func WorkbookWindows() []BurnWindow {
	return []BurnWindow{
		{Long: time.Hour, Short: 5 * time.Minute, Rate: 14.4},
		{Long: 6 * time.Hour, Short: 30 * time.Minute, Rate: 6},
	}
}

// BurnRate is a judge of the service as a whole, both arms together: it says
// Inconclusive, and so holds a rollout where it is, while the error budget of an
// objective burns too fast over both windows of a pair. It blames nobody: a shared
// outage is no reason to roll a candidate back, and none to go on.
//
//   - Pending: no block of this step is complete yet.
//   - Pass: the budget does not burn too fast.
//   - Inconclusive: it does; or there is nothing to judge by.
//
// Windows are of blocks and go through all steps of a run. A block that took longer than
// Pace.Interval, over a restart, counts as one. Long windows are kept in a dozen
// parts, so they end within a twelfth of their length; while fewer blocks have been
// seen than a window holds, those that have been seen are judged.
//
// It bounds no error: it is a rule of thumb that many know. A BurnRate is safe for
// concurrent use and cannot be changed.
type BurnRate struct{ blocks }

var _ Judge = (*BurnRate)(nil)

const maxWindows = 4

// NewBurnRate is a BurnRate of what src counts. The error names the field that is wrong.
func NewBurnRate(src Source, o BurnRateOptions) (*BurnRate, error) {
	if o.Objective == 0 {
		o.Objective = 0.999
	}
	if o.MinRequests == 0 {
		o.MinRequests = 1000
	}
	if o.Hold == 0 {
		o.Hold = time.Minute
	}
	p, err := o.Pace.filledField()
	switch {
	case src == nil:
		err = errors.New("it has no source")
	case err != nil:
	case !(o.Objective > 0 && o.Objective < 1):
		err = fmt.Errorf("%s %v: want a share between 0 and 1; 99.9%% is 0.999", "Objective", o.Objective)
	case o.Hold < 0 || o.Hold > 30*24*time.Hour:
		err = fmt.Errorf("%s %v: want 0 for one minute, or up to 30 days", "Hold", o.Hold)
	case len(o.Windows) > maxWindows:
		err = fmt.Errorf("%s: %d of them: want at most %d", "Windows", len(o.Windows), maxWindows)
	default:
		o.Windows = slices.Clone(o.Windows)
		if len(o.Windows) == 0 {
			o.Windows = scaled(o.Hold, p.Interval)
		}
		err = o.checkWindows(p.Interval)
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: burn rate: %w", err)
	}
	return &BurnRate{blocks{source: src, pace: p, of: fingerprintOf("burn rate", o), gather: func() gatherer { return newBurnGate(&o, p.Interval) }}}, nil
}

// scaled are the workbook's windows for steps of a length, with its hour as two of them.
func scaled(hold, interval time.Duration) []BurnWindow {
	list := WorkbookWindows()
	for i := range list {
		w := &list[i]
		w.Short = max(2*hold*(w.Short/time.Minute)/60, 2*interval)
		w.Long = max(2*hold*(w.Long/time.Hour), w.Short)
	}
	return list
}

func (o BurnRateOptions) checkWindows(interval time.Duration) error {
	for i, w := range o.Windows {
		switch {
		case w.Short < interval:
			return fmt.Errorf("Windows[%d].Short %v: want at least a block, %v", i, w.Short, interval)
		case w.Long < w.Short || w.Long > 90*24*time.Hour:
			return fmt.Errorf("Windows[%d].Long %v: want at least Short, %v, and at most 90 days", i, w.Long, w.Short)
		case !(w.Rate > 0 && w.Rate*(1-o.Objective) < 1):
			return fmt.Errorf("Windows[%d].Rate %v: want more than 0, and less than %v, at which everything fails", i, w.Rate, plainNumber(1/(1-o.Objective)))
		}
	}
	return nil
}

// cells is in how many parts a window is kept.
const cells = 12

// sliding adds up the last blocks.
type sliding struct {
	// N and Bad are the cells; At is the one that is being filled, Filled by how many
	// blocks.
	N      [cells]float64 `json:"n"`
	Bad    [cells]float64 `json:"bad"`
	At     int            `json:"at,omitempty"`
	Filled int            `json:"filled,omitempty"`
}

// add takes a block into account, for a window of so many.
func (s *sliding) add(t tallied, blocks int) {
	each := (blocks + cells - 1) / cells
	if s.Filled >= each {
		s.At, s.Filled = (s.At+1)%((blocks+each-1)/each), 0
		s.N[s.At], s.Bad[s.At] = 0, 0
	}
	s.N[s.At] += t.n
	s.Bad[s.At] += t.bad
	s.Filled++
}

func (s *sliding) sum() (t tallied) {
	for i, n := range s.N {
		t.n += n
		t.bad += s.Bad[i]
	}
	return t
}

func (s *sliding) sound() bool {
	for i, n := range s.N {
		if !(tallied{n, s.Bad[i]}).counted() {
			return false
		}
	}
	return s.At >= 0 && s.At < cells && s.Filled >= 0
}

// burnGate is what a BurnRate has gathered.
type burnGate struct {
	o        *BurnRateOptions
	interval time.Duration
	// Long and Short go with the windows of the options.
	Long  []sliding `json:"long"`
	Short []sliding `json:"short"`
}

var _ gatherer = (*burnGate)(nil)

func newBurnGate(o *BurnRateOptions, interval time.Duration) *burnGate {
	n := len(o.Windows)
	return &burnGate{o: o, interval: interval, Long: make([]sliding, n), Short: make([]sliding, n)}
}

// blocks is how many blocks a window holds.
func (g *burnGate) blocks(window time.Duration) int {
	return int((window + g.interval - 1) / g.interval)
}

func (g *burnGate) begin(*Counts) {}
func (g *burnGate) step()         {}

func (g *burnGate) observe(candidate, stable *Counts) {
	a, b := of(candidate, 0), of(stable, 0)
	t := tallied{a.n + b.n, a.bad + b.bad}
	for i, w := range g.o.Windows {
		g.Long[i].add(t, g.blocks(w.Long))
		g.Short[i].add(t, g.blocks(w.Short))
	}
}

// rate is how fast the budget burns over both windows of a pair, 0 where they hold
// too little.
func (g *burnGate) rate(i int) float64 {
	long, short := g.Long[i].sum(), g.Short[i].sum()
	if long.n < float64(g.o.MinRequests) {
		return 0
	}
	return min(long.share(), short.share()) / (1 - g.o.Objective)
}

// worst is the first pair over which it burns too fast, or the one nearest to it.
func (g *burnGate) worst() int {
	worst, most := 0, 0.0
	for i, w := range g.o.Windows {
		of := g.rate(i) / w.Rate
		if of > 1 {
			return i
		}
		if of > most {
			worst, most = i, of
		}
	}
	return worst
}

func (g *burnGate) burning() bool {
	i := g.worst()
	return g.rate(i) > g.o.Windows[i].Rate
}

func (g *burnGate) judge() (Verdict, string) {
	i := g.worst()
	w, long, short := g.o.Windows[i], g.Long[i].sum(), g.Short[i].sum()
	said := fmt.Sprintf("both arms together fail %s of %s requests in %v and %s in %v: %s times what %s allows, limit %s",
		percent(long.share()), grouped(long.n), w.Long, percent(short.share()), w.Short, plainNumber(g.rate(i)), percent(g.o.Objective), plainNumber(w.Rate))
	if g.burning() {
		return Inconclusive, said + ": the service burns its error budget, whoever does it"
	}
	return Pass, said
}

func (g *burnGate) tell(f *Finding) {
	i := g.worst()
	long := g.Long[i].sum()
	f.Value, f.N = long.share(), uint64(long.n)
	if long.n > 0 {
		f.Low, f.High = confidence(long.bad, long.n, 0.05)
	}
}

func (g *burnGate) sound(v Verdict) error {
	if len(g.Long) != len(g.o.Windows) || len(g.Short) != len(g.o.Windows) {
		return errors.New("its windows are others")
	}
	for i := range g.Long {
		if !g.Long[i].sound() || !g.Short[i].sound() {
			return errors.New("its windows hold what was not counted")
		}
	}
	if v == Fail || v == Safe || v == Pass && g.burning() {
		return fmt.Errorf("its windows do not bear out its verdict %v", v)
	}
	return nil
}
