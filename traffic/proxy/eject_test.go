// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

var errRefused = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

// pooled is a pool of n backends.
func pooled(n int, rules Ejection) *pool {
	p := newPool("v1", rules, slog.New(slog.DiscardHandler))
	urls := make([]*url.URL, 0, n)
	for i := range n {
		urls = append(urls, &url.URL{Scheme: "http", Host: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	p.set(urls)
	return p
}

// tell reports outcomes of tries at b that begin now.
func (b *backend) tell(outcomes ...outcome) {
	for _, o := range outcomes {
		var err error
		if o != answered {
			err = errRefused
		}
		b.report(o, time.Now(), err)
	}
}

// chosen is which backends are chosen in many tries. Trials are not answered.
func (p *pool) chosen() map[*backend]int {
	chosen := map[*backend]int{}
	for range 50 * len(p.all) {
		if b := p.choose(nil); b != nil {
			chosen[b]++
		}
	}
	return chosen
}

func TestARefusedConnectionEjectsAtOnceAndABrokenOneTheThirdTimeInARow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rules   Ejection
		tries   []outcome
		ejected bool
	}{
		"refused":                   {tries: []outcome{refused}, ejected: true},
		"broken twice":              {tries: []outcome{broken, broken}},
		"broken three times":        {tries: []outcome{broken, broken, broken}, ejected: true},
		"answered in between":       {tries: []outcome{broken, broken, answered, broken, broken}},
		"untold in between":         {tries: []outcome{broken, broken, untold, broken}, ejected: true},
		"untold":                    {tries: []outcome{untold, untold, untold, untold}},
		"once is enough":            {rules: Ejection{Failures: 1}, tries: []outcome{broken}, ejected: true},
		"never":                     {rules: Ejection{Failures: -1}, tries: []outcome{broken, broken, broken, refused}},
		"answered before and after": {tries: []outcome{answered, broken, broken, broken, answered}, ejected: false},
	} {
		p := pooled(2, tt.rules)
		b := p.all[0]
		b.tell(tt.tries...)
		if got := p.chosen()[b] == 0; got != tt.ejected || (b.status().State == BackendEjected) != tt.ejected {
			t.Errorf("%s: ejected %v, %v, want %v", name, got, b.status(), tt.ejected)
		}
	}
}

func TestAnEjectionIsLongerEachTimeAndEndsWithOneTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(2, Ejection{Max: 10 * time.Second})
		b := p.all[0]
		b.tell(refused)
		for _, length := range []time.Duration{1, 2, 4, 8, 10, 10} {
			until := b.status().Until
			if got := time.Until(until); got != length*time.Second {
				t.Fatalf("ejected for %v, want %v s", got, int64(length))
			}
			time.Sleep(time.Until(until) - 1)
			if n := p.chosen()[b]; n > 0 {
				t.Fatalf("%d requests before the trial was due", n)
			}
			time.Sleep(time.Nanosecond)
			if n := p.chosen()[b]; n != 1 {
				t.Fatalf("%d trials at once, want 1", n)
			}
			b.tell(broken)
		}
		time.Sleep(10 * time.Second)
		p.chosen()
		b.tell(answered)
		if n := p.chosen()[b]; n < 10 || b.status().State != BackendWell || !b.status().Until.IsZero() {
			t.Errorf("%d requests after a trial was answered, %+v", n, b.status())
		}

		// On probation: one failure is enough, until it has answered once more.
		b.tell(broken)
		if s := b.status(); s.State != BackendEjected || time.Until(s.Until) != 10*time.Second {
			t.Errorf("failed right after it came back: %+v, want ejected for 10s", s)
		}
		time.Sleep(10 * time.Second)
		p.chosen()
		b.tell(answered, answered, broken, broken)
		if s := b.status(); s.State != BackendWell {
			t.Errorf("two failures after two answers: %+v, want it well", s)
		}
		time.Sleep(10*time.Second + 1)
		b.tell(broken)
		if s := b.status(); s.State != BackendEjected || time.Until(s.Until) != time.Second {
			t.Errorf("failed after it had been well for Max: %+v, want ejected for 1s", s)
		}
	})
}

func TestATrialIsGivenToOneOfManyWhoAskAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(3, Ejection{})
		b := p.all[0]
		for range 50 {
			b.tell(refused)
			time.Sleep(time.Until(b.status().Until))
			var trials atomic.Int64
			for range 8 {
				go func() {
					for range 20 {
						if p.choose(nil) == b {
							trials.Add(1)
						}
					}
				}()
			}
			synctest.Wait()
			if n := trials.Load(); n != 1 {
				t.Fatalf("%d trials, want 1", n)
			}
		}
	})
}

func TestATrialThatTellsNothingIsGivenAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(2, Ejection{})
		b := p.all[0]
		b.tell(refused)
		time.Sleep(time.Second)
		for range 3 {
			if n := p.chosen()[b]; n != 1 {
				t.Fatalf("%d trials, want 1", n)
			}
			b.tell(untold)
		}
		p.chosen()
		b.tell(refused)
		if d := time.Until(b.status().Until); d != 2*time.Second {
			t.Errorf("ejected for %v, want 2s: a client that left is no failure", d)
		}
	})
}

func TestARequestThatHasFailedOnceIsNotRiskedForATrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(3, Ejection{})
		p.all[0].tell(refused)
		time.Sleep(time.Second)
		for range 100 {
			if p.choose(p.all[1]) != p.all[2] {
				t.Fatal("it was not sent to the one that is well")
			}
		}
		if p.chosen()[p.all[0]] != 1 {
			t.Error("the trial was not given to another request")
		}
		// With none that is well, a trial is its only chance.
		for _, b := range p.all {
			b.tell(refused)
		}
		time.Sleep(time.Second)
		if b := p.choose(p.all[1]); b == nil || b == p.all[1] {
			t.Error("it was not tried at one that had not failed it")
		}
	})
}

func TestATrialThatHangsIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(2, Ejection{})
		b, begun := p.all[0], time.Now()
		b.tell(refused)
		var at []time.Duration
		for time.Since(begun) < time.Minute {
			if p.choose(nil) == b {
				at = append(at, time.Since(begun)/time.Second)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !slices.Equal(at, []time.Duration{1, 3, 7, 15, 31}) {
			t.Errorf("trials after %d seconds", at)
		}
	})
}

func TestWhatBeganBeforeTellsNothingOfWhatIsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(2, Ejection{})
		b, before := p.all[0], time.Now()
		time.Sleep(time.Millisecond)
		b.tell(broken, broken, broken)
		was := b.status()
		b.report(answered, before, nil)
		b.report(broken, before, io.EOF)
		if now := b.status(); now != was {
			t.Errorf("tries from before the ejection made it %+v, want %+v", now, was)
		}
		time.Sleep(time.Second)
		p.chosen()
		b.tell(answered)
		b.tell(broken)
		if d := time.Until(b.status().Until); d != 2*time.Second {
			t.Errorf("ejected for %v the second time, want 2s", d)
		}
		time.Sleep(2 * time.Second)
		p.chosen()
		b.tell(answered, answered)
		for range 3 {
			b.report(refused, before, errRefused)
			b.report(broken, before, io.EOF)
		}
		if s := b.status(); s.State != BackendWell {
			t.Errorf("failures from before it came back made it %+v", s)
		}
	})
}

func TestARefusalThatComesLateIsStillOne(t *testing.T) {
	t.Parallel()
	p := pooled(1, Ejection{Base: time.Hour})
	b, before := p.all[0], time.Now()
	b.tell(broken, broken, broken)
	if p.choose(nil) != b {
		t.Fatal("the only one is not chosen in a panic")
	}
	b.report(refused, before, errRefused) // it died while that connection was made
	if p.choose(nil) != nil {
		t.Error("one was chosen that refuses connections")
	}
}

func TestInAPanicAllThatTakeConnectionsGetRequests(t *testing.T) {
	t.Parallel()
	type outcomes = [][]outcome
	eof, gone := []outcome{broken, broken, broken}, []outcome{refused}
	for name, tt := range map[string]struct {
		panic traffic.Weight
		tries outcomes
		in    []int
	}{
		"half are well":             {0, outcomes{nil, nil, eof, gone}, []int{0, 1}},
		"one of four is well":       {0, outcomes{nil, eof, eof, gone}, []int{0, 1, 2}},
		"one of four, none breaks":  {0, outcomes{nil, gone, gone, gone}, []int{0}},
		"none is well":              {0, outcomes{eof, eof, gone}, []int{0, 1}},
		"the only one breaks":       {0, outcomes{eof}, []int{0}},
		"the only one is gone":      {0, outcomes{gone}, nil},
		"all are gone":              {0, outcomes{gone, gone, gone}, nil},
		"practically never":         {1, outcomes{nil, eof, eof, gone}, []int{0}},
		"always":                    {traffic.Full, outcomes{nil, nil, nil, eof}, []int{0, 1, 2, 3}},
		"it refused after breaking": {0, outcomes{nil, eof, append(slices.Clone(eof), refused)}, []int{0, 1}},
	} {
		p := pooled(len(tt.tries), Ejection{Panic: tt.panic, Base: time.Hour})
		for i, o := range tt.tries {
			p.all[i].tell(o...)
		}
		var in []int
		chosen := p.chosen()
		for i, b := range p.all {
			if chosen[b] > 0 {
				in = append(in, i)
			}
		}
		if !slices.Equal(in, tt.in) {
			t.Errorf("%s: %d get requests, want %d", name, in, tt.in)
		}
	}
}

