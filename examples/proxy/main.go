// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command proxy runs the embedded proxy in front of a service, for programs that
// cannot embed it:
//
//	go run ./examples/proxy -listen :8080 -admin 127.0.0.1:9901 -observe :9902 \
//	    -arm v1=http://10.0.0.1:80,http://10.0.0.2:80 -arm v2=http://10.0.0.3:80 \
//	    -default v1 -state /var/lib/proxy/route.json -health /healthz
//
// Who may shift traffic does so at the admin address, which is bound to loopback:
//
//	curl 127.0.0.1:9901/                                   # the route, and how each arm fares
//	curl -X PUT 127.0.0.1:9901/route -d '{"fence":7,"route":{
//	    "arms":{"stable":"v1","candidate":"v2"},"split":{"candidate":"5%"}}}'
//	curl -X PUT 127.0.0.1:9901/arms/v3 -d '{"backends":["http://10.0.0.4:80"]}'
//	curl -X POST '127.0.0.1:9901/arms/v1/drain?timeout=30s' # until nothing is under way to it
//	curl -X DELETE 127.0.0.1:9901/arms/v1
//
// A writer that comes with a lower fence than another before it is refused with
// 409, so that of two that believe to be in charge the older one does no harm.
// What cannot be understood is 400 and names the field, what cannot be carried
// out is 422, an unknown arm 404.
//
// The address of -observe may be reached from elsewhere. It only tells: /metrics
// for Prometheus and /readyz for whoever balances the load, both also at admin.
//
// -access-log writes a line of JSON for each request; -max-in-flight bounds the
// requests under way to an arm.
//
// On SIGTERM it is no longer ready, goes on for -linger, then takes no more
// connections and gives what is under way, WebSockets included, the time of
// -drain. The exit status is 0 if all of that came to its end, 1 if something
// was cut off or went wrong, 2 if the flags were.
//
// The route outlives a restart in the file of -state; arms that were set over the
// admin address do not, so give them as flags, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who asks twice does not want to wait
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is main without the process around it.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := run(ctx, s, stdout, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		fmt.Fprintln(stderr, "proxy:", err)
		return 1
	}
	return 0
}

// run serves until ctx ends and everything under way is over, or cut off.
func run(ctx context.Context, s settings, stdout io.Writer, log *slog.Logger) (err error) {
	s.options.Logger = log
	access, done, err := openAccess(s.accessLog, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	s.options.Access = access
	p, err := proxy.New(s.arms, s.options)
	if err != nil {
		return err
	}
	var leaving atomic.Bool
	d := &desk{proxy: p, byDefault: s.options.Default, leaving: &leaving, metrics: registry(p)}
	failed := make(chan error, 4)
	start := func(what, address string, server *http.Server) error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("-%s: %w", what, err)
		}
		server.ReadHeaderTimeout, server.IdleTimeout = 10*time.Second, 2*time.Minute
		fmt.Fprintf(stdout, "%s: %s\n", what, l.Addr())
		go func() { failed <- s.serve(what, server, l) }()
		return nil
	}
	// The health checks, the admin and the metrics go on while requests drain.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go func() {
		if err := p.Run(background); err != nil {
			failed <- err
		}
	}()
	admin, front := &http.Server{Handler: d.admin(s.anywhere)}, s.front(p)
	observer := &http.Server{Handler: d.observer()}
	defer func() { _ = errors.Join(front.Close(), admin.Close(), observer.Close()) }() // nothing is left to be told
	if err := start("admin", s.admin, admin); err != nil {
		return err
	}
	if s.observe != "" {
		if err := start("observe", s.observe, observer); err != nil {
			return err
		}
	}
	if err := start("listen", s.listen, front); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	leaving.Store(true)
	log.Info("leaving", "linger", s.linger, "drain", s.drain)
	time.Sleep(s.linger)
	deadline, cancel := context.WithTimeout(background, s.drain)
	defer cancel()
	return finish(deadline, front, p)
}

// finish takes no more connections and waits for the requests that are under way.
// The server does not count connections that were joined through, as WebSockets
// are; the arms do.
func finish(ctx context.Context, front *http.Server, p *proxy.Proxy) error {
	err := front.Shutdown(ctx)
	for _, arm := range p.Arms() {
		err = errors.Join(err, p.Drained(ctx, arm))
	}
	if err != nil {
		return fmt.Errorf("cut off what was under way: %w", err)
	}
	return nil
}
