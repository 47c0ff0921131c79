// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import "time"

// checks is what the active checks know of a backend. The pool's lock guards it.
type checks struct {
	failing bool
	passed  bool      // the last one
	checked time.Time // when the last one ended
	row     int       // how many in a row had the result of the last one
}
