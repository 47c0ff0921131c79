// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/config"
)

// client asks one server.
type client struct {
	http    *http.Client
	url     string // with what it takes to get in
	shown   string // for errors
	header  http.Header
	params  url.Values
	timeout time.Duration
	bytes   int64
	series  int
	scratch sync.Pool // of *scratch
}

// scratch is what reading an answer takes, to be used again.
type scratch struct {
	body   bytes.Buffer
	answer answer
}

func newClient(address string, o Options) (*client, error) {
	u, err := url.Parse(address)
	if err != nil {
		// The error of url.Parse has the address in it, and a password with it.
		return nil, errors.New("address is no URL: want one such as http://prometheus:9090")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("address %q: want a URL such as http://prometheus:9090", shown(u))
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/api/v1/query"
	u.RawPath, u.Fragment = "", ""
	c := &client{
		http: o.Client, url: u.String(), shown: shown(u), header: http.Header{}, params: maps.Clone(o.Params),
		timeout: o.Timeout, bytes: o.MaxBytes, series: o.MaxSeries,
	}
	c.scratch.New = func() any { return new(scratch) }
	c.header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.header.Set("Accept", "application/json")
	for name, value := range o.Headers {
		if name == "" || strings.ContainsAny(name+value, "\r\n\x00") {
			return nil, fmt.Errorf("header %q: want a name and a value of one line", name)
		}
		c.header.Set(name, value)
	}
	for name := range o.Params {
		switch name {
		case "query", "time", "timeout":
			return nil, fmt.Errorf("parameter %s is set with each request", name)
		}
	}
	if c.http != nil {
		return c, nil
	}
	h := o.HTTP
	if reflect.ValueOf(h).IsZero() {
		h = config.DefaultHTTPClientConfig
	}
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("HTTP: %w", err)
	}
	if c.http, err = config.NewClientFromConfig(h, "rheostat", config.WithUserAgent("rheostat")); err != nil {
		return nil, fmt.Errorf("HTTP: %w", err)
	}
	return c, nil
}

// shown is a URL without what is secret in it.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// query asks for the value of an expression at a moment, and hands the answer to use.
func (c *client) query(ctx context.Context, expression string, at time.Time, use func(*answer) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %v", c.timeout))
	defer cancel()
	form := url.Values{}
	maps.Copy(form, c.params)
	form.Set("query", expression)
	form.Set("time", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	form.Set("timeout", strconv.FormatInt(max(c.timeout.Milliseconds(), 1), 10)+"ms")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("the request cannot be made") // the error has the URL in it
	}
	req.Header = c.header.Clone()
	if tenant := req.Header.Get("Host"); tenant != "" {
		req.Host = tenant
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	s, ok := c.scratch.Get().(*scratch)
	if !ok {
		panic("BUG: the pool holds something else")
	}
	defer c.scratch.Put(s)
	s.body.Reset()
	n, err := s.body.ReadFrom(io.LimitReader(res.Body, c.bytes+1))
	switch {
	case err != nil:
		return c.failed(ctx, err)
	case n > c.bytes:
		return tooMuchError{fmt.Errorf("%s: the answer has more than MaxBytes, %d: let Where choose fewer series", c.shown, c.bytes)}
	}
	return c.digest(res, s, use)
}

// digest refuses every answer but a whole one.
func (c *client) digest(res *http.Response, s *scratch, use func(*answer) error) error {
	err := s.answer.read(s.body.Bytes(), c.series)
	switch {
	case errors.Is(err, errTooMany):
		return tooMuchError{fmt.Errorf("%s: the answer has %w, %d: let Where choose fewer", c.shown, errTooMany, c.series)}
	case err == nil && s.answer.failed && res.StatusCode == http.StatusUnprocessableEntity:
		return tooMuchError{c.refused(res, s)}
	case err == nil && s.answer.failed:
		return c.refused(res, s)
	case res.StatusCode/100 != 2:
		return fmt.Errorf("%s: %s: %s", c.shown, res.Status, clip(strings.TrimSpace(s.body.String()), 120))
	case err != nil:
		return fmt.Errorf("%s: %w: %s", c.shown, err, clip(s.body.String(), 80))
	case s.answer.warning != "":
		return fmt.Errorf("%s: the answer is in part: %s", c.shown, clip(s.answer.warning, 200))
	}
	return use(&s.answer)
}

// tooMuchError is that of an answer that is larger than this or the server allows:
// asking again for the same does not help.
type tooMuchError struct{ error }

func (e tooMuchError) Unwrap() error { return e.error }

// refused is what the server says is wrong.
func (c *client) refused(res *http.Response, s *scratch) error {
	return fmt.Errorf("%s: %s, %s: %s", c.shown, res.Status, clip(s.answer.kind, 40), clip(s.answer.problem, 200))
}

// failed is an error of the transport, without the URL.
func (c *client) failed(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, ctx.Err())
	}
	return fmt.Errorf("%s: %w", c.shown, err)
}
