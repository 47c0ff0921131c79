// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// Measure is Run for a program that is no test.
func Measure(ctx context.Context, p Plan, say func(format string, args ...any)) (r *Results, err error) {
	tb := &program{ctx: ctx, say: say}
	defer func() {
		for _, f := range slices.Backward(tb.cleanup) {
			f()
		}
		switch stopped := recover().(type) {
		case nil:
		case halt:
			err = errors.New(string(stopped))
		case error:
			if err = stopped; !errors.Is(err, errMissing) {
				panic(stopped)
			}
		default:
			panic(stopped)
		}
	}()
	return p.Run(ctx, tb, say)
}

// program is the part of a testing.TB that a server needs.
type program struct {
	testing.TB
	ctx     context.Context //nolint:containedctx // a testing.TB has one
	say     func(format string, args ...any)
	cleanup []func()
}

// halt is what a program that cannot go on panics with.
type halt string

// errMissing says that a program is not installed.
var errMissing = errors.New("not installed")

func (p *program) Helper()                           {}
func (p *program) Failed() bool                      { return false }
func (p *program) Context() context.Context          { return p.ctx }
func (p *program) Cleanup(f func())                  { p.cleanup = append(p.cleanup, f) }
func (p *program) Fatal(args ...any)                 { panic(halt(fmt.Sprint(args...))) }
func (p *program) Skip(args ...any)                  { panic(fmt.Errorf("%w: %s", errMissing, fmt.Sprint(args...))) }
func (p *program) Error(args ...any)                 { p.say("%s", fmt.Sprint(args...)) }
func (p *program) Errorf(format string, args ...any) { p.say(format, args...) }
func (p *program) Logf(format string, args ...any)   { p.say(format, args...) }
