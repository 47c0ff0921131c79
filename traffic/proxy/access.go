// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"time"
)

// Access is one request that the handler has answered, for an access log. It has
// neither headers nor the query: those are where secrets are.
type Access struct {
	// Begun is when the request came, Wait how long until its answer began, and
	// Total how long until its end. For an upgraded connection that is its whole life.
	Begun       time.Time
	Wait, Total time.Duration
	// Client is the address that the request came from.
	Client             string
	Method, Host, Path string
	// Arm is the arm that the route picked, Backend the address of the one that was
	// asked last. Both are "" where the request was not sent on.
	Arm, Backend string
	// Status is what the client was answered: 499 if it had left before.
	Status int
	// Bytes is the length of the answer's body, as far as it was sent.
	Bytes int64
	// Err is why there was no answer, or none that was whole.
	Err error
}

// access tells the log how a request ended.
func (p *Proxy) access(r *http.Request, a Access) {
	a.Total = time.Since(a.Begun)
	a.Client, a.Method, a.Host, a.Path = r.RemoteAddr, r.Method, r.Host, r.URL.Path
	p.options.Access(a)
}
