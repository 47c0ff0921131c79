// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package routertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// Arm is a backend on loopback that answers each request with its name.
type Arm struct {
	// Address is where it listens.
	Address string

	failing atomic.Bool
	hanging atomic.Pointer[chan struct{}] // closed when it is mended
}

// NewArm starts one, which ends with the test.
func NewArm(t *testing.T, name string) *Arm {
	t.Helper()
	a := &Arm{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if mended := a.hanging.Load(); mended != nil {
			select {
			case <-*mended:
			case <-r.Context().Done():
			}
		}
		if a.failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	a.Address = s.Listener.Addr().String()
	return a
}

// Break has a candidate hang or fail until it is mended, for Subject.Break of the
// suite. Other faults are [errors.ErrUnsupported].
func (a *Arm) Break(_ context.Context, f traffictest.Fault) (mend func(), err error) {
	switch f {
	case traffictest.CandidateHanging:
		mended := make(chan struct{})
		a.hanging.Store(&mended)
		return sync.OnceFunc(func() { a.hanging.Store(nil); close(mended) }), nil
	case traffictest.CandidateFailing:
		a.failing.Store(true)
		return func() { a.failing.Store(false) }, nil
	default:
		return nil, errors.ErrUnsupported
	}
}

// FreeAddress is a host and port on loopback that nobody listens at.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	return l.Addr().String()
}

// Eventually asks until there is no error, for a minute at most.
func Eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
