// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	percent := traffic.Caps{Granularity: traffic.Percent(1), Mirror: true, Fencing: true, Evidence: traffic.Programmed}
	for name, o := range map[string]traffic.Options{
		"everything":      {},
		"whole per cents": {Caps: percent},
		"all or nothing":  {Caps: traffic.Caps{Granularity: traffic.Full, Evidence: traffic.Written}},
		"settling":        {Settle: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			traffictest.Run(t, func(*testing.T) traffictest.Subject {
				m := traffic.NewMemory(o)
				another := func(context.Context) (traffic.Router, error) { return m, nil }
				return traffictest.Subject{Router: m, Foreign: foreign(m), Another: another}
			})
		})
	}
	t.Run("with room from elsewhere", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(*testing.T) traffictest.Subject {
			m := traffic.NewMemory(traffic.Options{Caps: percent})
			return traffictest.Subject{Router: traffic.AssumeRoom(m), Foreign: foreign(m)}
		})
	})
}

func foreign(m *traffic.Memory) func(context.Context, traffic.Route, string) error {
	return func(_ context.Context, r traffic.Route, writer string) error {
		m.Foreign(r, writer)
		return nil
	}
}
