// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/flags"
)

// Suffix is what the flag of a feature's variants is called behind the feature's name.
const Suffix = ".variant"

// The parts of Unleash's JSON that decide anything.
type (
	response struct {
		Features []json.RawMessage `json:"features"`
		Segments []jsonSegment     `json:"segments"`
		Events   []jsonEvent       `json:"events"`
	}
	jsonEvent struct {
		Type        string            `json:"type"`
		Features    []json.RawMessage `json:"features"`
		Segments    []jsonSegment     `json:"segments"`
		Feature     json.RawMessage   `json:"feature"`
		FeatureName string            `json:"featureName"`
		Segment     jsonSegment       `json:"segment"`
		SegmentID   int64             `json:"segmentId"`
	}
	jsonSegment struct {
		ID          int64            `json:"id"`
		Constraints []jsonConstraint `json:"constraints"`
	}
	jsonFeature struct {
		Name         string           `json:"name"`
		Description  string           `json:"description"`
		Enabled      bool             `json:"enabled"`
		Strategies   []jsonStrategy   `json:"strategies"`
		Variants     []jsonVariant    `json:"variants"`
		Dependencies []jsonDependency `json:"dependencies"`
	}
	jsonStrategy struct {
		Name        string           `json:"name"`
		Parameters  map[string]loose `json:"parameters"`
		Constraints []jsonConstraint `json:"constraints"`
		Segments    []int64          `json:"segments"`
		Variants    []jsonVariant    `json:"variants"`
	}
	jsonConstraint struct {
		ContextName     string  `json:"contextName"`
		Operator        string  `json:"operator"`
		Values          []loose `json:"values"`
		Value           loose   `json:"value"`
		Inverted        bool    `json:"inverted"`
		CaseInsensitive bool    `json:"caseInsensitive"`
	}
	jsonVariant struct {
		Name       string  `json:"name"`
		Weight     float64 `json:"weight"`
		Stickiness string  `json:"stickiness"`
		Payload    *struct {
			Type  string `json:"type"`
			Value loose  `json:"value"`
		} `json:"payload"`
		Overrides []struct {
			ContextName string  `json:"contextName"`
			Values      []loose `json:"values"`
		} `json:"overrides"`
	}
	jsonDependency struct {
		Feature  string   `json:"feature"`
		Enabled  *bool    `json:"enabled"`
		Variants []string `json:"variants"`
	}
)

// loose is a text that some servers write as a number or a boolean.
type loose string

// UnmarshalJSON reads any plain value.
func (l *loose) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*l = loose(s)
	case bytes.Equal(b, []byte("null")):
		*l = ""
	case len(b) > 0 && (b[0] == '{' || b[0] == '['):
		return fmt.Errorf("%.20s is no plain value", b)
	default:
		*l = loose(b)
	}
	return nil
}

// Parse reads what Unleash's client API answers: all features, or the events of its
// delta API from the first on. What is wrong with one feature is a Problem of the
// document and takes no other along.
func Parse(data []byte) (flags.Document, error) {
	var raw response
	if err := json.Unmarshal(data, &raw); err != nil {
		return flags.Document{}, fmt.Errorf("unleash: %w", err)
	}
	if raw.Features == nil && raw.Events == nil {
		return flags.Document{}, fmt.Errorf("unleash: no field %q", "features")
	}
	b := builder{
		features: make(map[string]*feature),
		segments: make(map[int64][]jsonConstraint),
		doc:      flags.Document{Flags: make(map[string]*flags.Flag)},
	}
	b.segment(raw.Segments)
	definitions := make(map[string]json.RawMessage, len(raw.Features))
	b.name(definitions, raw.Features)
	for i := range raw.Events {
		b.event(definitions, &raw.Events[i])
	}
	b.build(definitions)
	return b.doc, nil
}

// builder makes features of JSON.
type builder struct {
	features map[string]*feature
	segments map[int64][]jsonConstraint
	ready    map[int64][]constraint // the segments, which features share
	doc      flags.Document
}

func (b *builder) fail(key, path string, err error) {
	b.doc.Problems = append(b.doc.Problems, flags.Problem{Flag: key, Path: path, Err: err})
}

func (b *builder) warn(key, path string, err error) {
	b.doc.Problems = append(b.doc.Problems, flags.Problem{Flag: key, Path: path, Err: err, Warning: true})
}

func (b *builder) segment(list []jsonSegment) {
	for i := range list {
		b.segments[list[i].ID] = list[i].Constraints
	}
}

