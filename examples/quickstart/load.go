// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// clients bounds how many requests are under way at once.
const clients = 16

// load is clients that ask at a steady rate over connections that they keep,
// one request after the other, and look at every answer.
type load struct {
	client *http.Client
	url    string
	stop   context.CancelFunc
	wg     sync.WaitGroup

	requests, bad, moved atomic.Uint64
	// last is what the latest error that v3 did not make looked like.
	last atomic.Pointer[string]
}

// tally is what the clients saw.
type tally struct {
	// Requests is how many were answered or given up.
	Requests uint64 `json:"requests"`
	// Bad is errors that the failing candidate answered itself. Moved is all
	// others: none of the versions made them, so moving traffic must have.
	Bad   uint64 `json:"errorsOfTheCandidate"`
	Moved uint64 `json:"errorsOfMovingTraffic"`
	// Last is one of those.
	Last string `json:"last,omitempty"`
}

func (l *load) tally() tally {
	t := tally{Bad: l.bad.Load(), Moved: l.moved.Load(), Requests: l.requests.Load()}
	if last := l.last.Load(); last != nil {
		t.Last = *last
	}
	return t
}

// startLoad asks the front at so many requests a second, until finish.
func startLoad(front *url.URL, rate int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: clients},
			Timeout:   10 * time.Second,
		},
		url:  front.String(),
		stop: stop,
	}
	for i := range clients {
		every := clients * time.Second / time.Duration(rate)
		l.wg.Go(func() { l.ask(ctx, every, every*time.Duration(i)/clients) })
	}
	return l
}

// finish lets every request under way come to its end, so that none is cut short.
func (l *load) finish() tally {
	l.stop()
	l.wg.Wait()
	l.client.CloseIdleConnections()
	return l.tally()
}

// ask is one client. The offset keeps it out of step with the others.
func (l *load) ask(ctx context.Context, every, offset time.Duration) {
	begin := time.NewTimer(offset)
	defer begin.Stop()
	select {
	case <-begin.C:
	case <-ctx.Done():
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.once()
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) once() {
	status, version, err := l.get()
	switch {
	case err != nil:
		l.count(&l.moved, err.Error())
	case status == http.StatusInternalServerError && version == bad:
		l.bad.Add(1)
	case status != http.StatusOK || version == "":
		l.count(&l.moved, http.StatusText(status)+" from "+version)
	}
	l.requests.Add(1)
}

func (l *load) count(n *atomic.Uint64, what string) {
	n.Add(1)
	l.last.Store(&what)
}

func (l *load) get() (status int, version string, err error) {
	answer, err := l.client.Get(l.url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get(versionHeader), err
}
