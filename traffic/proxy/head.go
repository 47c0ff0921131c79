// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strconv"
	"strings"
)

// framing is how the end of a request's body is told. There is never more than one
// way, or two servers in a row could disagree where the next request begins.
type framing struct {
	length  int64 // 0 is none
	chunked bool
}

// framed is the framing of req's body as it is sent. With a trailer it is chunks.
func framed(req *http.Request) framing {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return framing{}
	case req.ContentLength > 0 && len(req.Trailer) == 0:
		return framing{length: req.ContentLength}
	}
	return framing{chunked: true}
}

// appendHead appends the head of req as HTTP/1.1 has it. ok is false for what is
// not plain: what could be read as something else than it is, and what net/http
// has rules of its own for. http.Transport decides about those.
func appendHead(b []byte, req *http.Request, f framing) (head []byte, ok bool) {
	method, uri := req.Method, req.URL.RequestURI()
	if method == "" {
		method = http.MethodGet
	}
	if !isToken(method) || method == http.MethodConnect || !isURI(uri) || !isHost(req.Host) {
		return b, false
	}
	if f == (framing{}) && req.ContentLength > 0 {
		return b, false // a length without a body
	}
	if f.chunked && req.ContentLength == 0 && method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch {
		return b, false // there may be no body at all, which net/http finds out
	}
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, uri...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, req.Host...)
	b = append(b, "\r\n"...)
	if _, is := req.Header["User-Agent"]; !is {
		b = append(b, "User-Agent: Go-http-client/1.1\r\n"...)
	}
	for name, values := range req.Header {
		if frames(name) || name == "User-Agent" && len(values) > 0 && values[0] == "" {
			continue // framing says it, and only framing
		}
		if !isToken(name) {
			return b, false
		}
		for _, value := range values {
			if !isValue(value) {
				return b, false
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, value...)
			b = append(b, "\r\n"...)
		}
	}
	switch {
	case f.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range req.Trailer {
			if !isToken(name) || frames(name) {
				return b, false
			}
			b = append(b, "Trailer: "...)
			b = append(b, name...)
			b = append(b, "\r\n"...)
		}
	case f.length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, f.length, 10)
		b = append(b, "\r\n"...)
	}
	if req.Close && req.Header["Connection"] == nil {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...), true
}

// frames reports whether a header of that name, however it is written, says whose a
// request is or where it ends.
func frames(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// The sets of characters that RFC 9110 and 3986 allow, one bit for each.
const (
	inToken = 1 << iota
	inHost
)

var sets = func() (s [256]uint8) {
	for c := range s {
		alnum := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if alnum || strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 {
			s[c] |= inToken
		}
		if alnum || strings.IndexByte("-._~:[]", byte(c)) >= 0 {
			s[c] |= inHost
		}
	}
	return s
}()

func within(s string, set uint8) bool {
	for i := range len(s) {
		if sets[s[i]]&set == 0 {
			return false
		}
	}
	return s != ""
}

func isToken(s string) bool { return within(s, inToken) }

func isHost(s string) bool { return within(s, inHost) }

func isURI(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && (s[0] == '/' || s == "*")
}

func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
