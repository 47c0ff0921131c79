// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a ledger holds is bounded. Nothing that is needed to find the last known
// good revision is ever dropped.
const (
	// maxRecords is more than any target keeps in its own history.
	maxRecords = 64
	// maxQuarantines is above maxRecords, so that there always is one whose
	// revision has been forgotten when one has to go.
	maxQuarantines = 128
	maxLifts       = 64
	maxReturns     = 64
)

const ledgerVersion = 1

// Ledger is what is known about a service's revisions: which are good, which are
// in quarantine, and which returns were made. It is a value: methods that change
// it return the changed one and leave the old one as it was. Two ledgers with
// the same history are equal. The zero Ledger knows nothing; set Service.
//
// Keep it where a crash does not reach it, as JSON, and replace it only by the
// one whose Rev is one higher.
type Ledger struct {
	Version int    `json:"version"`
	Service string `json:"service"`
	// Rev counts the changes, for compare-and-swap where it is kept.
	Rev uint64 `json:"rev"`
	// Seq counts the bakes and the decisions to return. It orders them; clocks do not.
	Seq uint64 `json:"seq"`

	// Records are the revisions that are known, the one touched last at the end.
	Records     []Record     `json:"records,omitempty"`
	Quarantines []Quarantine `json:"quarantines,omitempty"`
	Lifts       []Lift       `json:"lifts,omitempty"`
	// Returns are those that have ended, the last one at the end.
	Returns []Return `json:"returns,omitempty"`
	// Open is the return that is under way, nil if none is.
	Open *Return `json:"open,omitempty"`

	// Running is the digest that was deployed or returned to last, and Returned
	// says that it was the latter.
	Running  string `json:"running,omitempty"`
	Returned bool   `json:"returned,omitempty"`
}

// Record is a revision and whether it proved itself.
type Record struct {
	Revision   Revision  `json:"revision"`
	DeployedAt time.Time `json:"deployedAt,omitzero"`
	BakedAt    time.Time `json:"bakedAt,omitzero"`
	// Baked is the Seq of its last finished bake, 0 if it never finished one.
	Baked uint64 `json:"baked,omitempty"`
}

// Quarantine keeps a digest from being returned to.
type Quarantine struct {
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Why    string    `json:"why,omitempty"`
}

// Lift is a person's word that a quarantine was mistaken or is over.
type Lift struct {
	Quarantine Quarantine `json:"quarantine"`
	At         time.Time  `json:"at"`
	By         string     `json:"by"`
	Why        string     `json:"why"`
}

// ParseLedger reads a ledger from JSON. One that a newer version of this package
// wrote is refused: what it says may be more than this one can read.
func ParseLedger(data []byte) (Ledger, error) {
	var l Ledger
	if err := json.Unmarshal(data, &l); err != nil {
		return Ledger{}, fmt.Errorf("rollback: ledger: %w", err)
	}
	if l.Version > ledgerVersion {
		return Ledger{}, fmt.Errorf("rollback: ledger: version %d is newer than %d; upgrade this program", l.Version, ledgerVersion)
	}
	return l, nil
}

// LastKnownGood is the revision that finished its bake last, of those that are
// not in quarantine.
func (l Ledger) LastKnownGood() (Revision, bool) {
	best := Record{}
	for _, r := range l.Records {
		if _, bad := l.Quarantined(r.Revision.Digest); !bad && r.Baked > best.Baked {
			best = r
		}
	}
	return best.Revision, best.Baked > 0
}

// Quarantined tells whether, when and why a digest is in quarantine.
func (l Ledger) Quarantined(digest string) (Quarantine, bool) {
	if i := slices.IndexFunc(l.Quarantines, func(q Quarantine) bool { return q.Digest == digest }); i >= 0 {
		return l.Quarantines[i], true
	}
	return Quarantine{}, false
}

// Deployed notes that r is being rolled out or runs. It proves nothing about it.
// A digest in quarantine stays there.
func (l Ledger) Deployed(now time.Time, r Revision) (Ledger, error) {
	if err := r.validate(); err != nil {
		return l, err
	}
	l = l.next()
	l.record(r).DeployedAt = stamp(now)
	l.Running, l.Returned = r.Digest, false
	l.trim()
	return l, nil
}

// Baked notes that the revision with this digest served everything for its whole
// bake. It must have been Deployed.
func (l Ledger) Baked(now time.Time, digest string) (Ledger, error) {
	i := l.find(digest)
	if i < 0 {
		return l, fmt.Errorf("rollback: digest %q finished its bake but was never deployed; call Deployed first", digest)
	}
	l = l.next()
	l.Seq++
	r := l.record(l.Records[i].Revision)
	r.BakedAt, r.Baked = stamp(now), l.Seq
	return l, nil
}

// RolledBack notes a return that something else has made, such as a rollout that
// went home: from goes into quarantine and to runs. Do notes its own, and while
// one of those is open this is an error.
func (l Ledger) RolledBack(now time.Time, from, to Revision, ask Ask) (Ledger, error) {
	if err := errors.Join(from.validate(), to.validate()); err != nil {
		return l, err
	}
	if l.Open != nil {
		return l, fmt.Errorf("rollback: a return to %s is open; end it first", l.Open.To)
	}
	rev := l.Rev + 1 // it is one change
	l = l.Begin(l.decide(now, from, to, ask)).End(now, RolledBack, "")
	l.Rev = rev
	return l, nil
}

