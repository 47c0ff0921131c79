// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// join makes one connection of the client's and the backend's, for a protocol that
// both have switched to. It ends when both directions have, or either breaks off.
// asked is "" where the client is not ready to switch.
func (p *Proxy) join(w http.ResponseWriter, r *http.Request, a *arm, res *http.Response, asked, cookie string) (status int, err error) {
	backend, ok := res.Body.(io.ReadWriteCloser)
	if got := upgradeType(res.Header); !ok || asked == "" || !strings.EqualFold(got, asked) {
		_ = res.Body.Close() // it is of no use
		err := fmt.Errorf("the backend switched to %q, asked for %q", got, asked)
		return p.fail(a, w, r, err), err
	}
	defer func() { _ = backend.Close() }() // both directions are over
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		err = fmt.Errorf("join the connections: %w", err)
		return p.fail(a, w, r, err), err
	}
	defer func() { _ = client.Close() }() // likewise
	header := w.Header()
	pass(header, res.Header)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, res.Header["Upgrade"]
	if cookie != "" {
		header.Add("Set-Cookie", cookie)
	}
	res.Header, res.Body = header, nil // Write would read the body
	if err := errors.Join(res.Write(rw), rw.Flush()); err != nil {
		p.log.DebugContext(r.Context(), "upgrade broke off", "arm", a.name, "err", err)
		return http.StatusSwitchingProtocols, err
	}
	shuttle(client, rw.Reader, backend)
	return http.StatusSwitchingProtocols, nil
}

// shuttle copies both ways until both are done. The end of one is passed on, so
// that the other may go on; what cannot be ended by half ends wholly.
func shuttle(client net.Conn, early *bufio.Reader, backend io.ReadWriteCloser) {
	var wg sync.WaitGroup
	wg.Go(func() {
		// The server's reader is good for what it has already: at the end of the client's
		// half it would cancel the request, and the other half with it.
		_, err := io.CopyN(backend, early, int64(early.Buffered()))
		if err == nil {
			_, err = io.Copy(backend, client)
		}
		if half, ok := backend.(closeWriter); err != nil || !ok || half.CloseWrite() != nil {
			_ = backend.Close()
		}
	})
	_, err := io.Copy(client, backend)
	if half, ok := client.(closeWriter); err != nil || !ok || half.CloseWrite() != nil {
		_ = client.Close()
	}
	wg.Wait()
}
