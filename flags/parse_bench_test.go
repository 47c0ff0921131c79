// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"encoding/json"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// BenchmarkParseDocument reads a thousand flags.
func BenchmarkParseDocument(b *testing.B) {
	doc := flags.Document{Flags: make(map[string]*flags.Flag)}
	for _, f := range crowd(b) {
		doc.Flags[f.Key] = f
	}
	text, err := json.Marshal(doc)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flags.ParseDocument(text); err != nil {
			b.Fatal(err)
		}
	}
}
