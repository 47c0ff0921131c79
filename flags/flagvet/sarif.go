// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"encoding/json"
	"fmt"
	"go/token"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// WriteText writes one line for each finding. Files in root are named from there.
func WriteText(w io.Writer, findings []Finding, root string) error {
	for _, f := range findings {
		f.Message = strings.ReplaceAll(f.Message, root+string(filepath.Separator), "")
		f.Pos.Filename, _ = inside(root, f.Pos.Filename)
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	return nil
}

// WriteSARIF writes findings in SARIF 2.1.0, as code scanning takes it. Files in root are
// named from there, others by an absolute address.
func WriteSARIF(w io.Writer, findings []Finding, root string) error {
	rules := Rules()
	driver := sarifDriver{Name: "flagvet", InformationURI: Analyzer.URL}
	for _, r := range rules {
		text, level := r.about()
		driver.Rules = append(driver.Rules, sarifRule{ID: string(r), ShortDescription: sarifText{text}, DefaultConfiguration: sarifLevel{level}})
	}
	results := make([]sarifResult, 0, len(findings))
	for _, f := range findings {
		_, level := f.Rule.about()
		result := sarifResult{
			RuleID: string(f.Rule), RuleIndex: slices.Index(rules, f.Rule), Level: level,
			Message:   sarifText{strings.ReplaceAll(f.Message, root+string(filepath.Separator), "")},
			Locations: []sarifLocation{location(root, f.Pos)},
		}
		if f.Other.IsValid() {
			other := location(root, f.Other)
			other.Message = &sarifText{"what it disagrees with"}
			result.RelatedLocations = []sarifLocation{other}
		}
		if f.Key != "" {
			result.PartialFingerprints = map[string]string{
				"flagKey/v1": string(f.Rule) + ":" + f.Key + ":" + result.Locations[0].PhysicalLocation.ArtifactLocation.URI,
			}
		}
		results = append(results, result)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: results}},
	})
}

// inside is a file's name from root, if it is there.
func inside(root, name string) (string, bool) {
	rel, err := filepath.Rel(root, name)
	if err != nil || !filepath.IsLocal(rel) {
		return name, false
	}
	return rel, true
}

// location is a place as SARIF tells it. Go counts columns in bytes: after a character that
// has several, the column is too far to the right by as many.
func location(root string, p token.Position) sarifLocation {
	artifact := sarifArtifact{}
	if rel, ok := inside(root, p.Filename); ok {
		artifact.URI, artifact.URIBaseID = (&url.URL{Path: filepath.ToSlash(rel)}).EscapedPath(), "%SRCROOT%"
	} else {
		artifact.URI = (&url.URL{Scheme: "file", Path: filepath.ToSlash(p.Filename)}).String()
	}
	return sarifLocation{PhysicalLocation: sarifPhysical{ArtifactLocation: artifact, Region: sarifRegion{max(1, p.Line), max(1, p.Column)}}}
}

// What follows is the part of SARIF that is written, by its names.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID                   string     `json:"id"`
	ShortDescription     sarifText  `json:"shortDescription"`
	DefaultConfiguration sarifLevel `json:"defaultConfiguration"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifResult struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               string            `json:"level"`
	Message             sarifText         `json:"message"`
	Locations           []sarifLocation   `json:"locations"`
	RelatedLocations    []sarifLocation   `json:"relatedLocations,omitempty"`
	PartialFingerprints map[string]string `json:"partialFingerprints,omitempty"`
}

type sarifLocation struct {
	Message          *sarifText    `json:"message,omitempty"`
	PhysicalLocation sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
}
