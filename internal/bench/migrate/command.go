// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// Measure is Run for a program that is no test.
func Measure(ctx context.Context, p Plan, say func(format string, args ...any)) (r *Results, err error) {
	tb := &program{say: say}
	defer func() {
		for _, f := range slices.Backward(tb.cleanup) {
			f()
		}
		if stopped, ok := recover().(halt); ok {
			err = fmt.Errorf("%s", stopped)
		}
	}()
	return p.Run(ctx, tb, say)
}

// program is the part of a testing.TB that a server needs.
type program struct {
	testing.TB
	say     func(format string, args ...any)
	cleanup []func()
}

// halt is what a program that cannot go on panics with.
type halt string

func (p *program) Helper()                    {}
func (p *program) Failed() bool               { return false }
func (p *program) Cleanup(f func())           { p.cleanup = append(p.cleanup, f) }
func (p *program) Fatal(args ...any)          { panic(halt(fmt.Sprint(args...))) }
func (p *program) Skip(args ...any)           { panic(halt(fmt.Sprint(args...))) }
func (p *program) Error(args ...any)          { p.say("%s", fmt.Sprint(args...)) }
func (p *program) Logf(f string, args ...any) { p.say(f, args...) }
