// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package dbtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

const (
	halt     = syscall.SIGSTOP
	carryOn  = syscall.SIGCONT
	inOrder  = syscall.SIGTERM
	fastStop = syscall.SIGINT // PostgreSQL's, which does not wait for its clients
)

func send(pid int, sig syscall.Signal) { _ = syscall.Kill(pid, sig) }

// apart puts the process into a session of its own.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// as makes cmd run as a user whom the server accepts, where root is not.
func as(cmd *exec.Cmd, name string) {
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup(name)
	if err != nil {
		return // the server says why it does not start
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
