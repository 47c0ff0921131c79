// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
)

func Example() {
	if err := report(os.Stdout, sample); err != nil {
		panic(err)
	}
	// Output:
	// old-banner: everybody has on since 2026-01-15, still asked for; owner web
	// new-search: everybody has on since 2026-02-01, not asked for; owner search
}

func TestWhatIsWrongWithTheDocumentIsSaid(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := report(&out, []byte(`{"flags":{"a":{"enabled":true,"off":"no"}}}`)); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "flags: a: off: there is no variant \"no\" among [\"off\" \"on\"]\n" {
		t.Error(got)
	}
	if err := report(&out, []byte(`[]`)); err == nil {
		t.Error("a list was taken for a document")
	}
}
