// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// settings are what the flags say.
type settings struct {
	listen, admin, observe string
	anywhere               bool
	cert, key              string
	accessLog              string
	maxHeader              int
	linger, drain          time.Duration

	arms    map[string][]*url.URL
	options proxy.Options
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{arms: map[string][]*url.URL{}}
	f := flag.NewFlagSet("proxy", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.listen, "listen", ":8080", "`address` that clients come to; HTTP/1.1 and HTTP/2, with and without TLS")
	f.StringVar(&s.admin, "admin", "127.0.0.1:9901", "loopback `address` that shows and takes the route")
	f.BoolVar(&s.anywhere, "admin-anywhere", false, "let -admin be no loopback address; nobody is asked for a password there")
	f.StringVar(&s.observe, "observe", "", "`address` for /metrics and /readyz; none by default")
	f.Func("arm", "`name=URL[,URL…]`: an arm and its backends; once for each arm", s.addArm)
	f.StringVar(&s.options.Default, "default", "", "the `arm` that answers until there is a route; may be left out if there is one arm")
	f.StringVar(&s.options.File, "state", "", "`file` that keeps the route over a restart")
	f.StringVar(&s.options.Health, "health", "", "`path` to check each backend at; by default it must take a connection")
	f.DurationVar(&s.options.Timeout, "timeout", time.Minute, "how `long` a backend may take until its answer begins")
	f.BoolVar(&s.options.TrustForwarded, "trust-forwarded", false, "pass on the X-Forwarded headers of who is in front, instead of replacing them")
	f.StringVar(&s.cert, "cert", "", "`file` with the certificate for TLS; with -key")
	f.StringVar(&s.key, "key", "", "`file` with its key")
	f.IntVar(&s.maxHeader, "max-header", 64<<10, "`bytes` that a request's header may have; more is a 431")
	f.Int64Var(&s.options.MaxBody, "max-body", 0, "`bytes` that a request's body may have; more is a 413, 0 is no limit")
	f.IntVar(&s.options.MaxInFlight, "max-in-flight", 0, "`requests` that may be under way to an arm; more is a 503, 0 is no limit")
	f.StringVar(&s.accessLog, "access-log", "", "`file` that gets a line of JSON for each request; - is stdout, none by default")
	f.IntVar(&s.options.Mirror.Copies, "mirror-copies", 0, "`number` of copies for a mirror at once; 0 is 64")
	f.Int64Var(&s.options.Mirror.Body, "mirror-body", 0, "`bytes` of a body that is copied for a mirror; 0 is 1 MiB")
	f.DurationVar(&s.linger, "linger", 0, "how `long` to go on after SIGTERM, until nobody sends requests any more")
	f.DurationVar(&s.drain, "drain", 30*time.Second, "how `long` what is under way may take after that")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	err := s.check(f.Args())
	if err != nil {
		fmt.Fprintln(stderr, "proxy:", err)
	}
	return s, err
}

func (s *settings) addArm(text string) error {
	name, addresses, _ := strings.Cut(text, "=")
	if name == "" || addresses == "" {
		return errors.New("want name=URL, such as v1=http://127.0.0.1:8081")
	}
	if s.arms[name] != nil {
		return fmt.Errorf("%s is there twice; list its backends with commas", name)
	}
	backends, err := parseBackends(strings.Split(addresses, ","))
	s.arms[name] = backends
	return err
}

func parseBackends(addresses []string) ([]*url.URL, error) {
	backends := make([]*url.URL, 0, len(addresses))
	for i, a := range addresses {
		u, err := url.Parse(a)
		if err != nil {
			return nil, fmt.Errorf("backends[%d]: not a URL", i) // its text could have a password
		}
		backends = append(backends, u)
	}
	return backends, nil
}

func (s *settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: there are only flags", rest[0])
	case len(s.arms) == 0:
		return errors.New("-arm: give at least one, such as -arm v1=http://127.0.0.1:8081")
	case (s.cert == "") != (s.key == ""):
		return errors.New("-cert and -key: give both or none")
	case s.linger < 0 || s.drain < 0:
		return errors.New("-linger and -drain: want no time below 0")
	case s.maxHeader < 1 || s.options.MaxBody < 0 || s.options.MaxInFlight < 0:
		return errors.New("-max-header, -max-body and -max-in-flight: want no limit below 0, and some header")
	case s.anywhere:
		return nil
	}
	at, err := net.ResolveTCPAddr("tcp", s.admin)
	if err != nil {
		return fmt.Errorf("-admin: %w", err)
	}
	if !at.IP.IsLoopback() {
		return fmt.Errorf("-admin %s: only loopback, such as 127.0.0.1:9901: whoever reaches it moves traffic, and nobody is asked for a password; "+
			"-admin-anywhere if the network keeps others away", s.admin)
	}
	s.admin = at.String() // a name is not looked up again
	return nil
}

// front is the server that clients come to. It bounds no body's time: a stream
// or an upload may take as long as it likes.
func (s *settings) front(p *proxy.Proxy) *http.Server {
	server := proxy.NewServer(p)
	server.MaxHeaderBytes = s.maxHeader
	return server
}

// serve serves until the server is closed, which is no error.
func (s *settings) serve(what string, server *http.Server, l net.Listener) error {
	var err error
	if what == "listen" && s.cert != "" {
		err = server.ServeTLS(l, s.cert, s.key)
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("-%s: %w", what, err)
}
