// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash_test

import (
	"context"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// serve is a client that has the document.
func serve(tb testing.TB, doc flags.Document) *flags.Client {
	tb.Helper()
	var store flags.Memory
	store.Replace(doc)
	client, err := flags.New(&store, flags.Options{})
	must(tb, err)
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx) // it ends with ctx
	}()
	tb.Cleanup(func() { stop(); <-done })
	must(tb, client.Wait(tb.Context()))
	if problems := client.Status().Problems; len(problems) > len(doc.Problems) {
		tb.Error(problems)
	}
	return client
}
