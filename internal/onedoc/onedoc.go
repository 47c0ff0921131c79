// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package onedoc sees that a YAML text is one document.
package onedoc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Check refuses a second document, which the library would leave unread, and none at all.
// A line that begins with --- or ... is a marker wherever it stands, in a text
// of several lines too.
func Check(data []byte) error {
	begun, content, ended := false, false, false
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimRight(string(line), " \t\r\n")
		switch rest, marker := strings.CutPrefix(text, "---"); {
		case marker && (rest == "" || rest[0] == ' ' || rest[0] == '\t'):
			if begun || content || ended {
				return fmt.Errorf("line %d: a second document begins; give one", number)
			}
			begun = true
		case text == "...":
			ended = true
		case strings.TrimSpace(text) == "" || strings.HasPrefix(strings.TrimSpace(text), "#"):
		case ended:
			return fmt.Errorf("line %d: something follows the end of the document; give one", number)
		case strings.HasPrefix(text, "%") && !begun && !content: // a directive
		default:
			content = true
		}
	}
	if !begun && !content {
		return errors.New("it is empty")
	}
	return nil
}
