// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

func Example() {
	main()
	// Output:
	// api 0% to v2, rest to v1
	// site 0% to v2, rest to v1
	// api 10% to v2, rest to v1
	// site 10% to v2, rest to v1
	// api 50% to v2, rest to v1
	// site 50% to v2, rest to v1
	// site 0% to v2, rest to v1
	// api 0% to v2, rest to v1
	// strategy: shop: run 1 ended rolledBack (check failed): check "checkout works" failed: the site's v2 asks for a field that the API lacks
}
