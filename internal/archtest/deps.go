// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"strings"
)

// Deps finds modules that go.mod requires and the checked-in list does not allow.
// The list has a line each, the path and then the reason. Empty lines and lines that start with
// a hash are comments.
func Deps(required []string, list string) ([]Problem, error) {
	reasons := map[string]string{}
	for i, line := range strings.Split(list, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		module, reason, _ := strings.Cut(line, " ")
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("line %d: %s has no reason", i+1, module)
		}
		if _, ok := reasons[module]; ok {
			return nil, fmt.Errorf("line %d: %s is listed twice", i+1, module)
		}
		reasons[module] = reason
	}
	var problems []Problem
	for _, module := range required {
		if _, ok := reasons[module]; !ok {
			problems = append(problems, problemf("go.mod", "whoever imports the root module gets it too; if it is worth that, add it with the reason to internal/archtest/deps.txt",
				"requires %s", module))
		}
	}
	return problems, nil
}
