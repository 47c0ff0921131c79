// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/internal/routertest"
)

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	routertest.Caps(t, routertest.Row{Router: "traffic/kube", Note: "selector of a Service", Caps: newBlueGreen(1, 1).router(t).Caps()})
}
