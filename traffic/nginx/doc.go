// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package nginx turns plain nginx, without modules or a licence, by an include
// file and a reload.
//
// The include sets one variable to the name of an upstream, by maps for the
// matches and by split_clients for the weight, and nginx.conf has it in its
// proxy_pass. [Router.Config] prints what belongs there, and [Router.Initial]
// the include to begin with:
//
//	r, err := nginx.New("/etc/nginx/rheostat/web.conf", nginx.Options{Status: "127.0.0.1:9180"})
//
// It needs nginx 1.11.11 or newer with PCRE, as all the usual packages have it.
//
// # What a change costs
//
// nginx reloads by starting new workers. For a moment both kinds take
// connections; then the old ones close those that are idle and finish what is
// under way, for at most worker_shutdown_timeout. A client that just sent a
// request on a connection that was idle sees it break: those that are safe to
// repeat are repeated by all clients, a POST is not. Under a steady load of POSTs
// each kept connection lost about one with each reload, and none was lost where
// connections were not kept (nginx 1.22.1; keepalive_timeout 0 in the server does
// that). So Caps declare Drops, and a Lag of both times together. A WebSocket
// stays on its side until the old worker is shut down. Where that is too much, a
// data plane that changes at run time, such as those of packages haproxy and
// proxy, is the cure.
//
// # What is known
//
// With [Options].Status, nginx tells a checksum of the directives that its
// workers have, which is only in force if nginx took the configuration, whatever
// became of the signal. That is Programmed; [traffic.Verify] makes more of it with
// probes. Without it there is only what the file says: Written.
//
// # How writers are kept in order
//
// The fence stands in the first line of the include, and goes with the
// directives in one rename. A lock file keeps one writer at a time between
// reading and the end of the reload, so that two hosts must not share an include.
// Directives that somebody edits are shown as they are, without a fence; the one
// that was accepted still keeps stale writers out. Who deletes the line, or the
// file, erases it.
//
// # What a route may say
//
// Values are compared byte for byte, and those of the query as they are decoded.
// Names are not: nginx knows no case in names of cookies and parameters, takes
// the first of several of one name, and does not decode them. Clients without the
// key of a sticky route are split by chance.
package nginx
