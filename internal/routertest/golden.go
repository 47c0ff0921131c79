// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package routertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/traffic"
)

// Row is one of README's table of routers.
type Row struct {
	Router string       `json:"router"`
	Note   string       `json:"note"`
	Caps   traffic.Caps `json:"caps"`
}

// Caps holds the rows of a package to its testdata/caps.json, which README's table
// is made from.
func Caps(t *testing.T, rows ...Row) {
	t.Helper()
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	Golden(t, "caps.json", string(text)+"\n")
}

// ReadCaps is the rows that Caps has written to a file.
func ReadCaps(t *testing.T, file string) []Row {
	t.Helper()
	data, err := os.ReadFile(file) //nolint:gosec // a test names it
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, r := range rows {
		if r.Router == "" || r.Caps.Granularity == 0 {
			t.Errorf("%s: a row names no router or declares no granularity", file)
		}
	}
	return rows
}

// Golden holds a text to a file of testdata, and writes the file with -update.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if script.Update() {
		if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // it is read by everybody
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // likewise
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file) //nolint:gosec // a test names it
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what the code says; rewrite it with -update:\n%s", file, got)
	}
}
