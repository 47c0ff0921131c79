// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/rheostat-go/rheostat/traffic"
)

// decode reads an order, which has no field that means nothing. A weight that is
// none says so, but not where it stands.
func decode(r *http.Request, order any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(order); err == nil {
		return nil
	}
	var weights struct {
		Route struct {
			Split struct{ Candidate, Mirror json.RawMessage }
		}
	}
	_ = json.Unmarshal(body, &weights) // it has failed before
	for name, text := range map[string]json.RawMessage{"candidate": weights.Route.Split.Candidate, "mirror": weights.Route.Split.Mirror} {
		if text != nil && json.Unmarshal(text, new(traffic.Weight)) != nil {
			return fmt.Errorf("route.split.%s: %w", name, err)
		}
	}
	return fmt.Errorf("the body: %w", err)
}
