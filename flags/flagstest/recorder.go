// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// Recorder keeps exposures to be looked at. The zero Recorder is ready; give its
// Expose to flags.Options.Exposed. It is safe for many goroutines. It keeps all it is
// told, without a bound, and under a lock: production wants flags.NewTally.
type Recorder struct {
	mu        sync.Mutex
	exposures []flags.Exposure
}

// Expose notes an exposure.
func (r *Recorder) Expose(e flags.Exposure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exposures = append(r.exposures, e)
}

// All are the exposures in the order in which they came.
func (r *Recorder) All() []flags.Exposure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exposures)
}

// Of are the exposures of one flag.
func (r *Recorder) Of(key string) []flags.Exposure {
	return slices.DeleteFunc(r.All(), func(e flags.Exposure) bool { return e.Flag != key })
}

// Served is the variant that a unit got last of a flag, "" for the caller's default. It is
// false if the flag was not evaluated for the unit.
func (r *Recorder) Served(unit, key string) (variant string, ok bool) {
	for _, e := range slices.Backward(r.Of(key)) {
		if e.Unit == unit {
			return e.Variant, true
		}
	}
	return "", false
}

// Reset forgets everything.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exposures = nil
}

// AlwaysOn is a client that has every boolean flag on, for everybody, whatever its
// name. Flags of other types give their fallbacks, and so does a boolean that is asked for
// as JSON. It is not how flags come out in production: use it to see what hides behind
// flags that are off, and a [Fake] for anything else.
func AlwaysOn(tb testing.TB) *flags.Client {
	tb.Helper()
	client, err := flags.NewWith(alwaysOn{}, flags.Options{})
	if err != nil {
		tb.Fatalf("flagstest: %v", err)
	}
	return client
}

type alwaysOn struct{}

func (alwaysOn) Bool(string, bool, flags.Context) flags.Detail[bool] {
	return flags.Detail[bool]{Value: true, Variant: "on", Reason: flags.Static}
}

func (alwaysOn) String(_, fallback string, _ flags.Context) flags.Detail[string] {
	return missing(fallback)
}

func (alwaysOn) Int(_ string, fallback int64, _ flags.Context) flags.Detail[int64] {
	return missing(fallback)
}

func (alwaysOn) Float(_ string, fallback float64, _ flags.Context) flags.Detail[float64] {
	return missing(fallback)
}

func (alwaysOn) JSON(string, flags.Context) flags.Detail[json.RawMessage] {
	return missing[json.RawMessage](nil)
}

func missing[T any](fallback T) flags.Detail[T] {
	return flags.Detail[T]{Value: fallback, Reason: flags.NotFound}
}
