// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// FuzzDocument reads anything as a document. What is read can be evaluated for
// anybody, says the same by handle and by key, and survives being written.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"flags":{"a":{"enabled":true,"rollout":{"type":"percentage","percentage":12.5,"x":1},"team":"t"}}}`), "kim", "pro")
	f.Add([]byte(`{"flags":{"a":{"enabled":true,"by":"plan","hash":"launchdarkly","salt":"s","variants":{"x":1,"y":2.5},
		"rules":[{"when":[{"attribute":"plan","op":"matches","values":["p"],"not":true},{"op":"segment","values":["s"]}],"split":[{"variant":"x","percent":1},{"variant":"y","percent":99}]}],
		"prerequisites":[{"flag":"b","variants":["on"]}],"layer":{"layer":"l","from":0,"to":50},"holdouts":["h"],"schedule":[{"from":"2020-01-01T00:00:00Z"}]},
		"b":{"enabled":true,"prerequisites":[{"flag":"a","variants":["x"]}]}},
		"segments":{"s":{"keys":["kim"],"rules":[[{"attribute":"key","op":"cidr","values":["10.0.0.0/8"]}]]}},"layers":{"l":{}},"holdouts":{"h":{"percent":5}}}`), "10.0.0.1", "pro")
	f.Fuzz(func(t *testing.T, text []byte, key, plan string) {
		doc, err := flags.ParseDocument(text)
		if err != nil {
			return
		}
		source := newFeed(t)
		source.publish(flags.Update{Document: doc, Full: true})
		who := flags.User(key).Str("plan", plan)
		for f, d := range source.client.All(&who) {
			k := f.Key
			if (d.Value == nil) != (d.Variant == "") || d.Reason == flags.Unknown {
				t.Errorf("%s: %+v", k, d)
			}
			if got := source.client.Raw(k, &who); got.Variant != d.Variant || got.Reason != d.Reason || !bytes.Equal(got.Value, d.Value) {
				t.Errorf("%s by key: %+v, among all: %+v", k, got, d)
			}
			if got := flags.JSON[any](k, nil).Eval(source.client, &who); got.Variant != d.Variant || got.Reason != d.Reason {
				t.Errorf("%s by handle: %+v, among all: %+v", k, got, d)
			}
		}
		written, err := json.Marshal(source.client.Document())
		if err != nil {
			t.Fatal(err)
		}
		again, err := flags.ParseDocument(written)
		if err != nil || len(again.Problems) > 0 {
			t.Fatalf("%v %v of %s", err, again.Problems, written)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(written, twice) {
			t.Errorf("%s became %s, %v", written, twice, err)
		}
	})
}
