// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Ejection says when a backend that fails is left alone, and for how long. The
// zero value works.
//
// A backend that refuses a connection is ejected at once, for nothing can have
// reached it and the request goes to another. One whose connections break
// before an answer, cannot be secured or time out is ejected after Failures of
// them without an answer in between. An answer is no failure, whatever its
// status: an arm that answers 500 is for the analysis to see, and ejecting its
// backends one by one would hide it.
//
// The ejection lasts Base, and twice as long each time that it follows another,
// up to Max. Then one request is sent as a trial; its answer ends the ejection, its
// failure begins a longer one. A backend that has been well for Max begins anew.
type Ejection struct {
	// Failures is how many in a row eject a backend. 0 is three; below 0 none
	// is ever ejected.
	Failures int

	// Base is how long the first ejection lasts. 0 is one second.
	Base time.Duration

	// Max bounds the length of an ejection. 0 is one minute.
	Max time.Duration

	// Panic is the part of an arm's backends that must be well. With fewer, health
	// is not believed any more, for those that are left would be overrun: all
	// get requests, except those that refuse connections. 0 is a half; 1 is
	// practically never, since it is a millionth.
	//
	// With none left that takes connections, requests get 503 at once, while each
	// backend is given a trial every tenth of Base.
	Panic traffic.Weight

	// Status reports which statuses are failures, too. nil is none.
	Status func(code int) bool
}

// hopeless is how much more often trials are given when no backend is left.
const hopeless = 10

func (e Ejection) withDefaults() Ejection {
	if e.Failures == 0 {
		e.Failures = 3
	}
	if e.Base <= 0 {
		e.Base = time.Second
	}
	if e.Max <= 0 {
		e.Max = time.Minute
	}
	if e.Panic == 0 {
		e.Panic = traffic.Full / 2
	}
	return e
}

// length is how long the ejection after so many others lasts.
func (e *Ejection) length(repeats int) time.Duration {
	length := e.Base
	for ; repeats > 0 && length < e.Max; repeats-- {
		length *= 2
	}
	return min(length, e.Max)
}

// outcome is how a try at a backend ended, as far as it tells about the backend.
type outcome uint8

const (
	// answered: it answered.
	answered outcome = iota
	// untold: the try ended for a reason that lies elsewhere.
	untold
	// broken: it left without an answer what may have reached it.
	broken
	// refused: no connection was made, and at once.
	refused
)

// ended tells how a try that began at begun ended: with res or with err. For the
// answer of a backend that is well, it is one look at a number. Only what the
// network does is held against a backend: an error that a request can bring
// about by itself must not be a way to eject a pool.
func (b *backend) ended(req *http.Request, res *http.Response, err error, begun time.Time) {
	o := answered
	if err != nil {
		o = untold
		if u, ok := req.Body.(*upload); req.Context().Err() == nil && (!ok || !u.failed.Load()) {
			o = blame(err)
		}
	} else if failed := b.pool.rules.Status; failed != nil && failed(res.StatusCode) {
		o, err = broken, errors.New("answered "+res.Status)
	}
	b.report(o, begun, err)
}

// blame tells what an error of the network says about the backend.
func blame(err error) outcome {
	// What runs out here says nothing about what is there.
	for _, local := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, local) {
			return untold
		}
	}
	var dial *net.OpError
	var name *net.DNSError
	var network net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial" && !dial.Timeout() && (!errors.As(err, &name) || name.IsNotFound):
		return refused
	case errors.As(err, &network), errors.As(err, &certificate),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return broken
	}
	return untold
}

// health is what is known of a backend. The pool's lock guards it.
type health struct {
	since   time.Time // of the state that it is in
	ejected bool
	refused bool  // the last that was seen of it, and not only slow or wrong
	tried   bool  // a trial is under way
	repeats int   // ejections that followed one another
	due     int64 // when the next trial is
	lastErr error

	checks
}

// usable reports whether nothing speaks against sending the backend requests.
func (h *health) usable() bool { return !h.ejected && !h.failing }

