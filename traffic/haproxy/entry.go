// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// pivot is what the rules look up. Every key is a range that holds it.
const pivot = 1 << 62

// maxValue bounds an entry: HAProxy reads a command into one buffer of 16 KiB.
const maxValue = 4096

// entry is one of the map: a key, which is "fence:mark", and a value, which is a
// route. The mark ends in a sum of the value as it was written, so that a value
// that somebody else has changed in place is told from ours, and its fence is not lost.
type entry struct {
	key, value string
}

// newEntry is an entry under a key that is not used again: behind the bit that
// puts it above pivot come 30 bits by chance.
func newEntry(fence uint64, value string) entry {
	mark := pivot | uint64(rand.Uint32N(1<<30))<<32 | uint64(sum(value)) //nolint:gosec // a name, no secret
	return entry{fmt.Sprintf("%d:%d", fence, mark), value}
}

func sum(value string) uint32 { return crc32.ChecksumIEEE([]byte(value)) }

// fence is what the entry was written under. ok is false if its key is not one of ours.
func (e entry) fence() (fence uint64, written uint32, ok bool) {
	low, high, found := strings.Cut(e.key, ":")
	fence, err := strconv.ParseUint(low, 10, 62)
	mark, also := strconv.ParseUint(high, 10, 63)
	if !found || err != nil || also != nil || mark < pivot {
		return 0, 0, false
	}
	return fence, uint32(mark), true //nolint:gosec // the lower half is meant
}

// ours reports whether the entry is one of ours, and its value still what was written.
func (e entry) ours() bool {
	_, written, ok := e.fence()
	return ok && written == sum(e.value)
}

// wrote reports whether value is what was written under this key, whatever is there now.
func (e entry) wrote(value string) bool {
	_, written, ok := e.fence()
	return ok && written == sum(value)
}

// matches reports whether HAProxy takes the entry for pivot: a number, or a
// range of two with ':' or '-' between them, of which one may be missing.
func (e entry) matches() bool {
	at := strings.IndexAny(e.key, ":-")
	if at < 0 {
		n, err := strconv.ParseInt(e.key, 10, 64)
		return err == nil && n == pivot
	}
	low, high := e.key[:at], e.key[at+1:]
	if low != "" {
		if n, err := strconv.ParseInt(low, 10, 64); err != nil || n > pivot {
			return false
		}
	}
	if high != "" {
		if n, err := strconv.ParseInt(high, 10, 64); err != nil || n < pivot {
			return false
		}
	}
	return low != "" || high != ""
}

// encode writes a route as the value of an entry:
//
//	weight|stable|candidate|sticky|,match,match,
//
// in parts per million, as in "250000|blue|green|c:side|,h:X-Preview=eWVz,": the
// rules of Config read it field by field. What a match wants is in base64,
// since it may be any text.
func (c Config) encode(r traffic.Route) (string, error) {
	for _, arm := range []struct{ field, name string }{{"stable", r.Arms.Stable}, {"candidate", r.Arms.Candidate}} {
		if !namePattern.MatchString(arm.name) {
			return "", fmt.Errorf("arms.%s: %q cannot be the name of a backend: use letters, digits, dots, dashes and underscores", arm.field, arm.name)
		}
	}
	sticky := "-"
	if s := r.Split.Sticky; s != (traffic.Sticky{}) {
		token, err := c.token("sticky", s.Header, s.Cookie, "")
		if err != nil {
			return "", err
		}
		sticky = token
	}
	var matches strings.Builder
	matches.WriteByte(',')
	for i, m := range r.Split.Match {
		token, err := c.token(fmt.Sprintf("match[%d]", i), m.Header, m.Cookie, m.Query)
		if err != nil {
			return "", err
		}
		if m.Value != "" {
			token += "=" + base64.StdEncoding.EncodeToString([]byte(m.Value))
		}
		matches.WriteString(token + ",")
	}
	value := fmt.Sprintf("%d|%s|%s|%s|%s", r.Split.Candidate, r.Arms.Stable, r.Arms.Candidate, sticky, matches.String())
	if len(value) > maxValue {
		return "", fmt.Errorf("match: the route takes %d bytes and HAProxy can be told %d; use fewer matches: %w", len(value), maxValue, errors.ErrUnsupported)
	}
	return value, nil
}

// token names what a route looks at, if the configuration does, too.
func (c Config) token(field, header, cookie, query string) (string, error) {
	for _, kind := range []struct {
		prefix, what, name string
		declared           []string
	}{
		{"h:", "header", header, c.Headers},
		{"c:", "cookie", cookie, c.Cookies},
		{"q:", "query parameter", query, c.Queries},
	} {
		if kind.name == "" {
			continue
		}
		if !slices.Contains(kind.declared, kind.name) {
			return "", fmt.Errorf("%s: the %s %q is not among the %q that the configuration declares; add it to Config and print its rules anew: %w",
				field, kind.what, kind.name, kind.declared, errors.ErrUnsupported)
		}
		return kind.prefix + kind.name, nil
	}
	return "", fmt.Errorf("%s: nothing is named", field)
}

// decode reads what encode writes. Somebody else may have written it by hand.
func decode(value string) (traffic.Route, error) {
	fields := strings.Split(value, "|")
	if len(fields) != 5 {
		return traffic.Route{}, fmt.Errorf("want five fields with bars between them, have %d", len(fields))
	}
	weight, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || weight > uint64(traffic.Full) {
		return traffic.Route{}, fmt.Errorf("weight %q: want 0 to %d", fields[0], traffic.Full)
	}
	r := traffic.Route{Arms: traffic.Arms{Stable: fields[1], Candidate: fields[2]}}
	r.Split.Candidate = traffic.Weight(weight)
	if fields[3] != "-" {
		m, err := decodeMatch(fields[3])
		if err != nil || m.Query != "" || m.Value != "" {
			return traffic.Route{}, fmt.Errorf("sticky %q: want \"-\", \"h:\" with a header or \"c:\" with a cookie", fields[3])
		}
		r.Split.Sticky = traffic.Sticky{Header: m.Header, Cookie: m.Cookie}
	}
	list, ok := strings.CutPrefix(fields[4], ",")
	if !ok || list != "" && !strings.HasSuffix(list, ",") {
		return traffic.Route{}, fmt.Errorf("matches %q: want a comma before and behind each", fields[4])
	}
	for token := range strings.SplitSeq(strings.TrimSuffix(list, ","), ",") {
		if token == "" && list == "" {
			break
		}
		m, err := decodeMatch(token)
		if err != nil {
			return traffic.Route{}, err
		}
		r.Split.Match = append(r.Split.Match, m)
	}
	return r, r.Validate()
}

func decodeMatch(token string) (m traffic.Match, err error) {
	name, value, valued := strings.Cut(token, "=")
	kind, name, _ := strings.Cut(name, ":")
	if valued {
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(text) == 0 {
			return m, fmt.Errorf("match %q: want base64 behind the =", token)
		}
		m.Value = string(text)
	}
	switch {
	case name == "":
	case kind == "h":
		m.Header = name
		return m, nil
	case kind == "c":
		m.Cookie = name
		return m, nil
	case kind == "q":
		m.Query = name
		return m, nil
	}
	return m, fmt.Errorf("match %q: want \"h:\", \"c:\" or \"q:\" with a name", token)
}
