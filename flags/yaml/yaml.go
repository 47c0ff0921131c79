// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package yaml reads and writes flags as YAML. Package flags itself reads JSON and
// links nothing but the standard library. Hand ParseDocument to the Decode of a
// flags.File or a flags.HTTP.
//
// A field that is given twice and a second document are errors. A value that YAML
// takes for something else (a user whose name is an unquoted no) makes the flag a Problem where the
// type does not fit. Fields that are not known are kept, as flags does in JSON.
package yaml

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/onedoc"
)

// ParseDocument reads a document as flags.ParseDocument does: a flag that cannot be
// read is a Problem of the document.
func ParseDocument(data []byte) (flags.Document, error) {
	text, err := toJSON(data)
	if err != nil {
		return flags.Document{}, fmt.Errorf("flags: document: %w", err)
	}
	return flags.ParseDocument(text)
}

// ParseFlag reads one flag as flags.ParseFlag does. The key counts, whatever the text says.
func ParseFlag(key string, data []byte) (*flags.Flag, error) {
	text, err := toJSON(data)
	if err != nil {
		return nil, err
	}
	return flags.ParseFlag(key, text)
}

// MarshalDocument writes a document so that ParseDocument reads the same one, without its
// Problems. The fields stand in alphabetical order.
func MarshalDocument(doc flags.Document) ([]byte, error) { return fromJSON(doc) }

// MarshalFlag writes a flag so that ParseFlag reads the same one. Of a number among the
// fields that are not known, or in a variant, that is neither a 64-bit integer nor a
// float64, the nearest float64 is kept.
func MarshalFlag(f *flags.Flag) ([]byte, error) { return fromJSON(f) }

func fromJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	converted, err := yaml.JSONToYAML(text)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	return converted, nil
}

func toJSON(data []byte) ([]byte, error) {
	if err := onedoc.Check(data); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSONStrict(data)
}