// name sorts definitions by the names they say.
func (b *builder) name(into map[string]json.RawMessage, list []json.RawMessage) {
	for i, definition := range list {
		var named struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(definition, &named); err != nil || named.Name == "" {
			b.fail("", fmt.Sprintf("features[%d].name", i), errors.Join(err, errors.New("missing")))
			continue
		}
		into[named.Name] = definition
	}
}

// event applies an event of the delta API.
func (b *builder) event(definitions map[string]json.RawMessage, e *jsonEvent) {
	switch e.Type {
	case "hydration":
		clear(definitions)
		clear(b.segments)
		b.segment(e.Segments)
		b.name(definitions, e.Features)
	case "feature-updated":
		b.name(definitions, []json.RawMessage{e.Feature})
	case "feature-removed":
		delete(definitions, e.FeatureName)
	case "segment-updated":
		b.segment([]jsonSegment{e.Segment})
	case "segment-removed":
		delete(b.segments, e.SegmentID)
	default:
		b.warn("", "events", fmt.Errorf("unknown type %q", e.Type))
	}
}

// build compiles all definitions, and then joins them with their parents.
func (b *builder) build(definitions map[string]json.RawMessage) {
	b.ready = make(map[int64][]constraint, len(b.segments))
	for id, list := range b.segments {
		b.ready[id] = []constraint{}
		for i := range list {
			b.ready[id] = append(b.ready[id], b.constraint("", fmt.Sprintf("segments.%d.constraints[%d]", id, i), &list[i]))
		}
	}
	parsed := make(map[string]*jsonFeature, len(definitions))
	for name, definition := range definitions {
		in := new(jsonFeature)
		if err := json.Unmarshal(definition, in); err != nil {
			b.fail(name, "", err)
			b.fail(name+Suffix, "", err) // so that it, too, keeps its last sound form
			continue
		}
		parsed[name] = in
		b.features[name] = b.feature(in)
	}
	for name, in := range parsed {
		b.join(name, in)
	}
	for name, in := range parsed {
		b.publish(in, b.features[name])
	}
	slices.SortStableFunc(b.doc.Problems, func(p, q flags.Problem) int {
		return strings.Compare(p.Flag+"\x00"+p.Path, q.Flag+"\x00"+q.Path)
	})
}

// join finds the parents of a feature.
func (b *builder) join(name string, in *jsonFeature) {
	f := b.features[name]
	for i, d := range in.Dependencies {
		p := parent{feature: b.features[d.Feature], enabled: d.Enabled == nil || *d.Enabled, variants: d.Variants}
		switch {
		case p.feature == nil:
			b.warn(name, fmt.Sprintf("dependencies[%d].feature", i), fmt.Errorf("there is no feature %q, so nobody is let in", d.Feature))
		case p.feature.child:
			b.warn(name, fmt.Sprintf("dependencies[%d].feature", i), fmt.Errorf("%q has parents itself, which Unleash does not follow: nobody is let in", d.Feature))
			p.feature = nil
		}
		f.parents = append(f.parents, p)
	}
}

// publish makes flags of a feature: a boolean, and one of its variants if it has any.
func (b *builder) publish(in *jsonFeature, f *feature) {
	on := &flags.Flag{Key: in.Name, Enabled: in.Enabled, Description: in.Description}
	if !f.always() {
		on.Logic = (*toggle)(f)
		// Without its Logic, as after a cache, the flag must be off.
		on.Default = &flags.Serve{Variant: "off"}
	}
	b.doc.Flags[in.Name] = on
	key := in.Name + Suffix
	values := f.values()
	if len(values) == 0 {
		return
	}
	if b.features[key] != nil {
		b.warn(in.Name, "variants", fmt.Errorf("there is a feature %q, so the variants have no flag", key))
		return
	}
	b.doc.Flags[key] = &flags.Flag{
		Key: key, Enabled: in.Enabled, Description: in.Description,
		Variants: values, Logic: (*chooser)(f),
	}
}

// percent reads a percentage.
func percent(text loose) (float64, error) {
	p, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil || !(p >= 0 && p <= 100) {
		return 0, fmt.Errorf("%q is no percentage", string(text))
	}
	return p, nil
}

// list reads a text with commas between.
func list(text loose) []string {
	var out []string
	for item := range strings.SplitSeq(string(text), ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func texts(in []loose) []string {
	out := make([]string, len(in))
	for i := range in {
		out[i] = string(in[i])
	}
	return out
}
