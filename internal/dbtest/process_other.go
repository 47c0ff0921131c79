// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package dbtest

import (
	"os"
	"os/exec"
	"syscall"
)

// Without signals a server can only be killed.
const (
	halt     = syscall.Signal(-1)
	carryOn  = syscall.Signal(-2)
	inOrder  = syscall.SIGKILL
	fastStop = syscall.SIGKILL
)

func send(pid int, sig syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil && sig == syscall.SIGKILL {
		_ = p.Kill()
	}
}

func apart(*exec.Cmd) {}

func as(*exec.Cmd, string) {}
