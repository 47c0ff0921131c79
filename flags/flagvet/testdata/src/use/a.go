// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Facts of packages are looked for on the first line.

//line a.go:1
package use // want package:"5 uses"
