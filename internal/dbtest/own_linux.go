// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"os/exec"
	"syscall"
)

// own makes the process end with this one.
func own(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
