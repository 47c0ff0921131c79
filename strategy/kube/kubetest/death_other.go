// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package kubetest

import "os/exec"

// dieWithParent has no equal elsewhere: a test process that is killed leaves the programs
// behind.
func dieWithParent(*exec.Cmd) {}
