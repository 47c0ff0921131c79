// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a reporter that keeps what a case says, so that a failure can be
// expected.
type recorder struct {
	ctx      context.Context //nolint:containedctx // a testing.T has one, too
	mu       sync.Mutex
	failures []string
	skipped  string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.mu.Lock()
	r.skipped = fmt.Sprintf(format, args...)
	r.mu.Unlock()
	runtime.Goexit()
}

// record tries c against s.
func record(t *testing.T, c testCase, s Subject) *recorder {
	t.Helper()
	r := &recorder{ctx: t.Context()}
	var wg sync.WaitGroup
	wg.Go(func() { c.try(r, s) })
	wg.Wait()
	return r
}

func TestAFailureIsExplained(t *testing.T) {
	t.Parallel()
	r := record(t, testCase{
		why: "because",
		run: func(r *run) { r.Fatalf("it is %s", "wrong") },
	}, memory(trafficOptions))
	if got := strings.Join(r.failures, "|"); got != "it is wrong|the law: because" {
		t.Errorf("a failing case reports %q", got)
	}
}

func TestWhatASubjectLacksIsSkippedByName(t *testing.T) {
	t.Parallel()
	s := memory(trafficOptions)
	s.Foreign = nil
	hooks := map[string]bool{}
	for _, c := range cases() {
		for _, n := range c.needs {
			if !strings.HasPrefix(n.what, "Subject.") {
				continue
			}
			hooks[n.what] = true
			r := record(t, c, s)
			if len(r.failures) > 0 || !strings.Contains(r.skipped, "Subject.") {
				t.Errorf("%s: skipped %q and failed %q, want it skipped for want of a hook", c.name, r.skipped, r.failures)
			}
		}
	}
	if len(hooks) != 8 {
		t.Errorf("cases need %v, want each of the eight hooks", hooks)
	}
}

func TestAFaultThatCannotBeMadeIsSkippedByName(t *testing.T) {
	t.Parallel()
	skips := ""
	for _, c := range cases() {
		if !slices.ContainsFunc(c.needs, func(n need) bool { return n.what == needBreak.what }) {
			continue
		}
		target := newTarget(trafficOptions)
		s := target.subject(target)
		s.Break = func(context.Context, Fault) (func(), error) { return nil, errors.ErrUnsupported }
		r := record(t, c, s)
		if len(r.failures) > 0 {
			t.Errorf("%s: %q, want it skipped", c.name, r.failures)
		}
		skips += r.skipped
	}
	for f := range Fault(len(faultNames)) {
		if !strings.Contains(skips, "Subject.Break("+f.String()+")") {
			t.Errorf("no case is skipped for want of %v", f)
		}
	}
}

func TestASubjectWithoutARouterFails(t *testing.T) {
	t.Parallel()
	if r := record(t, cases()[0], Subject{}); len(r.failures) == 0 {
		t.Error("a case passed without a router")
	}
}
