// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

const (
	// Quiet is how long nobody must have asked for a flag before it is archived, unless
	// somebody says otherwise.
	Quiet = 7 * 24 * time.Hour

	pageSize = 100
	maxPages = 1000
)

// ErrInUse is returned where a flag is to be archived that somebody still asks for.
var ErrInUse = errors.New("flag is still asked for")

// ProjectOptions say which project, and who asks.
type ProjectOptions struct {
	// Token is an access token for LaunchDarkly's REST API, not an SDK key. It may read flags,
	// and for Archive update them.
	Token string
	// Project and Environment are keys.
	Project, Environment string
	// Address of LaunchDarkly; "" is https://app.launchdarkly.com. Without TLS it must be this
	// machine.
	Address string
	// HTTP is what requests are made with; nil is a client with a timeout of 30 s that
	// follows no redirects.
	HTTP *http.Client
}

// Project is a project in LaunchDarkly by its REST API. It is safe for many goroutines.
type Project struct {
	options ProjectOptions
	base    *url.URL
}

// NewProject checks the options and asks nobody yet.
func NewProject(options ProjectOptions) (*Project, error) {
	for _, o := range []struct{ name, value string }{
		{"Token", options.Token}, {"Project", options.Project}, {"Environment", options.Environment},
	} {
		if o.value == "" {
			return nil, fmt.Errorf("launchdarkly: NewProject: ProjectOptions.%s is missing", o.name)
		}
	}
	base, err := url.Parse(cmp.Or(strings.TrimRight(options.Address, "/"), "https://app.launchdarkly.com"))
	if err != nil || base.Host == "" || base.User != nil {
		return nil, errors.New("launchdarkly: NewProject: ProjectOptions.Address is no address such as https://app.launchdarkly.com")
	}
	if ip := net.ParseIP(base.Hostname()); base.Scheme != "https" && base.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("launchdarkly: NewProject: ProjectOptions.Address: %s would get the token without TLS: use https", base.Host)
	}
	if options.HTTP == nil {
		options.HTTP = &http.Client{
			Timeout: 30 * time.Second,
			// The API does not redirect, and the token is for nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Project{options: options, base: base}, nil
}

// Stale is a flag that everybody in the environment gets one variation of, and has for
// long: the code around it can go.
type Stale struct {
	Key, Name string
	// Variation is the index of what everybody gets, and Value what that is.
	Variation int
	Value     json.RawMessage
	// Since is the flag's last change in the environment: it has been so since then at the
	// latest.
	Since time.Time
	// Requested is when the flag was last asked for in the environment, zero if never.
	Requested time.Time
	// Owner is the address of the flag's maintainer, or the key of the team, or "".
	Owner string
}

// Stale are the flags that are on and have served everybody one variation for at least after, 0
// meaning flags.StaleAfter, the oldest first. Flags that are not temporary are none:
// LaunchDarkly calls them permanent.
func (p *Project) Stale(ctx context.Context, after time.Duration) ([]Stale, error) {
	after = cmp.Or(after, flags.StaleAfter)
	requested, err := p.requested(ctx)
	if err != nil {
		return nil, fmt.Errorf("launchdarkly: flag statuses of %s, %s: %w", p.options.Project, p.options.Environment, err)
	}
	var list []Stale
	err = p.pages(ctx, func(f *featureFlag) error {
		s, ok, err := f.stale(p.options.Environment, after)
		if ok {
			s.Requested = requested[f.Key]
			list = append(list, s)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("launchdarkly: flags of %s: %w", p.options.Project, err)
	}
	slices.SortFunc(list, func(a, b Stale) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return list, nil
}

// Archive retires a flag: who still asks for it gets the fallback, in every environment. It
// refuses with flags.ErrNotStale a flag that is not stale (see [Project.Stale]), and with
// ErrInUse one that was asked for in any environment less than quiet ago, 0 meaning Quiet.
// LaunchDarkly itself refuses a flag that is another's prerequisite. An archived flag is left
// as it is. It can be restored in LaunchDarkly.
func (p *Project) Archive(ctx context.Context, key string, after, quiet time.Duration, why string) error {
	if err := p.archive(ctx, key, cmp.Or(after, flags.StaleAfter), cmp.Or(quiet, Quiet), why); err != nil {
		return fmt.Errorf("launchdarkly: archive %q: %w", key, err)
	}
	return nil
}

func (p *Project) archive(ctx context.Context, key string, after, quiet time.Duration, why string) error {
	var f featureFlag
	if err := p.call(ctx, http.MethodGet, p.at("flags", p.options.Project, key)+"?env="+url.QueryEscape(p.options.Environment), nil, &f); err != nil {
		return err
	}
	if f.Archived {
		return nil
	}
	switch _, ok, err := f.stale(p.options.Environment, after); {
	case err != nil:
		return err
	case !ok:
		return flags.ErrNotStale
	}
	var statuses struct{ Environments map[string]flagStatus }
	if err := p.call(ctx, http.MethodGet, p.at("flag-status", p.options.Project, key), nil, &statuses); err != nil {
		return err
	}
	for name, s := range statuses.Environments {
		if time.Since(s.LastRequested) < quiet {
			return fmt.Errorf("%w in %s, at %s", ErrInUse, name, s.LastRequested.Format(time.RFC3339))
		}
	}
	patch := struct {
		Comment      string              `json:"comment,omitempty"`
		Instructions []map[string]string `json:"instructions"`
	}{why, []map[string]string{{"kind": "archiveFlag"}}}
	var done featureFlag
	if err := p.call(ctx, http.MethodPatch, p.at("flags", p.options.Project, key), patch, &done); err != nil {
		return err
	}
	if !done.Archived {
		return errors.New("LaunchDarkly took the request, and says that the flag is not archived")
	}
	return nil
}

// requested is when flags were last asked for in the environment.
func (p *Project) requested(ctx context.Context) (map[string]time.Time, error) {
	var statuses struct{ Items []flagStatus }
	if err := p.call(ctx, http.MethodGet, p.at("flag-statuses", p.options.Project, p.options.Environment), nil, &statuses); err != nil {
		return nil, err
	}
	out := make(map[string]time.Time, len(statuses.Items))
	for _, s := range statuses.Items {
		// A status says which flag it is of by a link only.
		key, err := url.PathUnescape(path.Base(cmp.Or(s.Links.Parent.Href, s.Links.Self.Href)))
		if err != nil {
			return nil, err
		}
		out[key] = s.LastRequested
	}
	return out, nil
}

// pages hands each flag of the project to each.
func (p *Project) pages(ctx context.Context, each func(*featureFlag) error) error {
	query := url.Values{"env": {p.options.Environment}, "summary": {"true"}, "limit": {strconv.Itoa(pageSize)}}
	address := p.at("flags", p.options.Project) + "?" + query.Encode()
	for range maxPages {
		var page struct {
			Items []featureFlag
			Links struct{ Next link } `json:"_links"`
		}
		if err := p.call(ctx, http.MethodGet, address, nil, &page); err != nil {
			return err
		}
		for i := range page.Items {
			if err := each(&page.Items[i]); err != nil {
				return err
			}
		}
		var err error
		if address, err = p.next(page.Links.Next.Href); err != nil || address == "" {
			return err
		}
	}
	return fmt.Errorf("more than %d pages", maxPages)
}
