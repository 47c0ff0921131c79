// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Between two questions there is a short pause first, and longer ones where it takes long.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 50 * time.Millisecond
)

// patience is how long Eventually asks. What a cluster does takes seconds; a machine that is
// compiling on all cores takes longer.
const patience = 2 * time.Minute

// Eventually asks until there is no error, with pauses of 20 to 50 ms. tb fails with what it
// waited for and the last error if there still is one after two minutes, or when the context
// of tb ends.
//
// ask is called in the goroutine of the caller, one call after the other, so that it may end
// tb itself once waiting has no sense any more. Its context ends when nobody waits for the
// answer; an error that says only that does not hide the one before it.
func Eventually(tb testing.TB, what string, ask func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeoutCause(tb.Context(), patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	if err := until(ctx, ask); err != nil {
		tb.Fatalf("kubetest: waiting for %s: %v", what, err)
	}
}

// until asks until there is no error, or ctx ends, which is an error with the last one.
func until(ctx context.Context, ask func(ctx context.Context) error) error {
	var last error
	for pause := firstPause; ; pause = min(pause*5/4, longestPause) {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %w", context.Cause(ctx), last)
		case <-time.After(pause):
		}
	}
}
