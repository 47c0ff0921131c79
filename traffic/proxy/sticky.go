// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// cookieAge is what a sticky cookie outlives a rollout by.
const cookieAge = 30 * 24 * time.Hour

// newID is an identity for a client: 64 random bits, which is no secret.
func newID() string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i, n := 0, rand.Uint64(); i < len(b); i, n = i+1, n>>4 { //nolint:gosec // no secret
		b[i] = digits[n&15]
	}
	return string(b[:])
}

// header is the first value of a header in canonical form, "" if there is none.
func header(r *http.Request, name string) string {
	if name == "Host" {
		return r.Host
	}
	for _, value := range r.Header[name] {
		if value != "" {
			return value
		}
	}
	return ""
}

// setCookie is the header line that gives id to a client.
func (p *Proxy) setCookie(name, id string, secure bool) string {
	age := p.options.CookieAge
	if age == 0 {
		age = cookieAge
	}
	c := http.Cookie{Name: name, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure}
	if age > 0 {
		c.MaxAge = max(int(age/time.Second), 1)
	}
	return c.String()
}
