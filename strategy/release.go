// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"

	"github.com/rheostat-go/rheostat/traffic"
)

// Revision is one version of a service.
type Revision struct {
	// Version is its name for people: "v2.0.0".
	Version string `json:"version"`
	// Digest identifies what it is made of, such as an image digest. Quarantine
	// goes by it; empty means that the version is the identity.
	Digest string `json:"digest,omitempty"`
	// Backend is the name of the arm that runs it, as the routers know it:
	// "blue". Empty means that it is named like the version.
	Backend string `json:"backend,omitempty"`
}

// Identity is the digest, or the version where there is none.
func (r Revision) Identity() string { return cmp.Or(r.Digest, r.Version) }

// Arm is the backend's name.
func (r Revision) Arm() string { return cmp.Or(r.Backend, r.Version) }

// Is reports whether both are the same release of the same thing.
func (r Revision) Is(o Revision) bool { return r.Version == o.Version && r.Digest == o.Digest }

// Release is what a run is about: from Stable to Candidate.
type Release struct {
	// Stable is what serves now. The zero Revision means the last known good
	// one, which is the last that a run of this service promoted.
	Stable    Revision `json:"stable"`
	Candidate Revision `json:"candidate"`
}

// NewRelease goes from one version to another, each on a backend of its name.
func NewRelease(stable, candidate string) Release {
	return Release{Stable: Revision{Version: stable}, Candidate: Revision{Version: candidate}}
}

// Arms are the two backends between which the routers split.
func (r Release) Arms() traffic.Arms {
	return traffic.Arms{Stable: r.Stable.Arm(), Candidate: r.Candidate.Arm()}
}
