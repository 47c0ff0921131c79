// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// at the start: 0 of 1000 have it, staff: new checkout
	// at 25%: 245 of 1000 have it, staff: new checkout
	// killed: 0 of 1000 have it, staff: old checkout
}
