// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rheostat-go/rheostat/internal/bench/peer"
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
	at, err := peer.Free()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "shift")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "socket")
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
	cmd := exec.Command(binary, "-db", "-f", config) //nolint:noctx // Stop ends it
	if err := peer.Start(cmd, at); err != nil {
		return nil, err
	}
	r, err := haproxy.New("unix", socket, c, haproxy.Options{})
	if err != nil {
		peer.Stop(cmd)
		return nil, err
	}
	return &running{r, posts(at), func() { peer.Stop(cmd); stop(); _ = os.RemoveAll(dir) }}, nil
}
