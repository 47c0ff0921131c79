// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/rheostat-go/rheostat/analysis"
)

var _ analysis.Halves = (*Source)(nil)

// Halves reads the totals of two groups of stable's replicas, as of the very samples
// that Counts reads: after Counts of the same check it asks the server nothing.
//
// Replicas are told apart by the label [Query.Replica]. Which group one is in is a
// bit of the hash of the label's value, so that it stays there while others come and
// go; the bit is the one that divides most evenly those that were there when counting
// began. The error is errors.ErrUnsupported where no series of stable has the label.
// A stable of one replica is one group, and the other is empty.
func (s *Source) Halves(ctx context.Context, c analysis.Check) (a, b analysis.Counts, err error) {
	t, err := s.totals(ctx, c)
	if err == nil && !t.told {
		err = s.untold()
	}
	if err != nil {
		return a, b, s.failed(err)
	}
	return t.halves[0], t.halves[1], nil
}

// untold is the error where nothing tells replicas apart.
func (s *Source) untold() error {
	return fmt.Errorf("no series of stable has the label %s, by which Replica tells replicas apart: %w", s.query.replica, errors.ErrUnsupported)
}

// part is what a series is added to: the candidate, or one of three parts of stable.
type part uint8

const (
	rest part = iota // of stable, but of no replica that can be told
	half1
	half2
	rival // the candidate
	parts
)

// replica is a hash of what tells one of stable's replicas from the others.
type replica struct {
	known bool
	hash  uint64
}

// replicaOf is the replica that a series of stable is of.
func (p *plan) replicaOf(labels map[string]string) replica {
	value := labels[p.replica]
	if value == "" {
		return replica{}
	}
	sum := sha256.Sum256([]byte(value))
	return replica{known: true, hash: binary.BigEndian.Uint64(sum[:])}
}

// part is where a series of this arm and replica belongs.
func (l *ledger) part(of arm, r replica) part {
	switch {
	case of == candidate:
		return rival
	case !r.known:
		return rest
	default:
		return half1 + part(r.hash>>l.bit&1)
	}
}

// halve chooses the bit by which stable's replicas are divided: of all bits of their
// hashes the first that divides the known ones most evenly. By chance alone two
// replicas would be in one half every other time.
func (l *ledger) halve() {
	known := make(map[uint64]bool)
	for _, s := range l.keyed {
		if s.arm == stable && s.replica.known {
			known[s.replica.hash] = true
		}
	}
	least := math.MaxInt
	for bit := range 64 {
		uneven := len(known)
		for hash := range known {
			uneven -= 2 * int(hash>>bit&1) //nolint:gosec // a bit
		}
		if uneven = max(uneven, -uneven); uneven < least {
			least, l.bit = uneven, bit
		}
	}
}
