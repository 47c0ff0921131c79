// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

// maxOriginal bounds what is kept of an object in its own annotation. All annotations of
// one object have 256 KiB.
const maxOriginal = 64 << 10

// record is what the annotation with the fence holds.
type record struct {
	traffic.Accepted
	// Need is how many endpoints carried everything when stable served alone.
	Need int `json:"need,omitempty"`
}

// recorded is the object's record, the zero one if nothing was ever accepted.
func recorded(o *unstructured.Unstructured) (rec record, err error) {
	text, ok := o.GetAnnotations()[kube.Fence]
	if !ok {
		return record{}, nil
	}
	if err := json.Unmarshal([]byte(text), &rec); err != nil {
		return record{}, fmt.Errorf("the annotation %s is not what was written there, so that nobody knows which writer is the last: %w; remove it once no rollout of this object runs", kube.Fence, err)
	}
	return rec, nil
}

// put writes the record into o.
func (rec record) put(o *unstructured.Unstructured) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", kube.Fence, err)
	}
	note(o, kube.Fence, string(text))
	return nil
}

// note sets an annotation, or removes it if the text is empty.
func note(o *unstructured.Unstructured, name, text string) {
	notes := o.GetAnnotations()
	switch {
	case text != "":
		if notes == nil {
			notes = map[string]string{}
		}
		notes[name] = text
	case notes == nil:
		return
	default:
		delete(notes, name)
	}
	o.SetAnnotations(notes)
}

// original is what an object had in a codec's fields, in their order; null is nothing.
type original []any

// originalOf is what is kept in o, nil if that is nothing, or not for these fields.
func originalOf(o *unstructured.Unstructured, fields [][]string) original {
	var kept original
	text, ok := o.GetAnnotations()[kube.Original]
	if !ok || json.Unmarshal([]byte(text), &kept) != nil || len(kept) != len(fields) {
		return nil
	}
	for i := range kept {
		kept[i] = integers(kept[i])
	}
	return kept
}

// take is what o has in the fields now.
func take(o *unstructured.Unstructured, fields [][]string) original {
	taken := make(original, len(fields))
	for i, path := range fields {
		taken[i], _, _ = unstructured.NestedFieldCopy(o.Object, path...)
	}
	return taken
}

// put makes o have it.
func (x original) put(o *unstructured.Unstructured, fields [][]string) error {
	for i, path := range fields {
		if x[i] == nil {
			unstructured.RemoveNestedField(o.Object, path...)
			continue
		}
		if err := unstructured.SetNestedField(o.Object, x[i], path...); err != nil {
			return fmt.Errorf("field %s: %w", kube.Pointer(path...), err)
		}
	}
	return nil
}

// keep notes it in o, unless it is nil or too big to be kept there.
func (x original) keep(o *unstructured.Unstructured) error {
	if x == nil {
		note(o, kube.Original, "")
		return nil
	}
	text, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", kube.Original, err)
	}
	if len(text) > maxOriginal {
		text = nil
	}
	note(o, kube.Original, string(text))
	return nil
}

// integers are what unstructured objects have where JSON has a number without a fraction.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	}
	return v
}
