// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/config"

	"github.com/rheostat-go/rheostat/analysis"
)

// Options are what New has a default for.
type Options struct {
	// HTTP is how the server is reached: TLS, bearer tokens, basic authentication,
	// OAuth 2, a proxy, as in Prometheus' own configuration. The zero value is
	// config.DefaultHTTPClientConfig.
	HTTP config.HTTPClientConfig
	// Client sends the requests in place of one made from HTTP. Sources that ask
	// the same server may share one.
	Client *http.Client
	// Headers go with each request, such as X-Scope-OrgID for Mimir's tenant.
	Headers map[string]string
	// Params go with each request, such as dedup, partial_response and
	// max_source_resolution for Thanos.
	Params url.Values
	// Timeout is how long one request may take. 0 is 10 seconds.
	Timeout time.Duration
	// Delay is how far behind the moment of asking the counters are read, for
	// servers that samples reach late. 0 is not at all.
	Delay time.Duration
	// Stale is how old the newest sample may be before there is an error: a scrape
	// that no longer works must not look like a service without requests. 0 is five
	// minutes.
	Stale time.Duration
	// MaxSeries is how many series an answer may have. 0 is 10,000.
	MaxSeries int
	// MaxBytes is how long an answer may be. 0 is 64 MiB.
	MaxBytes int64
}

// Source is an [analysis.Source] that counts by what Prometheus has scraped, and tells
// [analysis.Halves] of stable and their [analysis.History]. It is safe for concurrent
// use; one serves all rollouts that its Query fits.
type Source struct {
	query  *query
	client *client
	delay  time.Duration
	stale  time.Duration
	shelf  shelf
}

var _ analysis.Source = (*Source)(nil)

// New is a Source that asks the server at address, such as http://prometheus:9090 or
// https://mimir/prometheus, for the series of q. The error names the field that is wrong.
func New(address string, q Query, o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Stale = cmp.Or(o.Stale, 5*time.Minute)
	o.MaxSeries = cmp.Or(o.MaxSeries, 10_000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	s := &Source{delay: o.Delay, stale: o.Stale}
	var err error
	if s.query, err = q.compile(); err != nil {
		return nil, fmt.Errorf("prometheus: query: %w", err)
	}
	if s.client, err = newClient(address, o); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	return s, nil
}

func (o Options) check() error {
	for _, d := range [...]struct {
		name  string
		value time.Duration
	}{{"Timeout", o.Timeout}, {"Delay", o.Delay}, {"Stale", o.Stale}} {
		if d.value < 0 {
			return fmt.Errorf("%s %v: want 0 or more", d.name, d.value)
		}
	}
	switch {
	case o.MaxSeries < 0:
		return fmt.Errorf("MaxSeries %d: want 0 for 10,000, or more", o.MaxSeries)
	case o.MaxBytes < 0:
		return fmt.Errorf("MaxBytes %d: want 0 for 64 MiB, or more", o.MaxBytes)
	}
	return nil
}

const (
	// history is how far back a ledger is read that is not in memory. A rollout that
	// takes longer is counted anew from a later moment after a restart.
	history = 2 * time.Hour
	// chunk is how much of it is read with one request.
	chunk = 15 * time.Minute
	// overlap is how far each request looks back beyond the one before it, for
	// samples that came late.
	overlap = 20 * time.Second
)

// Selector is what the server is asked for to answer c: a selector in PromQL that
// finds the series of both arms, to try by hand.
func (s *Source) Selector(c analysis.Check) (string, error) {
	p, err := s.query.plan(c)
	if err != nil {
		return "", s.failed(err)
	}
	return p.text, nil
}

// Counts reads both arms as of c.Until, less Options.Delay, from one answer of the
// server. Totals begin with c.Exposed, or c.Since where that is not known: see the
// package's comment on restarts. An error names the query and what was wrong with it.
func (s *Source) Counts(ctx context.Context, c analysis.Check) (stable, candidate analysis.Counts, err error) {
	t, err := s.totals(ctx, c)
	if err != nil {
		return stable, candidate, s.failed(err)
	}
	return t.arms[0], t.arms[1], nil
}

// failed is an error with the name of the query.
func (s *Source) failed(err error) error {
	return fmt.Errorf("prometheus: query %q: %w", s.query.name, err)
}

// totals reads everything as of one moment, once for all who ask about the same.
func (s *Source) totals(ctx context.Context, c analysis.Check) (t totals, err error) {
	if err := ctx.Err(); err != nil {
		return t, context.Cause(ctx)
	}
	if c.Until.IsZero() {
		return t, errors.New("the check has no moment to look at: Until is zero")
	}
	from := began(c)
	e := s.shelf.entry(rollout{c.Stable, c.Candidate, c.Service, c.Target, c.Lane, from.UnixMilli()})
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return t, context.Cause(ctx)
	}
	if e.ledger != nil && e.asked.Equal(c.Until) {
		return copied(e.totals), nil
	}
	if err := s.read(ctx, e, c, from); err != nil {
		return t, err
	}
	if t, err = e.ledger.totals(e.since); err != nil {
		return totals{}, err
	}
	if age := c.Until.Sub(time.UnixMilli(e.ledger.newest)); age > s.stale+s.delay {
		return t, fmt.Errorf("the newest sample is %v old: is %s still scraped?", age.Round(time.Second), s.query.requests.metric)
	}
	e.asked, e.totals = c.Until, t
	return copied(t), nil
}

