// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
)

// object is a JSON object, list an array.
type (
	object = map[string]any
	list   = []any
)

// text is what the peer reads.
func (p *Peer) text(f *Fixture) ([]byte, error) {
	if p.Text == nil {
		return nil, nil
	}
	text, err := json.Marshal(p.Text(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return text, nil
}

// byFlag writes each flag under its key.
func byFlag(f *Fixture, write func(Flag) object) object {
	all := make(object, len(f.Flags))
	for _, flag := range f.Flags {
		all[flag.Key] = write(flag)
	}
	return all
}

// serve answers every request with the text. It is for libraries that fetch their flags.
func serve(text []byte) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write(text) // who hung up does not read
	}))
}

// shuffled are the keys of all flags in an order that no prefetcher guesses.
func (f *Fixture) shuffled() []string {
	keys := make([]string, len(f.Flags))
	for i := range keys {
		// A step that shares no factor with a power of ten visits every flag once.
		keys[i] = f.Flags[i*7919%len(keys)].Key
	}
	return keys
}
