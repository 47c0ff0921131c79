// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"context"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// run runs the client until the test ends.
func run(tb testing.TB, client *flags.Client) {
	tb.Helper()
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx) // it ends with ctx
	}()
	tb.Cleanup(func() { stop(); <-done })
}
