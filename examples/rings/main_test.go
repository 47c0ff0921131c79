// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// team: 0% 100% 0%
	// company: 0% 100% 0%
	// everybody:
	// strategy: app: run 1 ended rolledBack (check failed): check "crashes" failed: 12 crashes in an hour
}
