// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// caseTimeout bounds one case, so that a router that hangs fails by name.
const caseTimeout = 2 * time.Minute

// Run tries the router that newSubject makes against the whole contract, one
// subtest a case and a fresh subject for each. It fails t with an explanation
// for whoever writes the router.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.try(t, newSubject(t)) })
	}
}

// cases is the contract, in the order in which a router is best written.
func cases() []testCase {
	return slices.Concat(
		capsCases, splitCases, writeCases, fenceCases, refuseCases, partCases, // the router alone
		foreignCases, restCases, restartCases, anotherCases, faultCases, leakCases, // and its target
		sendCases, loadCases, connCases, matchCases, stickyCases, outageCases, mirrorCases, meterCases, // and requests
	)
}

// reporter is what a case needs of a *testing.T. The suite's own tests give it
// another one, to see cases fail.
type reporter interface {
	Helper()
	Context() context.Context
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// testCase is one behaviour.
type testCase struct {
	name string
	// why is the explanation for implementers.
	why   string
	needs []need
	run   func(r *run)
}

// need is something that a subject may lack.
type need struct {
	what string
	met  func(s Subject, c traffic.Caps) bool
}

var (
	needPartial = need{"weights between nothing and everything (Caps.Granularity)", func(_ Subject, c traffic.Caps) bool { return partial(c) }}
	needMirror  = need{"Caps.Mirror", func(_ Subject, c traffic.Caps) bool { return c.Mirror }}
	needMatch   = need{"Caps.Match", func(_ Subject, c traffic.Caps) bool { return c.Match }}
	needQuery   = need{"Caps.Query", func(_ Subject, c traffic.Caps) bool { return c.Query }}
	needSticky  = need{"Caps.Sticky", func(_ Subject, c traffic.Caps) bool { return c.Sticky }}
	needFencing = need{"Caps.Fencing", func(_ Subject, c traffic.Caps) bool { return c.Fencing }}
	needRoom    = need{"Caps.Room", func(_ Subject, c traffic.Caps) bool { return c.Room }}
	needForeign = need{"Subject.Foreign", func(s Subject, _ traffic.Caps) bool { return s.Foreign != nil }}
	needRestart = need{"Subject.Restart", func(s Subject, _ traffic.Caps) bool { return s.Restart != nil }}
	needAnother = need{"Subject.Another", func(s Subject, _ traffic.Caps) bool { return s.Another != nil }}
	needRest    = need{"Subject.Rest", func(s Subject, _ traffic.Caps) bool { return s.Rest != nil }}
	needBreak   = need{"Subject.Break", func(s Subject, _ traffic.Caps) bool { return s.Break != nil }}
	needSend    = need{"Subject.Send", func(s Subject, _ traffic.Caps) bool { return s.Send != nil }}
	needConnect = need{"Subject.Connect", func(s Subject, _ traffic.Caps) bool { return s.Connect != nil }}
	needCopies  = need{"Subject.Copies", func(s Subject, _ traffic.Caps) bool { return s.Copies != nil }}
	needMeter   = need{"a router that is a traffic.Meter", func(s Subject, _ traffic.Caps) bool { _, ok := traffic.MeterOf(s.Router); return ok }}
	needHaste   = need{"a Caps.Lag no longer than Subject.Settle", func(s Subject, c traffic.Caps) bool { return c.Lag <= s.Settle }}
	needLimits  = need{"anything that Caps rule out", func(_ Subject, c traffic.Caps) bool {
		return !c.Mirror || !c.Match || !c.Query || !c.Sticky || !partial(c)
	}}
)

// partial reports whether the router can split at all.
func partial(c traffic.Caps) bool {
	_, err := c.Nearest(traffic.Split{Candidate: traffic.Full / 2})
	return err == nil
}

// try runs the case against s, and explains it if it fails.
func (c testCase) try(t reporter, s Subject) {
	t.Helper()
	s = s.withDefaults()
	if s.Router == nil {
		t.Fatalf("the subject has no Router")
	}
	caps := s.Router.Caps()
	for _, n := range c.needs {
		if !n.met(s, caps) {
			t.Skipf("skipped for want of %s", n.what)
		}
	}
	defer func() {
		if t.Failed() {
			t.Errorf("the law: %s", c.why)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	r := &run{reporter: t, Subject: s, ctx: ctx, caps: caps}
	r.base = r.see().Fence
	c.run(r)
}
