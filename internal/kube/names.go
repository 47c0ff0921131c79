// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

const (
	// Manager is the field manager of every write, so that managedFields tell ours from
	// those of others.
	Manager = "rheostat"
	// Fence is the annotation with the fence under which an object was last written.
	Fence = "rheostat.dev/fence"
	// Original is the annotation with what an object had before its first write; it goes
	// when that is put back.
	Original = "rheostat.dev/original"
)
