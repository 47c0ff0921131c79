// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

const (
	apiVersion = "20240415"
	// most is the longest response that is read.
	most = 32 << 20
	// attempts and longest bound how often a request is made, and how long one waits for the
	// next: the windows of LaunchDarkly's limits are ten seconds.
	attempts = 5
	longest  = time.Minute
)

// ErrToken is returned where LaunchDarkly refuses the access token, or lets it not do that.
var ErrToken = errors.New("access token refused")

// ErrLimited is returned where LaunchDarkly limits the rate for longer than is waited.
var ErrLimited = errors.New("rate limited")

// call makes a request, again if LaunchDarkly asks for patience, and decodes the answer. All
// requests made here may be repeated.
func (p *Project) call(ctx context.Context, method, address string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	var last error
	for n := range attempts {
		pause, err := p.once(ctx, method, address, text, answer)
		if err == nil || pause < 0 {
			return err
		}
		last = err
		if pause > longest {
			return fmt.Errorf("%w; it asks for %v of patience", err, pause.Round(time.Second))
		}
		if n == attempts-1 {
			break
		}
		// At least what was asked for, and some more, so that a fleet does not come as one.
		pause = max(pause, 100*time.Millisecond<<n)
		if err := sleep(ctx, pause+rand.N(pause/4+1)); err != nil { //nolint:gosec // no secret
			return err
		}
	}
	return fmt.Errorf("%w, %d times", last, attempts)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// once makes a request once. A pause below zero says not to try again.
func (p *Project) once(ctx context.Context, method, address string, body []byte, answer any) (time.Duration, error) {
	const never = -1
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return never, p.clean(err)
	}
	request.Header.Set("Authorization", p.options.Token)
	request.Header.Set("LD-API-Version", apiVersion)
	if body != nil {
		request.Header.Set("Content-Type", "application/json; domain-model=launchdarkly.semanticpatch")
	}
	response, err := p.options.HTTP.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return never, context.Cause(ctx)
		}
		return 0, p.clean(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return 0, p.clean(err)
	case len(text) > most:
		return never, fmt.Errorf("the answer is longer than %d bytes", most)
	case response.StatusCode/100 != 2:
		return p.refused(response, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return never, fmt.Errorf("the answer is not what the API says: %w", err)
	}
	return never, nil
}

// refused is an answer that is an error, and when to try again.
func (p *Project) refused(response *http.Response, text []byte) (time.Duration, error) {
	var said struct{ Code, Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = http.StatusText(response.StatusCode)
	}
	message := p.clean(fmt.Errorf("%d %s: %s", response.StatusCode, said.Code, said.Message)).Error()
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	err := errors.New(message)
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return -1, fmt.Errorf("%w: %w", ErrToken, err)
	case http.StatusNotFound:
		return -1, fmt.Errorf("%w: %w", flags.ErrNotFound, err)
	case http.StatusConflict: // with another request, of the same moment
		return 0, fmt.Errorf("%w: %w", flags.ErrConflict, err)
	case http.StatusTooManyRequests:
		return patience(response.Header, time.Now()), fmt.Errorf("%w: %w", ErrLimited, err)
	}
	if response.StatusCode >= 500 {
		return patience(response.Header, time.Now()), err
	}
	return -1, err
}

// patience is how long LaunchDarkly asks to wait: Retry-After of its limits by address,
// X-Ratelimit-Reset, in milliseconds since 1970, of the others. The longer counts.
func patience(header http.Header, now time.Time) time.Duration {
	var pause time.Duration
	after := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil {
		pause = time.Duration(min(seconds, 1<<20)) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		pause = at.Sub(now)
	}
	if ms, err := strconv.ParseInt(header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
		pause = max(pause, time.UnixMilli(ms).Sub(now))
	}
	return max(pause, 0)
}

// clean takes the token out of an error, should whoever made it have put it there.
func (p *Project) clean(err error) error {
	if text := err.Error(); strings.Contains(text, p.options.Token) {
		return errors.New(strings.ReplaceAll(text, p.options.Token, "[token]"))
	}
	return err
}

// at is the address of a resource, each part of its path escaped.
func (p *Project) at(parts ...string) string {
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return p.base.String() + "/api/v2/" + strings.Join(parts, "/")
}

// next is where a page's link leads. The token goes nowhere else than to the API.
func (p *Project) next(href string) (string, error) {
	if href == "" {
		return "", nil
	}
	to, err := p.base.Parse(href)
	if err != nil {
		return "", err
	}
	if to.Scheme != p.base.Scheme || to.Host != p.base.Host {
		return "", fmt.Errorf("the next page is at %s, and not at %s", to.Host, p.base.Host)
	}
	return to.String(), nil
}
