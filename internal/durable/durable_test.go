// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package durable_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/durable"
)

type value struct {
	Fence uint64
	Name  string
}

func TestWhatWasSavedIsLoaded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value.json")
	var got value
	if ok, err := durable.Load(path, &got); ok || err != nil {
		t.Fatalf("before anything was saved: %v, %v, want false and no error", ok, err)
	}
	for _, want := range []value{{1, "one"}, {2, "another, and longer"}, {3, ""}} {
		if err := durable.Save(path, want); err != nil {
			t.Fatal(err)
		}
		got = value{}
		if ok, err := durable.Load(path, &got); !ok || err != nil || got != want {
			t.Errorf("%+v, %v, %v, want %+v", got, ok, err, want)
		}
	}
}

func TestADamagedFileIsNeverLoadedAsSomethingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value.json")
	want := value{7, "seven"}
	if err := durable.Save(path, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for bit := range 8 {
			damaged := append([]byte(nil), text...)
			damaged[i] ^= 1 << bit
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var got value
			// Damage to white space, or to the case of a key, loses nothing.
			switch ok, err := durable.Load(path, &got); {
			case err != nil && !strings.Contains(err.Error(), "put back a copy, or delete it"):
				t.Fatalf("%v, want an error that says what to do", err)
			case err == nil && (!ok || got != want):
				t.Fatalf("byte %d, bit %d flipped: %v, %+v, want an error or %+v", i, bit, ok, got, want)
			}
		}
	}
}

func TestAFolderThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "value.json")
	if _, err := durable.Load(path, &value{}); err == nil {
		t.Error("Load: no error")
	}
	if err := durable.Save(path, value{}); err == nil {
		t.Error("Save: no error")
	}
}
