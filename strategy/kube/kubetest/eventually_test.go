// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// watched is a test whose failure is looked at.
type watched struct {
	testing.TB
	ctx  context.Context
	said string
}

func (w *watched) Context() context.Context { return w.ctx }

func (w *watched) Fatalf(format string, args ...any) {
	w.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// eventually is what a test says that waits in vain, "" if it does not.
func eventually(ctx context.Context, t *testing.T, ask func(ctx context.Context) error) string {
	t.Helper()
	w := &watched{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		kubetest.Eventually(w, "the third pod", ask)
	}()
	<-done
	return w.said
}

func TestWhatComesIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		said := eventually(t.Context(), t, func(context.Context) error {
			if asked++; asked < 100 {
				return fmt.Errorf("there are %d", asked)
			}
			return nil
		})
		if said != "" || asked != 100 {
			t.Errorf("after %d questions: %q", asked, said)
		}
	})
}

func TestWhatNeverComesIsToldWithTheLastErrorAndNoLongerAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, want := 0, ""
		said := eventually(t.Context(), t, func(ctx context.Context) error {
			if asked++; asked < 100 {
				want = fmt.Sprintf("there are %d", asked)
				return fmt.Errorf("there are %d", asked)
			}
			<-ctx.Done() // as a client does whose server is silent
			return fmt.Errorf("get: %w", ctx.Err())
		})
		if !strings.Contains(said, "waiting for the third pod: not within 2m0s; ") || !strings.HasSuffix(said, want) {
			t.Errorf("it fails with %q, want the time, and %q at the end", said, want)
		}
		time.Sleep(time.Hour)
		if asked != 100 {
			t.Errorf("it was asked for %d times, want 100", asked)
		}
	})
}

func TestNobodyWaitsLongerThanTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		asked := 0
		said := eventually(ctx, t, func(context.Context) error {
			if asked++; asked == 3 {
				end()
			}
			return fmt.Errorf("there are %d", asked)
		})
		if asked != 3 || !strings.HasSuffix(said, "the third pod: context canceled; last seen: there are 3") {
			t.Errorf("after %d questions: %q", asked, said)
		}
	})
}
