// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly_test

import (
	"testing"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// model is a flag as LaunchDarkly's service writes it.
func model(t *testing.T, text string) ldmodel.FeatureFlag {
	t.Helper()
	f, err := ldmodel.NewJSONDataModelSerialization().UnmarshalFeatureFlag([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
