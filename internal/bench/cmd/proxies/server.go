// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench/peer"
)

// server is a proxy, or the backend, in a process of its own, with what else
// that has started. It serves HTTP/1.1 at url and HTTP/2 without TLS at h2.
type server struct {
	cmd     *exec.Cmd
	stdin   io.Closer // a child of ours ends with it
	dir     string
	url, h2 string
}

// spawn starts this program in another role.
func spawn(role, backend string, size int) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role", role, "-backend", backend, "-size", strconv.Itoa(size)) //nolint:noctx // stop ends it
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s did not come up: %w", role, err)
	}
	s.url = strings.TrimSpace(line)
	s.h2 = s.url
	return s, nil
}

// foreign starts somebody else's proxy with a configuration in which ADDRESS,
// ADDRESS2 and BACKEND stand for where it listens and what it stands before.
func foreign(binary, config string, args func(path string) []string) func(name, backend string, size int) (*server, error) {
	return func(_, backend string, _ int) (*server, error) {
		path, err := exec.LookPath(binary)
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "proxies")
		if err != nil {
			return nil, err
		}
		one, err := peer.Free()
		if err != nil {
			return nil, err
		}
		two, err := peer.Free()
		if err != nil {
			return nil, err
		}
		text := strings.NewReplacer("ADDRESS2", two, "ADDRESS", one, "BACKEND", strings.TrimPrefix(backend, "http://"), "DIR", dir).Replace(config)
		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command(path, args(file)...) //nolint:noctx // stop ends it
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		if err := peer.Start(cmd, one); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return &server{cmd: cmd, dir: dir, url: "http://" + one, h2: "http://" + two}, nil
	}
}

func (s *server) stop() {
	if s.stdin != nil {
		_ = s.stdin.Close()
	} else {
		_ = s.cmd.Process.Kill()
	}
	_ = s.cmd.Wait()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// cpu is what the server's processes have used so far, by the kernel's clock of
// a hundredth of a second.
func (s *server) cpu() (time.Duration, error) {
	pids := []int{s.cmd.Process.Pid}
	var ticks uint64
	for len(pids) > 0 {
		pid := pids[0]
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name in parentheses may hold anything; user and system time are the
		// 14th and 15th field.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] {
			n, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return 0, err
		}
		pids = pids[1:]
		for f := range strings.FieldsSeq(string(children)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil //nolint:gosec // some hours at most
}
