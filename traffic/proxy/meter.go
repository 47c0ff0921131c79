// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"

	"github.com/rheostat-go/rheostat/traffic"
)

var _ traffic.Meter = (*Proxy)(nil)

// Meter implements [traffic.Meter]. Requests are those that were given to an arm,
// answered or not, without copies; Active is InFlight, where copies count: an arm
// that is at one is not quiet.
func (p *Proxy) Meter(ctx context.Context) (map[string]traffic.Reading, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("proxy: meter: %w", context.Cause(ctx))
	}
	readings := map[string]traffic.Reading{}
	for name, a := range *p.arms.Load() {
		active := max(a.inFlight.count(), 0)
		readings[name] = traffic.Reading{Requests: a.given.Load(), Active: uint64(active)} //nolint:gosec // not below 0
	}
	return readings, nil
}
