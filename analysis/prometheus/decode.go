// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// answer is what the API says to a query, taken apart as far as it is needed. It is
// used again, and holds parts of the body that it was read from.
type answer struct {
	failed    bool
	kind      string // of the error
	problem   string
	warning   string
	matrix    string // the type of the result
	series    []rawSeries
	points    []point
	natives   []native
	seriesMax int
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

// scanner reads JSON of the shape that the query API has. It takes each byte once
// and copies nothing; what it does not know it skips.
type scanner struct {
	data []byte
	at   int
	deep int
}

const maxDepth = 32

var errShape = errors.New("not what the query API answers with")

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d", errShape, fmt.Sprintf(format, args...), s.at)
}

// next is the next byte that is no white space, 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(want byte) error {
	if c := s.next(); c != want || s.at == len(s.data) {
		return s.errorf("want %q", want)
	}
	s.at++
	return nil
}

// list reads [ and ] or { and } and calls each for what is between them, until each
// has read it.
func (s *scanner) list(open, end byte, each func() error) error {
	if s.deep++; s.deep > maxDepth {
		return s.errorf("too deep")
	}
	defer func() { s.deep-- }()
	if err := s.take(open); err != nil {
		return err
	}
	if s.next() == end {
		s.at++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case end:
			s.at++
			return nil
		default:
			return s.errorf("want a comma or %q", end)
		}
	}
}

func (s *scanner) array(each func() error) error { return s.list('[', ']', each) }

// object calls each with every key; what each does not read is skipped.
func (s *scanner) object(each func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		s.next()
		began := s.at
		if err := each(string(key)); err != nil {
			return err
		}
		if s.at == began {
			return s.skip()
		}
		return nil
	})
}

// quoted is a string with its quotes.
func (s *scanner) quoted() ([]byte, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	for began := s.at - 1; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '\\':
			s.at++
		case c == '"':
			s.at++
			return s.data[began:s.at], nil
		case c < ' ':
			return nil, s.errorf("a control character in a string")
		}
	}
	return nil, s.errorf("a string has no end")
}

// text is a string without its quotes.
func (s *scanner) text() ([]byte, error) {
	q, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(q, '\\') < 0 {
		return q[1 : len(q)-1], nil
	}
	var text string
	if err := json.Unmarshal(q, &text); err != nil {
		return nil, s.errorf("%v", err)
	}
	return []byte(text), nil
}

// word is a number, true, false or null.
func (s *scanner) word() ([]byte, error) {
	s.next()
	began := s.at
	for ; s.at < len(s.data); s.at++ {
		c := s.data[s.at]
		if c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
	}
	if s.at == began {
		return nil, s.errorf("want a value")
	}
	return s.data[began:s.at], nil
}

func (s *scanner) skip() error {
	switch s.next() {
	case '{':
		return s.object(func(string) error { return nil })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.quoted()
		return err
	default:
		_, err := s.word()
		return err
	}
}

// moment reads seconds as milliseconds.
func (s *scanner) moment() (int64, error) {
	w, err := s.word()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(w), 64)
	if err != nil || math.IsNaN(v) || math.Abs(v) > 1e12 {
		return 0, s.errorf("%.40q is no time", w)
	}
	return int64(math.Round(v * 1000)), nil
}

// value reads a number in quotes, as the API has them for NaN's sake.
func (s *scanner) value() (float64, error) {
	q, err := s.quoted()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(q[1:len(q)-1]), 64)
	if err != nil {
		return 0, s.errorf("%.40q is no number", q)
	}
	return v, nil
}

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
	if a.matrix != "matrix" && a.matrix != "vector" {
		return fmt.Errorf("%w: the result is a %.40q", errShape, a.matrix)
	}
	return nil
}

func (s *scanner) string() (string, error) {
	text, err := s.text()
	return string(text), err
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
			a.matrix, err = s.string()
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
