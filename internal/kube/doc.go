// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package kube is what everything that talks to a Kubernetes API server shares: who wrote
// an object last, who owns it beside us, and what an error of the server means.
package kube