// began is when counting begins.
func began(c analysis.Check) time.Time {
	t := c.Exposed
	if t.IsZero() {
		t = c.Since
	}
	if t.IsZero() || t.After(c.Until) {
		t = c.Until
	}
	return t.Truncate(time.Millisecond)
}

// read brings the entry's ledger up to the moment asked for. An answer that could
// not be had leaves the ledger as far as it was read.
func (s *Source) read(ctx context.Context, e *entry, c analysis.Check, from time.Time) error {
	at := c.Until.Add(-s.delay)
	if at.Before(from) {
		at = from
	}
	end := at.UnixMilli()
	e.asked = time.Time{}
	if l := e.ledger; l == nil || l.until > end || end-l.until > history.Milliseconds() {
		if err := s.begin(ctx, e, c, from, at); err != nil {
			return err
		}
	}
	for l := e.ledger; l.until < end; {
		to := min(end, l.until+chunk.Milliseconds())
		window := time.Duration(to-l.until)*time.Millisecond + overlap
		if err := s.ask(ctx, e, l.plan.text+"["+promDuration(window)+"]", to); err != nil {
			return err
		}
	}
	s.shelf.weigh(e, len(e.ledger.keyed))
	return nil
}

// begin makes a new ledger, of what the series had counted when it begins.
func (s *Source) begin(ctx context.Context, e *entry, c analysis.Check, from, at time.Time) error {
	e.ledger = nil
	p, err := s.query.plan(c)
	if err != nil {
		return err
	}
	// The same moment for everybody who begins within the same time.
	e.since = from.Add(at.Sub(from).Truncate(history))
	e.ledger = newLedger(p, e.since, s.client.series)
	// Early servers with native histograms answer 0 for the last one.
	before := p.text + "[" + promDuration(grace) + "]"
	if !p.native() {
		before = "last_over_time(" + p.text + "[" + promDuration(reach) + "])"
	}
	err = s.ask(ctx, e, before, e.ledger.since)
	if err != nil {
		e.ledger = nil
		return err
	}
	e.ledger.halve()
	return nil
}

// ask takes one answer into the ledger, which ends with one that cannot be used.
func (s *Source) ask(ctx context.Context, e *entry, expression string, at int64) error {
	return s.client.query(ctx, expression, time.UnixMilli(at), func(a *answer) error {
		err := e.ledger.take(a, at)
		if err != nil {
			e.ledger = nil
		}
		return err
	})
}

func promDuration(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// copied shares nothing that the caller could write to.
func copied(t totals) totals {
	for _, c := range [...]*analysis.Counts{&t.arms[0], &t.arms[1], &t.halves[0], &t.halves[1]} {
		c.Latency, c.Bounds = slices.Clone(c.Latency), slices.Clone(c.Bounds)
	}
	return t
}
