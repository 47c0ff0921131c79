// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// Secret is a text that does not print: a token, a password, an address that
// whoever knows may write to. Every way of formatting, logging and marshalling
// it gives a fixed word instead; only Reveal gives the text. It also stays
// hidden in an unexported field, which fmt prints without asking its methods.
//
// The zero Secret holds the empty text. Two secrets with the same text are not
// equal under ==.
type Secret struct{ text *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal is the hidden text. Call it where the text is used and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text to hide.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String is a fixed word.
func (Secret) String() string { return redacted }

// GoString is a fixed word.
func (Secret) GoString() string { return redacted }

// Format writes a fixed word for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is a fixed word.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a fixed word: a secret does not survive being written.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes a fixed word: a secret does not survive being written.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalText hides the text, so that a secret can be read from configuration.
// The fixed word is refused: it comes from a file that a secret was written to.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == redacted {
		return fmt.Errorf("observe: secret: the text is %q, which is what a secret is written as; give the secret itself", redacted)
	}
	*s = NewSecret(string(text))
	return nil
}
