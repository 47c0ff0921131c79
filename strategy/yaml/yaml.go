// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package yaml reads and writes plans and states as YAML, for plans that people
// write and states that people read. Package strategy itself reads JSON and
// links nothing but the standard library.
//
// Reading is strict. A field that is unknown or given twice, a second document,
// and a value that YAML takes for something else (an unquoted no, a version 1.10)
// are errors that say where. Durations are texts such as 1m30s, weights such as 25%.
package yaml

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/internal/onedoc"
	"github.com/rheostat-go/rheostat/strategy"
)

// ParsePlan reads a plan as strategy.ParsePlan does. It does not validate it.
func ParsePlan(data []byte) (strategy.Plan, error) {
	converted, err := toJSON(data)
	if err != nil {
		return strategy.Plan{}, fmt.Errorf("strategy: plan: %w", err)
	}
	return strategy.ParsePlan(converted)
}

// MarshalPlan writes a plan so that ParsePlan reads the same one. The fields
// stand in alphabetical order.
func MarshalPlan(p strategy.Plan) ([]byte, error) {
	return fromJSON("plan", p)
}

// DecodeState reads a state as strategy.DecodeState does, with its errors.
func DecodeState(data []byte) (strategy.State, error) {
	converted, err := toJSON(data)
	if err != nil {
		return strategy.State{}, fmt.Errorf("strategy: state: %w", err)
	}
	return strategy.DecodeState(converted)
}

// EncodeState writes a state so that DecodeState reads the same one. What a
// judge remembers goes through YAML too: it means the same afterwards, but need
// not be written the same, and of a number that is neither a 64-bit integer nor
// a float64 the nearest float64 is kept.
func EncodeState(s strategy.State) ([]byte, error) {
	return fromJSON("state", s)
}

func fromJSON(what string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("strategy: %s: %w", what, err)
	}
	converted, err := yaml.JSONToYAML(data)
	if err != nil {
		return nil, fmt.Errorf("strategy: %s: %w", what, err)
	}
	return converted, nil
}

func toJSON(data []byte) ([]byte, error) {
	if err := onedoc.Check(data); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSONStrict(data)
}