// Superseded notes that the rollout of this digest was given up for another one.
// That is no blame, so there is no quarantine.
func (l Ledger) Superseded(digest string) Ledger {
	l = l.next()
	if l.Running == digest {
		l.Running, l.Returned = "", false
	}
	return l
}

// Quarantine puts a digest into quarantine by a person's or a rule's word. One
// that is there keeps its first reason.
func (l Ledger) Quarantine(now time.Time, digest, by, why string) Ledger {
	l = l.next()
	l.quarantine(Quarantine{Digest: digest, At: stamp(now), By: by, Why: why})
	return l
}

// Lift ends a quarantine. Who says so and why are required, and kept. It proves
// nothing: a revision that never finished its bake still is not good.
func (l Ledger) Lift(now time.Time, digest, by, why string) (Ledger, error) {
	if by == "" || why == "" {
		return l, errors.New("rollback: lift: say who lifts the quarantine and why")
	}
	q, ok := l.Quarantined(digest)
	if !ok {
		return l, fmt.Errorf("rollback: lift: digest %q is not in quarantine", digest)
	}
	l = l.next()
	l.Quarantines = slices.DeleteFunc(l.Quarantines, func(q Quarantine) bool { return q.Digest == digest })
	if len(l.Quarantines) == 0 {
		l.Quarantines = nil // as JSON reads none
	}
	l.Lifts = last(append(l.Lifts, Lift{Quarantine: q, At: stamp(now), By: by, Why: why}), maxLifts)
	return l, nil
}

// Begin notes the intent to return, before anything is done about it: From goes
// into quarantine at once, so that nothing chooses it meanwhile. Do calls it.
func (l Ledger) Begin(r Return) Ledger {
	l = l.next()
	l.Seq++
	l.record(r.From)
	l.record(r.To)
	l.quarantine(Quarantine{Digest: r.From.Digest, At: r.At, By: r.By, Why: r.Why})
	l.Open = &r
	l.trim()
	return l
}

// End notes how the open return ended. Without one it changes nothing.
func (l Ledger) End(now time.Time, outcome Outcome, why string) Ledger {
	if l.Open == nil {
		return l
	}
	l = l.next()
	r := *l.Open
	r.Outcome, r.EndedAt, r.End = outcome, stamp(now), why
	l.Returns = last(append(l.Returns, r), maxReturns)
	l.Open = nil
	if outcome == RolledBack || outcome == RollbackFailed {
		// Also after a failure: the service may be half-way there, and whatever is
		// done next is a rollback of a rollback.
		l.Running, l.Returned = r.To.Digest, true
	}
	return l
}

// next is a copy to change, with the next Rev.
func (l Ledger) next() Ledger {
	l.Version = ledgerVersion
	l.Rev++
	l.Records = slices.Clone(l.Records)
	l.Quarantines = slices.Clone(l.Quarantines)
	l.Lifts = slices.Clone(l.Lifts)
	l.Returns = slices.Clone(l.Returns)
	if l.Open != nil {
		open := *l.Open
		l.Open = &open
	}
	return l
}

// record is the record of r's digest, made if need be and moved to the end.
func (l *Ledger) record(r Revision) *Record {
	rec := Record{}
	if i := l.find(r.Digest); i >= 0 {
		rec = l.Records[i]
		l.Records = slices.Delete(l.Records, i, i+1)
	}
	rec.Revision = r
	l.Records = append(l.Records, rec)
	return &l.Records[len(l.Records)-1]
}

func (l Ledger) find(digest string) int {
	return slices.IndexFunc(l.Records, func(r Record) bool { return r.Revision.Digest == digest })
}

func (l *Ledger) quarantine(q Quarantine) {
	if _, ok := l.Quarantined(q.Digest); !ok {
		l.Quarantines = append(l.Quarantines, q)
	}
	l.trim()
}

// trim drops what is too much: the records touched longest ago, but for the last
// known good one, and then the oldest quarantines that no record needs.
func (l *Ledger) trim() {
	good, _ := l.LastKnownGood()
	for i := 0; len(l.Records) > maxRecords && i < len(l.Records); {
		if l.Records[i].Revision.Digest == good.Digest {
			i++
			continue
		}
		l.Records = slices.Delete(l.Records, i, i+1)
	}
	for i := 0; len(l.Quarantines) > maxQuarantines && i < len(l.Quarantines); {
		if l.find(l.Quarantines[i].Digest) >= 0 {
			i++
			continue
		}
		l.Quarantines = slices.Delete(l.Quarantines, i, i+1)
	}
}

func (r Revision) validate() error {
	if r.ID == "" || r.Digest == "" {
		return fmt.Errorf("rollback: revision %q with digest %q: both must be set", r.ID, r.Digest)
	}
	return nil
}

// stamp drops what does not survive JSON.
func stamp(t time.Time) time.Time { return t.Round(0).UTC() }

// last is the last n of s, in memory that holds no more.
func last[T any](s []T, n int) []T {
	if len(s) <= n {
		return s
	}
	return slices.Clone(s[len(s)-n:])
}
