// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet_test

import (
	"fmt"
	"go/token"
	"time"

	"github.com/rheostat-go/rheostat/flags/flagvet"
)

// Load finds the uses; here they are given.
func ExampleCheck() {
	document, err := flagvet.ParseDocument("flags.json", []byte(`{"flags": {
		"new-checkout": {"enabled": true, "fully_on_since": "2026-01-01T00:00:00Z"}
	}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	uses := []flagvet.Use{
		{Key: "new-checkout", Type: flagvet.Bool, Func: "flags.Bool", Pos: token.Position{Filename: "shop.go", Line: 9, Column: 30}},
		{Key: "new-chekout", Type: flagvet.Bool, Func: "flags.Client.Bool", Pos: token.Position{Filename: "shop.go", Offset: 1, Line: 21, Column: 17}},
	}
	for _, f := range flagvet.Check(uses, flagvet.Options{Document: document, Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}) {
		fmt.Println(f)
	}
	// Output:
	// shop.go:9:30: flag "new-checkout" has served everybody "on" for 151 days, since 2026-01-01: replace it by true, then retire the flag (stale-flag)
	// shop.go:21:17: flag "new-chekout" does not exist: is it "new-checkout"? (unknown-flag)
}