// dueIn is when the backend, which is out in v, is due for a trial.
func (b *backend) dueIn(v *view) int64 {
	if len(v.in) > 0 && b.failing {
		return math.MaxInt64 // it is for the checks to bring it back
	}
	return b.due
}

// try leases the backend to the trial that is given now: unless that has ended
// before, the next is due when the ejection after its failure would end.
func (b *backend) try(now time.Time) {
	p := b.pool
	if len(p.view.Load().in) == 0 {
		b.tried, b.due = true, p.at(now.Add(p.rules.Base/hopeless))
		return
	}
	if b.tried {
		b.repeats++ // the one before has hung since
	}
	b.tried, b.due = true, p.at(now.Add(p.rules.length(b.repeats+1)))
}

// report takes note of an outcome. Answers of a backend that is well are none.
func (b *backend) report(o outcome, begun time.Time, err error) {
	if o <= untold && b.fails.Load() == 0 {
		return
	}
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch old := begun.Before(b.since); {
	case old && o == refused && b.ejected && !b.refused:
		b.refused = true
		p.rebuild(now)
	case old:
		// It tells of the time before the backend was ejected or came back.
	case o == answered:
		b.answer(now)
	case o == untold && b.tried:
		b.tried, b.due = false, p.at(now)
		p.schedule(p.view.Load())
	case o >= broken:
		b.fail(o, now, err)
	}
}

// answer takes note of an answer. A backend that has just come back is ejected
// again by one failure.
func (b *backend) answer(now time.Time) {
	p := b.pool
	switch {
	case b.ejected:
		p.log.Info("backend answers again", "arm", p.arm, "backend", b.url.Redacted(), "after", now.Sub(b.since))
		if b.tried {
			b.repeats++
		}
		b.ejected, b.since = false, now
		b.fails.Store(int32(p.rules.Failures - 1)) //nolint:gosec // a threshold
	case !b.refused:
		b.fails.Store(0)
		return
	}
	b.refused, b.tried = false, false
	p.rebuild(now)
}

// fail takes note of a failure.
func (b *backend) fail(o outcome, now time.Time, err error) {
	p := b.pool
	b.lastErr = err
	if p.rules.Failures < 0 {
		return
	}
	fails := int(b.fails.Add(1))
	switch {
	case b.ejected:
		if len(p.view.Load().in) > 0 {
			b.repeats++
		}
	case o == refused || fails >= p.rules.Failures:
		if now.Sub(b.since) > p.rules.Max {
			b.repeats = 0
		}
		p.log.Warn("backend ejected", "arm", p.arm, "backend", b.url.Redacted(), "for", p.rules.length(b.repeats), "err", err)
	default:
		return
	}
	b.ejected, b.refused, b.tried, b.since = true, o == refused, false, now
	b.due = p.at(now.Add(p.rules.length(b.repeats)))
	p.rebuild(now)
}

// rebuild sorts the backends anew into those that get requests and those that do
// not. The lock is the caller's.
func (p *pool) rebuild(now time.Time) {
	well := 0
	for _, b := range p.all {
		if b.usable() {
			well++
		} else {
			b.fails.CompareAndSwap(0, 1) // its next answer is news
		}
	}
	p.panics(uint64(well)*uint64(traffic.Full) < uint64(len(p.all))*uint64(p.rules.Panic), well) //nolint:gosec // no count is below 0
	v := &view{}
	for _, b := range p.all {
		if b.usable() || p.panicked && !b.refused {
			v.in = append(v.in, b)
		} else {
			v.out = append(v.out, b)
		}
	}
	if len(v.in) == 0 {
		for _, b := range v.out {
			b.due = min(b.due, p.at(now.Add(p.rules.Base/hopeless)))
		}
	}
	p.schedule(v)
	p.view.Store(v)
}

// panics notes whether health is believed no more.
func (p *pool) panics(now bool, well int) {
	if now && !p.panicked && well > 0 {
		p.log.Warn("too few backends are well: all that take connections get requests", "arm", p.arm, "well", well, "of", len(p.all))
	}
	p.panicked = now
}
