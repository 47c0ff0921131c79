// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

const (
	redirects  = 3
	headBytes  = 64 << 10
	perHost    = 16
	idlePerKey = 4
)

func newClient(o Options) *http.Client {
	t := &http.Transport{
		// The proxy was chosen by whoever runs this process.
		DialContext:            dialer(o.AllowPrivate || o.Proxy != nil).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    idlePerKey,
		MaxConnsPerHost:        perHost,
		MaxResponseHeaderBytes: headBytes,
		ForceAttemptHTTP2:      true,
	}
	if o.TLS != nil {
		t.TLSClientConfig = o.TLS.Clone()
	}
	if o.Proxy != nil {
		t.Proxy = http.ProxyURL(o.Proxy)
	}
	return &http.Client{Transport: t, CheckRedirect: checkRedirect}
}

var errRedirect = errors.New("redirected to another scheme, host or port, or too often")

// checkRedirect keeps headers, which hold secrets, and requests where they belong.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > redirects || req.URL.Scheme != first.Scheme || !strings.EqualFold(req.URL.Host, first.Host) {
		return errRedirect
	}
	return nil
}

// ask is the body of the answer for c.
func (e *Endpoint) ask(ctx context.Context, c analysis.Check) (body []byte, err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("web: %w", context.Cause(ctx))
	}
	u, err := e.address.url(c)
	if err != nil {
		return nil, fmt.Errorf("web: %s: %w", e.address.origin, err)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, e.o.Timeout, fmt.Errorf("no answer within %v", e.o.Timeout))
	defer cancel()
	body, err = e.send(bounded, u, e.body.escaped(c, inString))
	if cause := context.Cause(bounded); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, bounded.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("web: %s: %w", shown(u), err)
	}
	return body, nil
}

func (e *Endpoint) send(ctx context.Context, u *url.URL, body string) ([]byte, error) {
	if e.o.Proxy != nil {
		// The proxy looks names up; what is an address already can be looked at here.
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			if err := blocked(ip, e.o.AllowPrivate); err != nil {
				return nil, err
			}
		}
	}
	var content io.Reader = http.NoBody
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, e.o.Method, u.String(), content)
	if err != nil {
		return nil, errNoURL // its error has the URL in it
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "rheostat")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range e.o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
	req.Host = req.Header.Get("Host") // "" is the URL's
	if e.o.Sign != nil {
		if err := e.o.Sign(req); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != e.o.Status {
		return nil, fmt.Errorf("status %d, want %d", res.StatusCode, e.o.Status)
	}
	got, err := io.ReadAll(io.LimitReader(res.Body, e.o.MaxBytes+1))
	switch {
	case err != nil:
		return nil, bare(err)
	case int64(len(got)) > e.o.MaxBytes:
		return nil, fmt.Errorf("the answer has more than MaxBytes, %d", e.o.MaxBytes)
	}
	return got, nil
}

// shown is a URL without what may be secret in it.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// bare is err without what may be secret in it: the URL that net/http puts there, and
// the first bytes of an answer that is not HTTP.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	for _, known := range [...]error{ErrBlocked, errRedirect, io.EOF, io.ErrUnexpectedEOF, http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return err
		}
	}
	_, network := errors.AsType[net.Error](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	if network || certificate || record {
		return err
	}
	return errors.New("the answer is not proper HTTP")
}
