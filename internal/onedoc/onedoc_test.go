// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package onedoc_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/internal/onedoc"
)

func TestATextIsOneDocument(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"a: 1": true, "---\na: 1\n...\n# end\n": true, "%YAML 1.1\n---\na: 1": true, "--- {a: 1}": true, "---": true,
		"": false, "# nothing": false, "a: 1\n---\nb: 2": false, "---\n---": false, "a: 1\n...\nb: 2": false,
	} {
		if err := onedoc.Check([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
