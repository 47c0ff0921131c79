// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"net/http"
	"time"
)

// sender carries requests to the backends of one arm and counts how they fare.
type sender struct {
	p   *Proxy
	arm *arm
}

// RoundTrip counts what the arm answered: how long until its header was there,
// and whether it was an error. A request that its client gave up counts as
// neither, for it says nothing about the arm.
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	upload, ok := req.Body.(*upload)
	s.p.mirror(s.arm, req)
	begun := time.Now()
	res, err := s.try(req)
	took := time.Since(begun)
	if err != nil {
		switch {
		case clientLeft(req.Context()):
			s.arm.counters.canceled.Add(1)
		case ok && upload.failed.Load():
			s.arm.counters.canceled.Add(1)
			err = fmt.Errorf("%w: %w", errUpload, err)
		default:
			s.arm.counters.record(took, true)
		}
		return nil, err
	}
	failed := res.StatusCode >= http.StatusInternalServerError
	s.arm.counters.record(took, failed)
	if !failed && res.StatusCode != http.StatusSwitchingProtocols && res.Body != http.NoBody {
		res.Body = &download{ReadCloser: res.Body, ctx: req.Context(), arm: s.arm}
	}
	return res, nil
}

// try sends the request to a backend of the arm.
func (s *sender) try(req *http.Request) (*http.Response, error) {
	b := s.arm.choose(nil)
	if b == nil {
		return nil, ErrNoBackend
	}
	b.address(req.URL)
	b.active.Add(1)
	begun := time.Now()
	res, err := s.p.transport.RoundTrip(req)
	b.ended(req, res, err, begun)
	if err != nil {
		b.active.Add(-1)
		return nil, err
	}
	res.Body = whenOver(res.Body, func() { b.active.Add(-1) })
	return res, nil
}
