// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options are what New has a default for.
type Options struct {
	// Method is GET or POST. "" is GET, and POST where there is a Body.
	Method string
	// Body is JSON that goes with a POST, with placeholders: those that are text
	// inside of strings, those that are numbers anywhere.
	Body string
	// Header goes with each request. What is in it is never in an error.
	Header http.Header
	// Sign, if set, is called with each request before it is sent, to put in what
	// changes: a token that is renewed, a signature. It must be safe for concurrent use.
	Sign func(*http.Request) error
	// Timeout is how long one request may take, its redirects included. 0 is 10 seconds.
	Timeout time.Duration
	// Status is the one that an answer must have. 0 is 200.
	Status int
	// MaxBytes is how long an answer may be. 0 is 1 MiB.
	MaxBytes int64
	// AllowPrivate lets connections go to loopback and private networks, such as a
	// cluster's own.
	AllowPrivate bool
	// Proxy, if set, is where every request goes through; the environment is not
	// asked. It may stand in a private network.
	Proxy *url.URL
	// TLS is for certificates of your own. nil is what the system trusts.
	TLS *tls.Config
}

// Endpoint is an address that answers with numbers. It is safe for concurrent use;
// one serves all rollouts.
type Endpoint struct {
	address address
	body    template
	client  *http.Client
	o       Options
}

// New is the Endpoint at an address with placeholders, such as
// https://stats.example.com/v1/{service}?from={exposed}&to={until}. The error names
// the field that is wrong.
func New(address string, o Options) (*Endpoint, error) {
	e, err := newEndpoint(address, o)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return e, nil
}

func newEndpoint(text string, o Options) (*Endpoint, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Endpoint{o: o}
	if e.address, err = parseAddress(text); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if e.body, err = parseBody(o.Body); err != nil {
		return nil, fmt.Errorf("option Body: %w", err)
	}
	e.client = newClient(e.o)
	return e, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Method == "" {
		o.Method = http.MethodGet
		if o.Body != "" {
			o.Method = http.MethodPost
		}
	}
	o.Header = o.Header.Clone()
	for name, values := range o.Header {
		if name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
			return o, fmt.Errorf("option Header %q: want a name and values of one line", name)
		}
	}
	switch {
	case o.Method != http.MethodGet && o.Method != http.MethodPost:
		return o, fmt.Errorf("option Method %q: want GET or POST", o.Method)
	case o.Method == http.MethodGet && o.Body != "":
		return o, errors.New("option Body: a GET has none; want the Method POST")
	case o.Timeout < 0:
		return o, fmt.Errorf("option Timeout %v: want 0 for 10 seconds, or more", o.Timeout)
	case o.Status != 0 && (o.Status < 200 || o.Status > 599):
		return o, fmt.Errorf("option Status %d: want 0 for 200, or another from 200 to 599", o.Status)
	case o.MaxBytes < 0 || o.MaxBytes > largestAnswer:
		return o, fmt.Errorf("option MaxBytes %d: want 0 for 1 MiB, up to %d", o.MaxBytes, largestAnswer)
	case o.Proxy != nil && (o.Proxy.Host == "" || o.Proxy.Scheme != "http" && o.Proxy.Scheme != "https" && o.Proxy.Scheme != "socks5"):
		return o, errors.New("option Proxy: want an http, https or socks5 URL with a host")
	}
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Status = cmp.Or(o.Status, http.StatusOK)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<20)
	return o, nil
}

const largestAnswer = 64 << 20

// notToken is what the name of a header cannot have.
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}
