// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package peer starts somebody else's server for a comparison.
package peer

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"time"
)

// patience is how long a server may take until it listens.
const patience = 5 * time.Second

// Free is a host and port on loopback where nothing listens.
func Free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Start starts a server and returns when it listens at that host and port. What it
// says until then is in the error of one that never does. It takes the command's
// Stderr.
func Start(cmd *exec.Cmd, at string) error {
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", at); err == nil { //nolint:noctx // it is on this machine
			return conn.Close()
		}
	}
	Stop(cmd)
	return fmt.Errorf("%s did not come up: %s", cmd.Path, said.String())
}

// Stop ends a server at once.
func Stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // with an error, since it was killed
}
