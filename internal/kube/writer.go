// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Write is who wrote a field, and when.
type Write struct {
	Manager string
	At      time.Time
}

// LastWrite is the latest write of the field at path, or of one below or above it, that
// the object's managedFields tell of. A path is of names as they stand in the object:
// "spec", "selector". Lists are owned as a whole where the server merges them no deeper.
// False is that nobody is known to have written it.
func LastWrite(fields []metav1.ManagedFieldsEntry, path ...string) (Write, bool) {
	var last Write
	found := false
	for _, f := range fields {
		if f.FieldsV1 == nil || f.Time == nil || !owns(f.FieldsV1.GetRawBytes(), path) {
			continue
		}
		if !found || f.Time.After(last.At) {
			last, found = Write{Manager: f.Manager, At: f.Time.Time}, true
		}
	}
	return last, found
}

// owns says whether a set of fields has the path, or owns what holds it as a whole.
func owns(set []byte, path []string) bool {
	for _, name := range path {
		var fields map[string]json.RawMessage
		if json.Unmarshal(set, &fields) != nil {
			return false
		}
		next, ok := fields["f:"+name]
		if !ok {
			return false
		}
		if set = next; string(set) == "{}" {
			return true
		}
	}
	return true
}
