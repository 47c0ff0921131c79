// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// HTTPOptions are how a document is fetched. The zero value is useful.
type HTTPOptions struct {
	// Interval is how long after one answer the next is asked for, give or take a tenth that is
	// drawn, so that a fleet does not ask as one; 0 is 30 s.
	Interval time.Duration
	// Timeout bounds one request with its answer; 0 is 30 s.
	Timeout time.Duration
	// Client sends the requests. Nil is one of its own, with http.DefaultTransport. Unless
	// it has a CheckRedirect, redirects to another host or away from TLS are refused.
	Client *http.Client
	// Header adds to a request's header before it is sent, such as an authorization. An error
	// is told as it is: it must hold no secret.
	Header func(context.Context, http.Header) error
	// Decode reads what was fetched; nil is ParseDocument.
	Decode func([]byte) (Document, error)
	// Limit is how many bytes are read of an answer at most, decompressed, 0 being 64 MiB. A
	// longer answer is an error.
	Limit int64
}

// HTTP is a source of a document behind a URL, which is asked for from time to time. What
// has not changed is not sent again where the server knows ETags, and comes compressed where it
// can. An answer that is no document, and a status other than 200 and 304, are errors of
// Watch: the Client keeps its flags and comes again. Retry-After is honoured up to an hour.
//
// User name, password and query of the URL are in no error.
func HTTP(address string, options HTTPOptions) (Source, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("flags: HTTP: that is no address: want https://host/path") // it may hold a secret
	}
	h := &web{url: u, HTTPOptions: options}
	h.name = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	if h.Interval <= 0 {
		h.Interval = 30 * time.Second
	}
	if h.Timeout <= 0 {
		h.Timeout = 30 * time.Second
	}
	if h.Decode == nil {
		h.Decode = ParseDocument
	}
	if h.Limit <= 0 {
		h.Limit = documentLimit
	}
	client := new(http.Client)
	if options.Client != nil {
		*client = *options.Client
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = sameHost
	}
	h.Client = client
	return h, nil
}

// sameHost keeps what Header adds, which may be a secret, where it was meant to go.
func sameHost(r *http.Request, via []*http.Request) error {
	switch from := via[0].URL; {
	case len(via) >= 10:
		return errors.New("too many redirects")
	case r.URL.Host != from.Host || r.URL.Scheme != from.Scheme:
		return errors.New("it redirects to another host or scheme; use that address, or set CheckRedirect")
	}
	return nil
}

// web is an HTTP source. What it has fetched outlives Watch, so that a server that comes
// back need not send it to everybody again.
type web struct {
	url  *url.URL
	name string // without secrets
	HTTPOptions

	mu    sync.Mutex
	etag  string
	doc   Document // of etag
	later time.Time
}

// Watch implements Source.
func (h *web) Watch(ctx context.Context, publish func(Update)) error {
	in := intake{publish: publish}
	told := ""
	for first := true; ; first = false {
		if !sleep(ctx, h.due()) {
			return context.Cause(ctx)
		}
		doc, etag, err := h.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("flags: %s: %w", h.name, err)
		case first || etag == "" || etag != told:
			in.take(doc)
			told = etag
		}
		if !sleep(ctx, h.Interval*9/10+rand.N(h.Interval/5+1)) { //nolint:gosec // no secret
			return context.Cause(ctx)
		}
	}
}

// due is how long the server wants to be left alone.
func (h *web) due() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.later)
}

// fetch is the document as it stands, and its tag.
func (h *web) fetch(ctx context.Context) (Document, string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url.String(), http.NoBody)
	if err != nil {
		return Document{}, "", errors.New("it cannot be asked for")
	}
	if h.Header != nil {
		if err := h.Header(ctx, r.Header); err != nil {
			return Document{}, "", fmt.Errorf("HTTPOptions.Header: %w", err)
		}
	}
	h.mu.Lock()
	known, etag := h.doc, h.etag
	h.mu.Unlock()
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	response, err := h.Client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok { // which holds the URL
			err = inner.Err
		}
		return Document{}, "", err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && etag != "":
		return known, etag, nil
	case response.StatusCode != http.StatusOK:
		h.postpone(response.Header.Get("Retry-After"))
		// So that the connection can be used again.
		_, _ = io.CopyN(io.Discard, response.Body, 4096)
		return Document{}, "", fmt.Errorf("the answer is %s", strconv.Quote(response.Status))
	}
	return h.read(response)
}

// read reads the document that an answer carries.
func (h *web) read(response *http.Response) (Document, string, error) {
	text, err := readBounded(response.Body, h.Limit)
	if err != nil {
		return Document{}, "", err
	}
	doc, err := h.Decode(text)
	if err != nil {
		return Document{}, "", err
	}
	etag := response.Header.Get("ETag")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doc, h.etag = doc, etag
	return doc, etag, nil
}

// postpone notes when the server wants to be asked again, in seconds or as a date.
func (h *web) postpone(after string) {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second //nolint:gosec // 31 bits
	} else if at, err := http.ParseTime(after); err == nil {
		wait = time.Until(at)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.later = time.Now().Add(min(max(wait, 0), time.Hour))
}
