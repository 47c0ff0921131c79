// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"encoding/json"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

func TestNullIsNoFlagAndNothingElse(t *testing.T) {
	t.Parallel()
	if f, err := flags.ParseFlag("a", []byte(" null\n")); err == nil {
		t.Errorf("null was read as the flag %+v", f)
	}
	doc, err := flags.ParseDocument([]byte(`{"flags":{"a":null,"b":{"enabled":true}},"segments":{"s":null},"layers":{"l":null},"holdouts":{"h":null}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Problems) != 4 || len(doc.Flags) != 1 || len(doc.Segments)+len(doc.Layers)+len(doc.Holdouts) != 0 {
		t.Errorf("read as %+v", doc)
	}
	if problems := doc.Check(); len(problems) != 4 {
		t.Errorf("checked as %v", problems)
	}
}

func TestAFieldInAnotherCaseCannotUndoAKill(t *testing.T) {
	t.Parallel()
	f, err := flags.ParseFlag("a", []byte(`{"Enabled":true,"ROLLOUT":{"Type":"all"},"Team":"growth"}`))
	if err != nil {
		t.Fatal(err)
	}
	if !f.Enabled || f.Rollout == nil || len(f.Extra) != 1 || len(f.Rollout.Extra) != 0 {
		t.Fatalf("read as %+v", f)
	}
	f.Enabled = false
	if c := f.Clone(); c.Enabled || string(c.Extra["Team"]) != `"growth"` {
		text, err := json.Marshal(f)
		t.Errorf("after a kill it is written as %s (%v) and read as %+v", text, err, c)
	}
}
