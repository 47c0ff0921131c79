// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/internal/answers"
	"github.com/rheostat-go/rheostat/traffic"
)

// MirrorHeader marks the copy of a request that stable answers, with the value
// "1": whoever gets it should leave mails unsent and cards uncharged. Unlike a
// suffix on the Host, as other proxies have it, it reaches the same virtual host.
// A request from outside that has it loses it, unless Options.TrustForwarded.
const MirrorHeader = "Rheostat-Mirror"

const (
	mirrorCopies  = 64
	mirrorBody    = 1 << 20
	mirrorTimeout = 10 * time.Second
	// mirrorAnswer is how much of an answer to a copy is read, so that its
	// connection can be used again; the rest of a longer one is not waited for.
	mirrorAnswer = 4 << 20
)

// MirrorLimits bound what the copies of a route's Mirror may cost. What exceeds
// them is not copied, and counted in [Copies]; the request itself never waits and
// never fails for its copy. The zero MirrorLimits are the defaults.
type MirrorLimits struct {
	// Copies is how many may be under way at once, all arms together. 0 is 64.
	// No more than Copies times Body bytes are kept for them.
	Copies int
	// Body is how many bytes of a request's body are kept, which is sent on when
	// all of it is there. A request with a longer body is not copied. 0 is 1 MiB.
	Body int64
	// Timeout is how long a copy may take, its answer included. 0 is 10 seconds.
	Timeout time.Duration
}

func (l *MirrorLimits) setDefaults() error {
	switch {
	case l.Copies < 0:
		return fmt.Errorf("proxy: Options.Mirror.Copies: %d is negative; leave it 0 for %d", l.Copies, mirrorCopies)
	case l.Body < 0:
		return fmt.Errorf("proxy: Options.Mirror.Body: %d is negative; leave it 0 for %d", l.Body, mirrorBody)
	case l.Timeout < 0:
		return fmt.Errorf("proxy: Options.Mirror.Timeout: %v is negative; leave it 0 for %v", l.Timeout, mirrorTimeout)
	}
	if l.Copies == 0 {
		l.Copies = mirrorCopies
	}
	if l.Body == 0 {
		l.Body = mirrorBody
	}
	if l.Timeout == 0 {
		l.Timeout = mirrorTimeout
	}
	return nil
}

// Copies is what became of the requests of which an arm was to receive a copy.
// All counts only rise. Copies are in none of the arm's Totals, and while they
// are under way they are among its InFlight.
type Copies struct {
	// Requests, Errors and Latency are of the copies that were sent, and mean the
	// same as in [Proxy.Totals].
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"`
	Latency  []uint64 `json:"latency,omitempty"`

	// Busy counts those not sent because MirrorLimits.Copies were under way, or
	// as many bytes kept as they allow.
	Busy uint64 `json:"busy"`
	// Large counts those not sent because the body was longer than MirrorLimits.Body.
	Large uint64 `json:"large"`
	// Cut counts those not sent because stable never read the body to its end:
	// the client left, or the answer came first.
	Cut uint64 `json:"cut"`
	// Late counts those not sent because the route had changed when the body was there.
	Late uint64 `json:"late"`
	// Upgrades counts those not sent because they were a CONNECT, a WebSocket or
	// another change of protocol, which cannot be copied.
	Upgrades uint64 `json:"upgrades"`
}

// Copies counts the copies for an arm since it was added. They are all 0 for an
// arm that does not exist.
func (p *Proxy) Copies(arm string) Copies {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return Copies{}
	}
	m := &a.copies
	c := Copies{
		Busy: m.busy.Load(), Large: m.large.Load(), Cut: m.cut.Load(), Late: m.late.Load(), Upgrades: m.upgrades.Load(),
	}
	c.Requests, c.Errors, c.Latency = m.sent.Totals()
	return c
}

// copyCounters count the copies for one arm.
type copyCounters struct {
	sent                             answers.Counter
	busy, large, cut, late, upgrades atomic.Uint64
}

