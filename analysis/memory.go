// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxState bounds what is read of a state: it came from a store that others
	// write to. The states of this package stay far below it.
	maxState = 1 << 20
	// maxReason bounds a reason; it is saved and shown with the rollout.
	maxReason = 400
)

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

// sentence makes text fit for a reason: one line, valid UTF-8, bounded.
func sentence(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxReason {
		return text
	}
	cut := maxReason - len("...")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
