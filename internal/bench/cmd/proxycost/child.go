// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// child is a process of this program in another role. It serves at url, tells
// its CPU at control, and ends when its standard input does.
type child struct {
	cmd          *exec.Cmd
	stdin        io.Closer
	url, control string
}

func spawn(role, backend string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role", role, "-backend", backend) //nolint:noctx // stop ends it
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
	c := &child{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &c.url, &c.control)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("%s did not come up: %w", role, err)
	}
	return c, nil
}

func (c *child) stop() {
	_ = c.stdin.Close()
	_ = c.cmd.Wait()
}

// cpu is what the child has used so far.
func (c *child) cpu() (time.Duration, error) {
	res, err := http.Get(c.control)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return time.Duration(ns), err
}

// cost is the child's CPU per request over that many, from so many clients that
// each keep a connection.
func (c *child) cost(requests, clients int) (time.Duration, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	each := max(requests/clients, 1)
	failed := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			cookie := fmt.Sprintf("session=0123456789abcdef; theme=dark; side=client-%d", i)
			for range each {
				if failed[i] = get(transport, c.url, cookie); failed[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return 0, err
	}
	after, err := c.cpu()
	return (after - before) / time.Duration(each*clients), err
}

func get(transport http.RoundTripper, url, cookie string) error {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody) //nolint:noctx // nobody gives up
	if err != nil {
		return err
	}
	req.Header.Set("Cookie", cookie)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != size || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s with %d bytes: %w", res.Status, n, err)
	}
	return nil
}