// copying is what the copies of all arms share.
type copying struct {
	limits  MirrorLimits
	running atomic.Int64 // copies under way
	kept    atomic.Int64 // bytes of bodies
}

// keep takes n bytes of what may be kept.
func (c *copying) keep(n int64) bool {
	if c.kept.Add(n) > int64(c.limits.Copies)*c.limits.Body {
		c.kept.Add(-n)
		return false
	}
	return true
}

// full spares a body that would not be sent.
func (c *copying) full() bool { return c.running.Load() >= int64(c.limits.Copies) }

// mirror has the candidate receive a copy of req, which is complete but for its
// backend's address and about to be sent to a, if the route says so. It returns
// at once. A body is copied as a reads it, for which req.Body is wrapped; the
// copy is sent when the body is complete, since a candidate that reads slowly
// would hold up stable otherwise, and one whose client leaves would see half.
func (p *Proxy) mirror(a *arm, req *http.Request) {
	if now := p.plan.Load(); now.Route.Split.Mirror > 0 && a == now.stable {
		p.mirrorTo(now, req)
	}
}

func (p *Proxy) mirrorTo(now *plan, req *http.Request) {
	if rand.Uint32N(uint32(traffic.Full)) >= uint32(now.Route.Split.Mirror) { //nolint:gosec // chance, no secret
		return
	}
	to := now.candidate
	bodiless := req.Body == nil || req.Body == http.NoBody
	switch {
	case req.Method == http.MethodConnect || req.Header.Get("Upgrade") != "":
		to.copies.upgrades.Add(1)
	case !bodiless && req.ContentLength > p.copying.limits.Body:
		to.copies.large.Add(1)
	case p.copying.full():
		to.copies.busy.Add(1)
	case bodiless:
		p.sendCopy(to, marked(req), 0)
	default:
		body := &req.Body
		if u, ok := req.Body.(*upload); ok {
			body = &u.ReadCloser // it stays outside, to be asked whose fault a failure was
		}
		*body = &tee{ReadCloser: *body, p: p, arm: to, copy: marked(req), length: req.ContentLength, trailer: req.Trailer}
	}
}

// marked is a copy of req that shares nothing with it, neither its body nor its
// context: who cancels the one means nothing to the other.
func marked(req *http.Request) *http.Request {
	out := req.Clone(context.Background())
	out.Body, out.GetBody, out.Trailer, out.ContentLength, out.TransferEncoding = nil, nil, nil, 0, nil
	if out.Header == nil {
		out.Header = http.Header{}
	}
	for _, line := range out.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			out.Header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Transfer-Encoding", "Expect"} {
		delete(out.Header, name)
	}
	out.Header[MirrorHeader] = []string{"1"}
	return out
}

// sendCopy sends req to a unless there are too many copies already or the route
// has no more use for it. Its body occupies kept bytes until it is over.
func (p *Proxy) sendCopy(a *arm, req *http.Request, kept int64) {
	switch {
	case p.copying.running.Add(1) > int64(p.copying.limits.Copies):
		a.copies.busy.Add(1)
	case !p.beginCopy(a):
		a.copies.late.Add(1)
	default:
		go func() {
			defer a.inFlight.done()
			defer p.copyOver(kept)
			p.exchange(a, req)
		}()
		return
	}
	p.copyOver(kept)
}

func (p *Proxy) copyOver(kept int64) {
	p.copying.kept.Add(-kept)
	p.copying.running.Add(-1)
}

// beginCopy counts a copy as under way to a, unless no route in force wants it
// there. As with begin, Drained sees it or it follows the Apply.
func (p *Proxy) beginCopy(a *arm) bool {
	for {
		now := p.plan.Load()
		if now.candidate != a || now.Route.Split.Mirror == 0 {
			return false
		}
		a.inFlight.begin()
		if p.plan.Load() == now {
			return true
		}
		a.inFlight.done()
	}
}
