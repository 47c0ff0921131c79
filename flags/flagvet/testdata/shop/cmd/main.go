// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command cmd is a shop.
package main

import (
	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagvet/testdata/shop/checkout"
)

func main() {
	var client *flags.Client
	checkout.Enabled(client, "done")
	checkout.Enabled(client, "payments")
	client.Int("new-checkout", 1, nil)
}
