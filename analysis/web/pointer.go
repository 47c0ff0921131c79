// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// pointer is a JSON pointer (RFC 6901): the names and positions that lead to a value.
type pointer []string

// parsePointer reads text. The empty pointer is the whole document.
func parsePointer(text string) (pointer, error) {
	if text == "" {
		return nil, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("pointer %q: want it to begin with /", text)
	}
	p := strings.Split(text[1:], "/")
	for i, token := range p {
		for rest := token; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, fmt.Errorf("pointer %q: ~ is written ~0, and / within a name ~1", text)
			}
			rest = after
		}
		p[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return p, nil
}

// token is name as it is written within a pointer.
func token(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// errMissing says that there is nothing where a pointer leads.
var errMissing = errors.New("the answer has nothing there")

// in is the value that p leads to in a document that decode has read.
func (p pointer) in(document any) (any, error) {
	at := document
	for _, token := range p {
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return nil, errMissing
			}
			at = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || strconv.Itoa(i) != token || i < 0 || i >= len(v) {
				return nil, errMissing
			}
			at = v[i]
		default:
			return nil, errMissing
		}
	}
	return at, nil
}

// decode reads one JSON document and nothing behind it, its numbers as they are written.
func decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil {
		return nil, errors.New("the answer is not JSON") // its error has some of the answer in it
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the answer goes on behind its JSON")
	}
	return document, nil
}

// exact is up to where a float64 tells one count from the next.
const exact = 1 << 53

// count is a number of requests. Databases write large ones as strings, and
// JavaScript writes all of them as floats.
func count(v any) (uint64, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
		if f, err := v.Float64(); err == nil && f >= 0 && f <= exact && f == math.Trunc(f) {
			return uint64(f), nil
		}
	case string:
		text = v
	default:
		return 0, fmt.Errorf("%s is no count", kind(v))
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errors.New("it is no count: want a whole number from 0 on")
	}
	return n, nil
}

// number is any number. Strings can say what JSON cannot, that it is not one.
func number(v any) (float64, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	default:
		return 0, fmt.Errorf("%s is no number", kind(v))
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errors.New("it is no number, or too large to be one")
	}
	return f, nil
}

// instant is a moment, as in RFC 3339 or in seconds since 1970.
func instant(v any) (time.Time, error) {
	switch v := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t.UTC(), nil
		}
	case json.Number:
		if s, err := strconv.ParseInt(v.String(), 10, 64); err == nil && s >= 0 && s < 1<<40 {
			return time.Unix(s, 0).UTC(), nil
		}
	}
	return time.Time{}, errors.New("it is no moment: want one such as 2026-01-02T03:04:05Z, or whole seconds since 1970")
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return "a value"
}
