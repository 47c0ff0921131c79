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
)

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

// string is a text as a string.
func (s *scanner) string() (string, error) {
	text, err := s.text()
	return string(text), err
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
