// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"crypto/sha1" //nolint:gosec // no secret: LaunchDarkly draws with it
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// Hash is the way a flag draws its units. It is part of the flag: another hash
// draws other people, so it never changes unless somebody writes it.
type Hash string

// The hashes.
const (
	// Murmur3 is MurmurHash3 x86_32 of salt and unit, as flagd does: the whole
	// 32 bits, scaled. It is what "" means.
	Murmur3 Hash = "murmur3"
	// LaunchDarkly is the first 60 bits of SHA-1 of salt, a dot and unit, where
	// the salt is key.salt.
	LaunchDarkly Hash = "launchdarkly"
	// Unleash is MurmurHash3 x86_32 of salt, a colon and unit, modulo 100.
	Unleash Hash = "unleash"
	// Java31 is 31·h + c over salt, a colon and unit in UTF-16, modulo 100. Flags
	// that draw with it share their people or exclude each other, and neighbours go
	// together: it is here to take running rollouts over, and a flag that uses it
	// gets a Problem that says so.
	Java31 Hash = "java31"
)

// Bucket is the place of unit among all, from 0 to just under 100 %: a split
// whose first share is 10 % has the units below 10. A unit keeps its place while salt
// and hash stay, so raising a percentage only adds people. The salt of a flag is
// its key, unless it has a salt of its own.
//
// Sources: Appleby's MurmurHash3; flagd's fractional, LaunchDarkly's and Unleash's
// published bucketing.
func Bucket(hash Hash, salt, unit string) (Percent, error) {
	d, err := newDraw(hash, salt)
	if err != nil {
		return 0, err
	}
	return d.place(unit), nil
}

// draw is a hash with its salt worked in.
type draw struct {
	hash  Hash
	salt  string
	state murmur3.Hash // of the salt
	java  uint32       // of the salt
}

func newDraw(hash Hash, salt string) (draw, error) {
	d := draw{hash: hash, salt: salt}
	switch hash {
	case "", Murmur3:
		d.hash = ""
		d.state = murmur3.New(0).Add(salt)
	case Unleash:
		d.state = murmur3.New(0).Add(salt).Add(":")
	case LaunchDarkly:
		d.salt = salt + "."
	case Java31:
		d.java = java31(0, salt+":")
	default:
		return draw{}, fmt.Errorf("unknown hash %q: use %s, %s, %s or %s", string(hash), Murmur3, LaunchDarkly, Unleash, Java31)
	}
	return d, nil
}

// place is where unit stands, below Everybody.
func (d *draw) place(unit string) Percent {
	switch d.hash {
	case "":
		high, _ := bits.Mul32(d.state.Add(unit).Sum(), uint32(Everybody))
		return Percent(high)
	case Unleash:
		return Percent(d.state.Add(unit).Sum()%100) * 1000
	case Java31:
		h := d.java
		h = java31(h, unit)
		if int32(h) < 0 { //nolint:gosec // the sign is what is asked for
			h = -h
		}
		return Percent(h%100) * 1000
	default:
		return d.sha1(unit)
	}
}

// sha1 is LaunchDarkly's place. It works in float32, as their evaluators do, so that
// whoever stands within a rounding of the edge is on the same side here.
func (d *draw) sha1(unit string) Percent {
	var room [256]byte
	text := append(append(room[:0], d.salt...), unit...)
	sum := sha1.Sum(text) //nolint:gosec // see above
	first := binary.BigEndian.Uint64(sum[:8]) >> 4
	part := float32(first) / float32(0xFFFFFFFFFFFFFFF)
	// The last place of all: shares end at Everybody, and theirs at 1.
	return min(Percent(part*float32(Everybody)), Everybody-1)
}

func java31(h uint32, s string) uint32 {
	for _, r := range s {
		if r > 0xFFFF {
			high, low := utf16.EncodeRune(r)
			h = h*31*31 + uint32(high)*31 + uint32(low) //nolint:gosec // UTF-16
			continue
		}
		h = h*31 + uint32(r) //nolint:gosec // a rune
	}
	return h
}
