// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// streams is how many clients share an HTTP/2 connection.
const streams = 4

// turn has the proxy carry that many requests, from clients that each keep a
// connection, or share an HTTP/2 connection with a few others.
func (r run) turn(s *server, requests int) (result, error) {
	transports := make([]*http.Transport, r.clients)
	for i := range transports {
		if r.h2 && i%streams > 0 {
			transports[i] = transports[i-1]
			continue
		}
		transports[i] = &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
		if r.h2 {
			transports[i].Protocols = new(http.Protocols)
			transports[i].Protocols.SetUnencryptedHTTP2(true)
		}
	}
	defer func() {
		for _, t := range transports {
			t.CloseIdleConnections()
		}
	}()
	to := s.url
	if r.h2 {
		to = s.h2
	}
	each := max(requests/r.clients, 1)
	took := make([][]time.Duration, r.clients)
	failed := make([]error, r.clients)
	before, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range r.clients {
		wg.Go(func() {
			cookie := fmt.Sprintf("session=0123456789abcdef; theme=dark; side=client-%d", i)
			for range each {
				start := time.Now()
				if failed[i] = get(transports[i], to, cookie, r.size); failed[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begun)
	if err := errors.Join(failed...); err != nil {
		return result{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	n := each * r.clients
	all := slices.Concat(took...)
	slices.Sort(all)
	return result{
		cpu:  (after - before) / time.Duration(n),
		rate: float64(n) / elapsed.Seconds(),
		p50:  all[n/2],
		p99:  all[n*99/100],
	}, nil
}

func get(transport http.RoundTripper, url, cookie string, size int) error {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody) //nolint:noctx // nobody gives up
	if err != nil {
		return err
	}
	req.Header.Set("Cookie", cookie)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(size) || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s with %d bytes: %w", res.Status, n, err)
	}
	return nil
}
