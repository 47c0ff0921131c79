// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Facts of packages are looked for on the first line.

//line a.go:1
package wrap // want package:"2 uses"
