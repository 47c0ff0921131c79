// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// the change is expanding
	// the change is syncing
	// the change is backfilling
	// the change is ready
	// 0% to v2.0.0, rest to v1.9.0
	// 0% to v2.0.0, rest to v1.9.0, 1 matches
	// 100% to v2.0.0, rest to v1.9.0
	// the change is switched
	// the change is done
	// ended: <nil>
}
