// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Faults make an API server fail for one client, in the ways in which API servers do:
//
//	faults := &kubetest.Faults{Seed: seed, Rates: kubetest.Rates{Conflict: 0.1, Lost: 0.1}}
//	config := cluster.Config()
//	config.Wrap(faults.Wrap)
//
// What happens to the n-th request of a method for a path follows from the seed alone. It
// depends neither on how requests for different paths interleave nor on the name of the
// namespace, so that a seed that failed fails again. The fields must not change once there
// are requests. The zero value does nothing. Methods may be called from several goroutines
// at once.
type Faults struct {
	// Seed chooses which requests fail.
	Seed uint64
	// Rates say how many fail, and how.
	Rates Rates
	// Only keeps the faults to the requests for which it is true; nil is all of them.
	// It must not read the body.
	Only func(*http.Request) bool

	mu      sync.Mutex
	stopped bool
	ended   chan struct{}     // closed when stopped; made when first needed
	seen    map[string]uint64 // requests by method and path
	dealt   map[Fault]int
	log     []string
}

// Rates are the shares of requests that fail, each from 0 to 1. Faults that do not fit a
// request, such as a conflict of a read, leave it alone. Of a sum above 1 the last ones
// never happen.
type Rates struct {
	// Lost is the share of requests that are carried out while the reply is lost. The
	// client sees the same as for Dropped.
	Lost float64
	// Dropped is the share of requests that never arrive.
	Dropped float64
	// Conflict is the share of updates, patches and deletions answered 409: the object
	// has been changed by somebody else.
	Conflict float64
	// Invalid is the share of creations, updates and patches answered 422.
	Invalid float64
	// TooMany is the share of requests answered 429, without the header Retry-After that
	// client-go would obey by itself.
	TooMany float64
	// Internal is the share of requests answered 500.
	Internal float64
	// Unavailable is the share of requests answered 503.
	Unavailable float64
	// Silent is the share of watches that are accepted and never say anything.
	Silent float64
	// Expired is the share of watches answered 410: the version to start from is too old.
	Expired float64
}

// A Fault is a way to fail.
type Fault string

// The faults, in the order in which [Rates] are drawn.
const (
	Lost        Fault = "lost"
	Dropped     Fault = "dropped"
	Conflict    Fault = "conflict"
	Invalid     Fault = "invalid"
	TooMany     Fault = "too many"
	Internal    Fault = "internal"
	Unavailable Fault = "unavailable"
	Silent      Fault = "silent"
	Expired     Fault = "expired"
)

// logLimit is how many faults are remembered one by one.
const logLimit = 10_000

// Wrap puts the faults before a transport. It is what [k8s.io/client-go/rest.Config.Wrap]
// takes. One Faults may wrap several transports.
func (f *Faults) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) { return f.roundTrip(next, r) })
}

// Stop lets everything through from now on, and ends the watches that are silent.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		f.stopped = true
		close(f.end())
	}
}

// Count returns how often each fault has happened.
func (f *Faults) Count() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.dealt)
}

// Log returns what has happened, a line for each fault, in order; the first 10,000.
func (f *Faults) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}