func TestAnAnswerInAPanicBringsABackendBack(t *testing.T) {
	t.Parallel()
	p := pooled(1, Ejection{})
	b := p.all[0]
	b.tell(broken, broken, broken)
	if p.choose(nil) != b || b.status().State != BackendEjected {
		t.Fatalf("%+v, want it ejected and chosen", b.status())
	}
	b.tell(answered)
	if s := b.status(); s.State != BackendWell {
		t.Errorf("%+v, want it well", s)
	}
}

func TestAnArmWithNoneLeftTriesEachOftenAndIsBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pooled(3, Ejection{})
		for _, b := range p.all {
			b.tell(refused)
		}
		trials := map[*backend]int{}
		for range 10_000 { // ten seconds
			if b := p.choose(nil); b != nil {
				trials[b]++
				b.tell(refused)
			}
			time.Sleep(time.Millisecond)
		}
		for _, b := range p.all {
			if n := trials[b]; n < 95 || n > 100 {
				t.Errorf("%d trials of one backend in ten seconds, want 100", n)
			}
		}
		time.Sleep(100 * time.Millisecond)
		b := p.choose(nil)
		if b == nil {
			t.Fatal("no trial was due")
		}
		b.tell(answered)
		for range 100 {
			if p.choose(nil) == nil {
				t.Fatal("a request found none, although one answers again")
			}
		}
		// Hopeless trials do not make an ejection longer.
		for _, other := range p.all {
			if other != b {
				time.Sleep(time.Second)
				other.tell(refused)
				if d := time.Until(other.status().Until); d > 2*time.Second {
					t.Errorf("ejected for %v after a time without any, want 2s", d)
				}
			}
		}
	})
}

func TestOnlyTheNetworksFailuresAreBlamedOnABackend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want outcome
	}{
		{errRefused, refused},
		{fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}), refused},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, refused},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTemporary: true}}, broken},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, broken},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, untold},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, untold},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, broken},
		{io.EOF, broken},
		{io.ErrUnexpectedEOF, broken},
		{context.DeadlineExceeded, broken},
		{&tls.CertificateVerificationError{Err: errors.New("expired")}, broken},
		{errors.New("net/http: invalid header field name"), untold},
		{http.ErrBodyReadAfterClose, untold},
		{nil, untold},
	} {
		if got := blame(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestAStatusIsAFailureOnlyWhereItIsSaid(t *testing.T) {
	t.Parallel()
	req := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	gateway := func(code int) bool { return code == http.StatusBadGateway || code == http.StatusServiceUnavailable }
	for _, tt := range []struct {
		status  func(int) bool
		code    int
		ejected bool
	}{
		{nil, http.StatusInternalServerError, false},
		{nil, http.StatusServiceUnavailable, false},
		{gateway, http.StatusServiceUnavailable, true},
		{gateway, http.StatusInternalServerError, false},
	} {
		p := pooled(2, Ejection{Status: tt.status})
		b := p.all[0]
		for range 10 {
			b.ended(req, &http.Response{StatusCode: tt.code, Status: "503 Service Unavailable"}, nil, time.Now())
		}
		if got := b.status(); (got.State == BackendEjected) != tt.ejected || tt.ejected && !strings.Contains(got.LastError, "503") {
			t.Errorf("%d, with statuses said %v: %+v, want ejected %v", tt.code, tt.status != nil, got, tt.ejected)
		}
	}
}

func TestAClientsFailureIsNotBlamedOnABackend(t *testing.T) {
	t.Parallel()
	left, cancel := context.WithCancel(t.Context())
	cancel()
	brokenOff := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	u := &upload{ReadCloser: http.NoBody}
	u.failed.Store(true)
	brokenOff.Body = u
	for name, req := range map[string]*http.Request{
		"it left":            httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(left),
		"it broke off":       brokenOff,
		"it is still around": httptest.NewRequest(http.MethodGet, "/", http.NoBody),
	} {
		p := pooled(2, Ejection{})
		b := p.all[0]
		for range 3 {
			b.ended(req, nil, io.EOF, time.Now())
		}
		if got, want := b.status().State == BackendEjected, strings.Contains(name, "still"); got != want {
			t.Errorf("%s: ejected %v, want %v", name, got, want)
		}
	}
}
