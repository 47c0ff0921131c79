// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

// contestant is one proxy to compare.
type contestant struct {
	name, what string
	start      func(name, backend string, size int) (*server, error)
}

// contestants take turns; all are compared with tuned.
var contestants = []contestant{
	{"tuned", "httputil.ReverseProxy, BufferPool, 1024 idle connections, no decompression", spawn},
	{"split", "traffic/proxy, 25% to the candidate by chance", spawn},
	{"sticky", "traffic/proxy, 25% to the candidate by a cookie that every request has", spawn},
	{"default", "httputil.NewSingleHostReverseProxy as it comes", spawn},
	{"haproxy", "HAProxy, round robin 3:1, 2 threads", foreign("haproxy", haproxyConfig, func(path string) []string { return []string{"-db", "-f", path} })},
	{"nginx", "nginx, upstream 3:1, 2 workers, keep-alive to the backend", foreign("nginx", nginxConfig, func(path string) []string { return []string{"-c", path} })},
	{"caddy", "Caddy, round robin over two", foreign("caddy", caddyConfig, func(path string) []string { return []string{"run", "--adapter", "caddyfile", "--config", path} })},
}

func described(name string) string {
	for _, c := range contestants {
		if c.name == name {
			return c.what
		}
	}
	return ""
}

const haproxyConfig = `
global
  nbthread 2
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind ADDRESS
  bind ADDRESS2 proto h2
  default_backend b
backend b
  balance roundrobin
  server stable BACKEND weight 75
  server candidate BACKEND weight 25
`

const nginxConfig = `
daemon off;
worker_processes 2;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 4000; }
http {
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  upstream b {
    server BACKEND weight=3;
    server BACKEND weight=1;
    keepalive 1024;
    keepalive_requests 100000000;
  }
  server {
    listen ADDRESS;
    listen ADDRESS2 http2;
    location / {
      proxy_pass http://b;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }
  }
}
`

const caddyConfig = `
{
  admin off
  auto_https off
  servers {
    protocols h1 h2c
  }
}
http://ADDRESS, http://ADDRESS2 {
  reverse_proxy BACKEND BACKEND {
    lb_policy round_robin
    transport http {
      keepalive_idle_conns_per_host 1024
      compression off
    }
  }
}
`
