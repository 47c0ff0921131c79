// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// series is what one series of the answer is for.
type series struct {
	arm      arm
	replica  replica
	key      string
	requests bool
	errors   bool
	counter  counter
	native   bool // it counts what a native histogram has
	about    string
	// group and bucket are set for a series of a histogram.
	group  *group
	bucket *bucket
}

// at is when the series was seen last.
func (s *series) at() int64 {
	switch {
	case s.bucket != nil:
		return s.group.last()
	case s.group != nil:
		return max(s.group.last(), s.counter.at)
	}
	return s.counter.at
}

// series finds the one with these labels, and makes it where it is new.
func (l *ledger) series(raw []byte) (*series, error) {
	if s := l.named[string(raw)]; s != nil {
		return s, nil
	}
	labels, err := labelsOf(raw)
	if err != nil {
		return nil, err
	}
	key := keyOf(labels, "")
	s := l.keyed[key]
	if s == nil {
		if len(l.keyed) >= l.most {
			return nil, fmt.Errorf("%w since %v", errTooMany, time.UnixMilli(l.since).UTC())
		}
		if s, err = l.newSeries(labels); err != nil {
			return nil, err
		}
		s.key = key
		l.keyed[key] = s
	}
	l.named[string(raw)] = s
	return s, nil
}

func (l *ledger) newSeries(labels map[string]string) (*series, error) {
	p := l.plan
	s := &series{arm: neither}
	of, err := p.arm(labels)
	if err != nil || of == neither {
		return s, err
	}
	name := labels[nameLabel]
	is := func(metric string, conditions []condition) bool { return name == metric && allHold(conditions, labels) }
	s.requests = is(p.requests.metric, p.inRequests)
	s.errors = is(p.errors.metric, p.inErrs)
	latency := p.latency.metric != "" && is(p.latency.metric, p.inLate)
	if !s.requests && !s.errors && !latency {
		return s, nil
	}
	s.arm, s.about, s.replica = of, describe(labels), p.replicaOf(labels)
	if s.requests {
		l.told = l.told || of == stable && s.replica.known
		for label := range labels {
			l.classified[label] = true
		}
	}
	if latency {
		err = l.join(s, labels)
	}
	return s, err
}

// join makes the series one of its histogram's.
func (l *ledger) join(s *series, labels map[string]string) error {
	id := keyOf(labels, boundLabel)
	g := l.groups[id]
	if g == nil {
		g = &group{arm: s.arm, replica: s.replica, about: s.about}
		l.groups[id] = g
	}
	s.group = g
	if !l.plan.classic() {
		g.native = &nativeCounter{}
		return nil
	}
	bound, err := strconv.ParseFloat(labels[boundLabel], 64)
	if err != nil || math.IsNaN(bound) {
		return fmt.Errorf("%s has no bound in le", s.about)
	}
	s.bucket = g.bucket(bound)
	return nil
}

// keyOf is the labels in order, but one. Bounds are numbers: 1 is 1.0.
func keyOf(labels map[string]string, but string) string {
	names := make([]string, 0, len(labels))
	for name := range labels {
		if name != but {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		value := labels[name]
		if v, err := strconv.ParseFloat(value, 64); name == boundLabel && err == nil {
			value = strconv.FormatFloat(v, 'g', -1, 64)
		}
		b.WriteString(strconv.Quote(name) + strconv.Quote(value))
	}
	return b.String()
}
