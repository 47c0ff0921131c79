// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// step preview after [expand]
	// step switch after []
	// step bake after [switched]
	// step contract after [contract]
	// the change is expanding with 0% on v2.0.0
	// the change is syncing with 0% on v2.0.0
	// the change is backfilling with 0% on v2.0.0
	// the change is ready with 0% on v2.0.0
	// the change is switched with 100% on v2.0.0
	// the change is done with 100% on v2.0.0
	// ended: <nil>
}
