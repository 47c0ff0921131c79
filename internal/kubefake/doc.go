// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package kubefake is an API server in memory for the tests of what turns traffic by
// Kubernetes objects, and what they have in common when traffictest is run on them,
// whether the API server is this one or a real one.
package kubefake
