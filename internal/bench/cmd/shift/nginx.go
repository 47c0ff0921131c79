// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench/peer"
	"github.com/rheostat-go/rheostat/traffic/nginx"
)

func startNginx(context.Context) (*running, error) {
	binary, err := exec.LookPath("nginx")
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
	at, err := peer.Free()
	if err != nil {
		return nil, err
	}
	config, include := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "route.conf")
	command := func(more ...string) []string {
		return append([]string{binary, "-p", dir, "-c", config, "-e", filepath.Join(dir, "error.log")}, more...)
	}
	r, err := nginx.New(include, nginx.Options{
		Test: command("-T"), Reload: command("-s", "reload"), Status: "unix:" + filepath.Join(dir, "status"),
		WorkerShutdown: time.Second, Handover: time.Second,
	})
	if err != nil {
		return nil, err
	}
	parts := strings.Split(r.Config(), "\n\n")
	if len(parts) != 3 {
		return nil, errors.New("nginx's Config is not in three parts")
	}
	initial, err := r.Initial(arms.Stable)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`user root;
%s
worker_processes 2;
pid %s/pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  upstream stable { server %[3]s; keepalive 64; }
  upstream candidate { server %[4]s; keepalive 64; }
%[5]s
  server { listen %[6]s; location / { proxy_http_version 1.1; proxy_set_header Connection "";
%[7]s
  } }
}
`, parts[0], dir, stable.Host, candidate.Host, parts[1], at, parts[2])
	for name, text := range map[string]string{config: text, include: initial} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(binary, command("-g", "daemon off;")[1:]...) //nolint:noctx // Stop ends it
	if err := peer.Start(cmd, at); err != nil {
		return nil, err
	}
	return &running{r, posts(at), func() { peer.Stop(cmd); stop(); _ = os.RemoveAll(dir) }}, nil
}
