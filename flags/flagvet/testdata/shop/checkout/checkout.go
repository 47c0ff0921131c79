// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package checkout has the shop's flags.
package checkout

import "github.com/rheostat-go/rheostat/flags"

var (
	newCheckout = flags.Bool("new-checkout", false)
	oldBanner   = flags.String("old-banner", "hello")
	misspelt    = flags.Bool("new-chekout", false)
	limit       = flags.Int("limit", 3)
	kill        = flags.Bool("payments", true)
)

// Enabled is the shop's way to ask.
func Enabled(c *flags.Client, key string) bool { return c.Bool(key, false, nil) }
