// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxState bounds what is read of a state: it came from a store that others
// write to. The states of this package stay far below it.
const maxState = 1 << 20

// recall reads a state into v and refuses what this package did not write: unknown
// fields, more than one value, more than maxState.
func recall(s State, v any) error {
	if len(s) > maxState {
		return fmt.Errorf("it is %d bytes long, at most %d are read", len(s), maxState)
	}
	d := json.NewDecoder(strings.NewReader(string(s)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// remember writes v as a State.
func remember(v any) (State, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("analysis: state cannot be saved: %w", err)
	}
	return State(data), nil
}
