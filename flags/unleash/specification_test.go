// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/unleash"
)

// specification is a file of Unleash's client specification.
type specification struct {
	State json.RawMessage `json:"state"`
	Tests []struct {
		Description    string `json:"description"`
		Context        asker  `json:"context"`
		ToggleName     string `json:"toggleName"`
		ExpectedResult bool   `json:"expectedResult"`
	} `json:"tests"`
	VariantTests []struct {
		Description    string `json:"description"`
		Context        asker  `json:"context"`
		ToggleName     string `json:"toggleName"`
		ExpectedResult struct {
			Name    string `json:"name"`
			Payload *struct {
				Type  string `json:"type"`
				Value string `json:"value"`
			} `json:"payload"`
			Enabled        bool `json:"enabled"`
			FeatureEnabled bool `json:"feature_enabled"`
		} `json:"expectedResult"`
	} `json:"variantTests"`
}

// asker is a context of Unleash's as ours.
type asker struct{ flags.Context }

func (c *asker) UnmarshalJSON(b []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	if properties, ok := fields["properties"].(map[string]any); ok {
		delete(fields, "properties")
		maps.Copy(fields, properties)
	}
	if user, ok := fields["userId"]; ok {
		fields["targetingKey"] = user
		delete(fields, "userId")
	}
	c.Context = flags.FromMap(fields)
	return nil
}

// TestTheClientSpecification is every test of version 6.1.0 of it; none is left out.
func TestTheClientSpecification(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/client-specification/*.json")
	must(t, err)
	ran := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		var s specification
		must(t, json.Unmarshal(text, &s))
		ran += len(s.Tests) + len(s.VariantTests)
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
	if want := 227 + 52; ran != want || len(files) != 22 {
		t.Errorf("%d tests in %d files, want %d in 22", ran, len(files), want)
	}
}

func (s *specification) run(t *testing.T) {
	t.Helper()
	doc, err := unleash.Parse(s.State)
	must(t, err)
	client := serve(t, doc)
	for _, c := range s.Tests {
		if got := flags.Bool(c.ToggleName, false).On(client, &c.Context.Context); got != c.ExpectedResult {
			t.Errorf("%s: %v, want %v", c.Description, got, c.ExpectedResult)
		}
	}
	for _, c := range s.VariantTests {
		want := c.ExpectedResult
		if got := flags.Bool(c.ToggleName, false).On(client, &c.Context.Context); got != want.FeatureEnabled {
			t.Errorf("%s: the feature is %v, want %v", c.Description, got, want.FeatureEnabled)
		}
		d := client.Raw(c.ToggleName+unleash.Suffix, &c.Context.Context)
		if d.Variant == "" {
			d.Variant = "disabled"
		}
		if (d.Value != nil) != want.Enabled || d.Variant != want.Name {
			t.Errorf("%s: %s %s, want %s", c.Description, d.Variant, d.Value, want.Name)
		}
		if want.Payload == nil {
			continue
		}
		value := want.Payload.Value
		if want.Payload.Type == "string" {
			quoted, err := json.Marshal(value)
			must(t, err)
			value = string(quoted)
		}
		if string(d.Value) != value {
			t.Errorf("%s: %s, want %s", c.Description, d.Value, value)
		}
	}
}
