// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzMembers compares the members of any object with those that encoding/json finds.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : 1 , "b\"}" : [ {"x":"]"} , "\\" ] ,"c":null}`, `{"a":-1.5e3,"a":{"b":{}}}`, `null`, `[1]`, "{\"\\u0061\":\"\\u005c\\\"\"\n}\t",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		want := map[string]json.RawMessage{}
		if !json.Valid(object) || json.Unmarshal(object, &want) != nil {
			return
		}
		got := map[string]json.RawMessage{}
		for quoted, value := range members(object) {
			var name string
			if err := json.Unmarshal(quoted, &name); err != nil {
				t.Fatalf("%q is no name in %s", quoted, object)
			}
			got[name] = value
		}
		if len(got) != len(want) {
			t.Fatalf("%d members of %d in %s", len(got), len(want), object)
		}
		for name, value := range want {
			if !bytes.Equal(bytes.TrimSpace(value), got[name]) {
				t.Errorf("%q is %s and not %s", name, got[name], value)
			}
		}
	})
}
