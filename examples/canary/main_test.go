// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output: v2 promoted
}
