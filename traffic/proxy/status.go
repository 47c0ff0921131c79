// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// BackendState says whether a backend gets requests. The zero value is BackendWell.
type BackendState uint8

const (
	// BackendWell gets requests.
	BackendWell BackendState = iota
	// BackendEjected failed requests and is left alone until its trial.
	BackendEjected
	// BackendFailing fails the checks of Run.
	BackendFailing
)

var backendStateNames = [...]string{"well", "ejected", "failing"}

// String is the state in a word.
func (s BackendState) String() string {
	if int(s) < len(backendStateNames) {
		return backendStateNames[s]
	}
	return fmt.Sprintf("BackendState(%d)", uint8(s))
}

// MarshalText writes the word.
func (s BackendState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *BackendState) UnmarshalText(text []byte) error {
	for i, name := range backendStateNames {
		if string(text) == name {
			*s = BackendState(i)
			return nil
		}
	}
	return fmt.Errorf("proxy: backend state %q: want one of %q", text, backendStateNames)
}

// BackendStatus is how one backend of an arm fares.
type BackendStatus struct {
	// URL is its address, without a password.
	URL string `json:"url"`
	// State is whether it gets requests. When too few of the arm's backends
	// are well, others get them, too: see Ejection.Panic.
	State BackendState `json:"state"`
	// Since is when it came into that state.
	Since time.Time `json:"since"`
	// Until is when the backend will be given its next trial. It is zero for one that
	// gets requests, and for one that only its checks can bring back.
	Until time.Time `json:"until,omitzero"`
	// Active is how many requests are under way to it.
	Active int `json:"active"`
	// LastError is the last that it failed with, also if it has been well since.
	LastError string `json:"lastError,omitempty"`
}

// Backends tells how the backends of an arm fare, in the order that SetArm was
// given them. It is nil for an arm that does not exist.
func (p *Proxy) Backends(arm string) []BackendStatus {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return nil
	}
	a.pool.mu.Lock()
	defer a.pool.mu.Unlock()
	all := make([]BackendStatus, 0, len(a.pool.all))
	for _, b := range a.pool.all {
		all = append(all, b.status())
	}
	return all
}

func (b *backend) status() BackendStatus {
	s := BackendStatus{URL: b.url.Redacted(), Since: b.since, Active: int(b.active.Load())}
	switch {
	case b.failing:
		s.State = BackendFailing
	case b.ejected:
		s.State = BackendEjected
	}
	if v := b.pool.view.Load(); slices.Contains(v.out, b) && b.dueIn(v) < math.MaxInt64 {
		s.Until = b.pool.epoch.Add(time.Duration(b.due))
	}
	if b.lastErr != nil {
		s.LastError = b.lastErr.Error()
	}
	return s
}
