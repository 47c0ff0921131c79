// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"time"
)

// linger is how long what is left of a body is read after its answer, so that the
// client has the answer before the connection is closed.
const linger = time.Second

// duplexing lets an answer begin before its request's body has ended. By itself a
// server of HTTP/1.1 reads what is left of the body before it sends an answer: it
// takes it away from the backend, and waits for a client that waits for the answer.
//
// What is left at the end must not be taken for the next request, for which the
// connection is closed.
type duplexing struct {
	w      http.ResponseWriter
	upload *upload
	closes bool
}

func (d *duplexing) begin() {
	_ = http.NewResponseController(d.w).EnableFullDuplex() // who cannot has no such rule
}

// answers is called when the answer is there, and its head not yet sent.
func (d *duplexing) answers() {
	if d.closes = !d.upload.whole.Load(); d.closes {
		d.w.Header().Set("Connection", "close")
	}
}

// end is called when the answer is over. A read of the body that waits for the
// client is ended, for it must not outlive the handler.
func (d *duplexing) end() {
	if !d.closes {
		return
	}
	_ = d.upload.Close() // it is to be read no more
	server := http.NewResponseController(d.w)
	if server.SetReadDeadline(time.Unix(1, 0)) != nil {
		return // an upgraded connection, or a server without
	}
	d.upload.reading.Lock()
	defer d.upload.reading.Unlock()
	_ = server.SetReadDeadline(time.Now().Add(linger)) // as above
}
