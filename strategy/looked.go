// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// looked is what the observation says of the plan's targets and checks, by their
// index and looked up once: a turn asks for the same few many times. A small plan's
// are kept in place, and cost no allocation.
type looked struct {
	in          *frozen // whose they are: a turn that begins a run changes plans
	targets     [smallTargets]sight
	checks      [smallChecks]heard
	moreTargets []sight
	moreChecks  []heard
}

type sight struct {
	seen traffic.Seen
	ok   bool
}

type heard struct {
	lane    int
	finding analysis.Finding
	ok      bool
}

func (t *turn) look() {
	t.looked = looked{in: t.in}
	if len(t.in.targets) > smallTargets {
		t.looked.moreTargets = make([]sight, len(t.in.targets))
	}
	if len(t.in.checks) > smallChecks {
		t.looked.moreChecks = make([]heard, len(t.in.checks))
	}
	for i := range t.in.targets {
		s := t.looked.target(i)
		s.seen, s.ok = t.o.Seen[t.in.targets[i].name]
	}
	for c := range t.in.checks {
		check, h := &t.in.checks[c], t.looked.check(c)
		h.lane = check.lane
		if h.finding, h.ok = t.o.Findings[CheckID{t.in.laneName(check.lane), check.name}]; h.ok {
			h.finding = h.finding.Sound()
		}
	}
}

func (l *looked) target(i int) *sight {
	if l.moreTargets != nil {
		return &l.moreTargets[i]
	}
	return &l.targets[i]
}

func (l *looked) check(c int) *heard {
	if l.moreChecks != nil {
		return &l.moreChecks[c]
	}
	return &l.checks[c]
}

// seen is what target i shows, the zero Seen and false if that is not known.
func (t *turn) seen(i int) (*traffic.Seen, bool) {
	if t.looked.in != t.in {
		t.look()
	}
	s := t.looked.target(i)
	return &s.seen, s.ok
}

// heard is what the judge of check c said, to whatever question.
func (t *turn) heard(c int) *heard {
	if t.looked.in != t.in {
		t.look()
	}
	return t.looked.check(c)
}
