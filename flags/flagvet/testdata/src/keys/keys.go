// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package keys has keys of every kind.
package keys

import (
	"context"

	"github.com/rheostat-go/rheostat/flags"
)

const prefix = "new-"

// Shared is never assigned to.
var Shared = "shared" // want Shared:"always \"shared\""

// Moving is.
var Moving = "moving"

func init() { Moving = "moved" }

var (
	checkout = flags.Bool(prefix+"checkout", false)
	theme    = flags.String(Shared, "light")
	moving   = flags.Bool(Moving, false) // want `the flag of this flags.Bool cannot be checked: the key is not constant`
	limits   = flags.JSON("limits", map[string]int{})
	explicit = flags.JSON[[]string]("explicit", nil)
	again    = flags.Bool("new-checkout", true) // want `flag "new-checkout" falls back to true here and to false at .*keys.go:24:24`
	twice    = flags.Int("new-checkout", 1)     // want `flag "new-checkout" is taken for int here and for bool at .*keys.go:24:24`
	ratio    = flags.Float("ratio", 0.5)
	same     = flags.Float("ratio", 1.0/2)
	make1    = flags.Bool // want `the flag of this flags.Bool cannot be checked: it is used as a value`
)

type other struct{}

// Bool is somebody else's.
func (other) Bool(key string, fallback bool) bool { return fallback }

func ask(ctx context.Context, c *flags.Client, who *flags.Context, given []string) {
	local := "local"
	c.Bool(local, false, who)
	c.String("shared", "light", who)
	c.Raw("raw", who)
	c.Raw(checkout.Key(), who)
	c.Raw(who.Key(), who) // want `the key is not constant`
	c.Explain("new-checkout", who)
	for range c.Changes(ctx, "changes") {
	}
	(*flags.Client).Int(c, "expr", 7, who)
	for _, key := range given {
		c.Flag(key) // want `the flag of this flags.Client.Flag cannot be checked: the key is not constant`
	}
	local2 := "a"
	p := &local2
	*p = "b"
	c.Flag(local2) // want `the key is not constant`
	other{}.Bool("not-a-flag", true)
	c.Bool(pair()) // want `its arguments come from another call`
}

func pair() (string, bool, *flags.Context) { return "k", true, nil }
