// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"strings"
)

// literal is a string as SQL, whatever standard_conforming_strings says.
func literal(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if !strings.Contains(s, `\`) {
		return "'" + s + "'"
	}
	return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
}

// document is a value as SQL text of JSON.
func document(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return literal(string(text)) + "::pg_catalog.json", nil
}

// list is strings as SQL of an array.
func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = literal(s)
	}
	return "ARRAY[" + strings.Join(quoted, ", ") + "]::pg_catalog.text[]"
}
