// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// cookieAge is what a sticky cookie outlives a rollout by.
const cookieAge = 30 * 24 * time.Hour

const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

// salt begins the hash of a rollout with its candidate's name: another rollout
// exposes other people first. The same name gives the same salt in every
// process and in every version of this package, or clients would change sides.
func salt(candidate string) uint64 { return fnv(fnv(fnvOffset, candidate), "\x00") }

// hash is a key's place among 2^64: FNV-1a, whose low bits are good, spread over
// all bits by the finalizer of MurmurHash3. It depends on nothing but its
// arguments. The threshold rises with the weight, so who is below it stays there.
func hash(salt uint64, key string) uint64 {
	h := fnv(salt, key)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h ^= uint64(s[i])
		h *= fnvPrime
	}
	return h
}

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

// cookie is the first value of a cookie that is not empty.
func cookie(lines []string, name string) string {
	for _, line := range lines {
		for line != "" {
			var value string
			if value, line = cutCookie(line, name); value != "" {
				return value
			}
		}
	}
	return ""
}

// cutCookie is the value of the first cookie of that name in line, and the rest
// of the line behind it. http.Request.Cookie would allocate for all of them.
func cutCookie(line, name string) (value, rest string) {
	for line != "" {
		var part string
		if i := strings.IndexByte(line, ';'); i >= 0 {
			part, line = line[:i], line[i+1:]
		} else {
			part, line = line, ""
		}
		for part != "" && (part[0] == ' ' || part[0] == '\t') {
			part = part[1:]
		}
		if len(part) > len(name) && part[len(name)] == '=' && part[:len(name)] == name {
			value = strings.TrimRight(part[len(name)+1:], " \t")
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value, line
		}
	}
	return "", ""
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
