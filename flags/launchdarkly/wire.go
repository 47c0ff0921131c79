// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// What the REST API says, as much of it as is used.

type link struct {
	Href string `json:"href"`
}

type flagStatus struct {
	LastRequested time.Time                   `json:"lastRequested"`
	Links         struct{ Parent, Self link } `json:"_links"`
}

type featureFlag struct {
	Key, Name  string
	Temporary  bool
	Archived   bool
	Variations []struct{ Value json.RawMessage }
	Maintainer struct {
		Email string `json:"email"`
	} `json:"_maintainer"`
	MaintainerTeamKey string `json:"maintainerTeamKey"`
	Environments      map[string]flagConfig
}

type flagConfig struct {
	On           bool
	LastModified int64 // milliseconds since 1970
	// Summary is what a list of flags has, and the rest what a flag by itself has.
	Summary *struct {
		Variations    map[string]variationSummary
		Prerequisites int
	} `json:"_summary"`
	Fallthrough             *serve
	Rules                   []serve
	Targets, ContextTargets []struct{ Variation int }
	Prerequisites           []json.RawMessage
}

// serve is a variation or a rollout.
type serve struct {
	Variation *int
	Rollout   *struct {
		Variations []struct{ Variation, Weight int }
	}
}

// variationSummary says by what a variation may be served.
type variationSummary struct {
	Rules, NullRules, Targets, ContextTargets int
	IsFallthrough                             bool
	Rollout                                   int // in thousandths of a percent
}

func (v variationSummary) served() bool {
	return v.Rules+v.NullRules+v.Targets+v.ContextTargets > 0 || v.IsFallthrough || v.Rollout > 0
}

// stale reports whether the flag has been settled in the environment since after ago.
func (f *featureFlag) stale(environment string, after time.Duration) (Stale, bool, error) {
	config, ok := f.Environments[environment]
	if !ok {
		return Stale{}, false, fmt.Errorf("%q has no environment %q", f.Key, environment)
	}
	if config.Summary == nil && config.Fallthrough == nil {
		return Stale{}, false, fmt.Errorf("%q comes without what it serves", f.Key)
	}
	since := time.UnixMilli(config.LastModified).UTC()
	if !f.Temporary || f.Archived || !config.On || config.LastModified <= 0 || time.Since(since) < after {
		return Stale{}, false, nil
	}
	index, ok := config.settled()
	if !ok || index >= len(f.Variations) {
		return Stale{}, false, nil
	}
	return Stale{
		Key: f.Key, Name: f.Name, Variation: index, Value: f.Variations[index].Value, Since: since,
		Owner: cmp.Or(f.Maintainer.Email, f.MaintainerTeamKey),
	}, true, nil
}

// settled is the one variation that everybody gets, if there is but one. A prerequisite
// may have somebody get the off variation.
func (c *flagConfig) settled() (int, bool) {
	served := make(map[int]bool)
	if c.Summary == nil {
		c.collect(served)
	} else {
		for name, v := range c.Summary.Variations {
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 {
				return 0, false
			}
			if v.served() {
				served[n] = true
			}
		}
	}
	if len(served) != 1 || len(c.Prerequisites) > 0 || c.Summary != nil && c.Summary.Prerequisites > 0 {
		return 0, false
	}
	for index := range served {
		return index, index >= 0
	}
	return 0, false
}

// collect is what a flag by itself may serve.
func (c *flagConfig) collect(served map[int]bool) {
	for _, s := range append(slices.Clone(c.Rules), *c.Fallthrough) {
		if s.Variation != nil {
			served[*s.Variation] = true
		}
		if s.Rollout == nil {
			continue
		}
		for _, v := range s.Rollout.Variations {
			if v.Weight > 0 {
				served[v.Variation] = true
			}
		}
	}
	for _, t := range append(slices.Clone(c.Targets), c.ContextTargets...) {
		served[t.Variation] = true
	}
}
