// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// answer is what the API says to a query, taken apart as far as it is needed. It is
// used again, and holds parts of the body that it was read from.
type answer struct {
	failed     bool
	kind       string // of the error
	problem    string
	warning    string
	resultType string
	series     []rawSeries
	points     []point
	natives    []native
	seriesMax  int
}

// rawSeries is one series: its labels as they came, and which points and natives
// are its own.
type rawSeries struct {
	labels           []byte
	points, pointEnd int
	native, natEnd   int
}

// point is a sample: milliseconds since 1970 and a value.
type point struct {
	at int64
	v  float64
}

// native is a sample of a native histogram.
type native struct {
	at      int64
	count   float64
	buckets []span
}

// span is a bucket of a native histogram: how many were above low and at most high.
type span struct{ low, high, n float64 }

// read takes a body apart.
func (a *answer) read(body []byte, seriesMax int) error {
	*a = answer{series: a.series[:0], points: a.points[:0], natives: a.natives[:0], seriesMax: seriesMax}
	s := &scanner{data: body}
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: it is not UTF-8", errShape)
	}
	status := ""
	err := s.object(func(key string) (err error) {
		switch key {
		case "status":
			status, err = s.string()
		case "errorType":
			a.kind, err = s.string()
		case "error":
			a.problem, err = s.string()
		case "warnings":
			return a.readWarnings(s)
		case "data":
			if s.next() == '{' {
				return a.readData(s)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.next() != 0 {
		return s.errorf("something follows")
	}
	switch status {
	case "error":
		a.failed = true
		return nil
	case "success":
	default:
		return fmt.Errorf("%w: its status is %.40q", errShape, status)
	}
	if a.resultType != "matrix" && a.resultType != "vector" {
		return fmt.Errorf("%w: the result is a %.40q", errShape, a.resultType)
	}
	return nil
}

func (a *answer) readWarnings(s *scanner) error {
	if s.next() != '[' {
		return nil // null
	}
	return s.array(func() error {
		text, err := s.string()
		if a.warning == "" {
			a.warning = text
		}
		return err
	})
}

func (a *answer) readData(s *scanner) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "resultType":
			a.resultType, err = s.string()
		case "result":
			if s.next() != '[' {
				return nil // null
			}
			return s.array(func() error { return a.readSeries(s) })
		}
		return err
	})
}

func (a *answer) readSeries(s *scanner) error {
	if s.next() != '{' {
		return s.skip() // of a scalar: the type of the result says so
	}
	if len(a.series) == a.seriesMax {
		return errTooMany
	}
	r := rawSeries{points: len(a.points), native: len(a.natives)}
	err := s.object(func(key string) error {
		switch key {
		case "metric":
			began := s.at
			if err := s.skip(); err != nil {
				return err
			}
			r.labels = s.data[began:s.at]
		case "value":
			return a.readPoint(s)
		case "values":
			return s.array(func() error { return a.readPoint(s) })
		case "histogram":
			return a.readNative(s)
		case "histograms":
			return s.array(func() error { return a.readNative(s) })
		}
		return nil
	})
	r.pointEnd, r.natEnd = len(a.points), len(a.natives)
	if err == nil && r.labels == nil {
		err = s.errorf("a series has no labels")
	}
	a.series = append(a.series, r)
	return err
}

func (a *answer) readPoint(s *scanner) (err error) {
	var p point
	if err := s.take('['); err != nil {
		return err
	}
	if p.at, err = s.moment(); err != nil {
		return err
	}
	if err := s.take(','); err != nil {
		return err
	}
	if p.v, err = s.value(); err != nil {
		return err
	}
	a.points = append(a.points, p)
	return s.take(']')
}

func (a *answer) readNative(s *scanner) (err error) {
	var h native
	if err := s.take('['); err != nil {
		return err
	}
	if h.at, err = s.moment(); err != nil {
		return err
	}
	if err := s.take(','); err != nil {
		return err
	}
	h.count = math.NaN()
	err = s.object(func(key string) (err error) {
		switch key {
		case "count":
			h.count, err = s.value()
		case "buckets":
			if s.next() != '[' {
				return nil // null
			}
			return s.array(func() error { return h.readBucket(s) })
		}
		return err
	})
	if err != nil {
		return err
	}
	a.natives = append(a.natives, h)
	return s.take(']')
}

// readBucket reads [rule, "low", "high", "n"]. Whether a bound itself belongs to the
// bucket, which the rule says, makes no difference here.
func (h *native) readBucket(s *scanner) (err error) {
	if len(h.buckets) == maxSpans {
		return s.errorf("a native histogram has more than %d buckets", maxSpans)
	}
	var b span
	if err := s.take('['); err != nil {
		return err
	}
	if _, err = s.word(); err != nil {
		return err
	}
	for _, into := range [...]*float64{&b.low, &b.high, &b.n} {
		if err := s.take(','); err != nil {
			return err
		}
		if *into, err = s.value(); err != nil {
			return err
		}
	}
	h.buckets = append(h.buckets, b)
	return s.take(']')
}

// maxSpans bounds the buckets of one native histogram. Prometheus itself has a
// limit that is far lower where one is set.
const maxSpans = 4096

// labelsOf reads the labels of a series.
func labelsOf(raw []byte) (map[string]string, error) {
	labels := make(map[string]string)
	s := &scanner{data: raw}
	err := s.object(func(key string) error {
		value, err := s.string()
		labels[key] = value
		return err
	})
	return labels, err
}
