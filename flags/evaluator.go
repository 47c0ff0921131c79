// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"errors"
)

// Evaluator decides flags that are not ours to evaluate: another vendor's client
// behind our handles. Its methods are safe for many goroutines, do not block and do
// not fail: the fallback, and a reason that says so.
type Evaluator interface {
	// Bool is a boolean flag.
	Bool(key string, fallback bool, who Context) Detail[bool]
	// String is a flag of strings.
	String(key, fallback string, who Context) Detail[string]
	// Int is a flag of whole numbers.
	Int(key string, fallback int64, who Context) Detail[int64]
	// Float is a flag of numbers.
	Float(key string, fallback float64, who Context) Detail[float64]
	// JSON is a flag of any type. It has a nil value where the caller's default is meant.
	JSON(key string, who Context) Detail[json.RawMessage]
}

// NewWith makes a client that leaves evaluation to another. Its Changes, All, Flag
// and Document know no flags; Options.Cache is not for it.
func NewWith(evaluator Evaluator, options Options) (*Client, error) {
	if evaluator == nil {
		return nil, errors.New("flags: NewWith: no evaluator")
	}
	if options.Cache != "" {
		return nil, errors.New("flags: NewWith: Options.Cache: the evaluator keeps its own flags; leave it out")
	}
	c := &Client{remote: evaluator, options: options, ready: make(chan struct{})}
	close(c.ready)
	c.status.Ready = true
	c.now.Store(&snapshot{id: snapshots.Add(1), replaced: make(chan struct{})})
	return c, nil
}
