// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rheostat-go/rheostat/strategy"
)

func TestTheFlagComesBackWhenItsUsersMeetErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end, share, err := rollOut(t.Context())
		if end != strategy.RolledBack || share != 0 || !errors.Is(err, strategy.ErrRolledBack) {
			t.Errorf("ended %v with %v: %v", end, share, err)
		}
	})
}
