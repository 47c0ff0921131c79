// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rheostat-go/rheostat/traffic/haproxy"
)

func startHAProxy(context.Context) (*running, error) {
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		return nil, err
	}
	stable, candidate, stop, err := backends()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "shift")
	if err != nil {
		return nil, err
	}
	socket, at := filepath.Join(dir, "socket"), free()
	c := haproxy.Config{Map: filepath.Join(dir, "map")}
	text, err := c.Sample(socket, at, map[string][]string{arms.Stable: {stable.Host}, arms.Candidate: {candidate.Host}})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config")
	for name, text := range map[string]string{config: text, c.Map: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	end, err := run(binary, at, "-db", "-f", config)
	if err != nil {
		return nil, err
	}
	r, err := haproxy.New("unix", socket, c, haproxy.Options{})
	if err != nil {
		end()
		return nil, err
	}
	return &running{r, posts(at), func() { end(); stop(); _ = os.RemoveAll(dir) }}, nil
}

// run starts a server and waits until it listens.
func run(binary, at string, args ...string) (end func(), err error) {
	var said bytes.Buffer
	cmd := exec.Command(binary, args...) //nolint:noctx // end ends it
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 400 {
		if conn, err := net.Dial("tcp", at); err == nil { //nolint:noctx // it is on this machine
			_ = conn.Close()
			return end, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	end()
	return nil, fmt.Errorf("%s did not come up: %s", binary, said.String())
}

// free is an address where nothing listens.
func free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
