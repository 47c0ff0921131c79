// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"errors"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func TestAWrapperKeepsTheMeterOfWhatItWraps(t *testing.T) {
	t.Parallel()
	counts, mute := newLagging(0), traffic.NewMemory(traffic.Options{})
	counts.set("v1", traffic.Reading{Requests: 7})
	proven, err := traffic.Verified(counts, traffic.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fanout := func(second traffic.Router) traffic.Router {
		f, err := traffic.NewFanout(traffic.Member{Name: "a", Router: counts}, traffic.Member{Name: "b", Router: second})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, tt := range map[string]struct {
		router traffic.Router
		want   uint64 // 0 is no Meter
	}{
		"itself":              {counts, 7},
		"with room":           {traffic.AssumeRoom(counts), 7},
		"verified":            {proven, 7},
		"wrapped three times": {traffic.AssumeRoom(&traffictest.Lost{Router: proven, Every: 9}), 7},
		"flaky":               {&traffictest.Flaky{Router: counts, Every: 2}, 7},
		"stuck":               {&traffictest.Stuck{Router: counts}, 7},
		"a fanout":            {fanout(traffic.AssumeRoom(counts)), 14},
		"a memory":            {mute, 0},
		"a wrapped memory":    {traffic.AssumeRoom(mute), 0},
		"half a fanout":       {fanout(mute), 0},
		"nothing":             {nil, 0},
	} {
		m, ok := traffic.MeterOf(tt.router)
		if ok != (tt.want > 0) {
			t.Errorf("%s: a Meter: %v, want %v", name, ok, tt.want > 0)
			continue
		}
		if !ok {
			continue
		}
		if readings, err := m.Meter(t.Context()); err != nil || readings["v1"].Requests != tt.want {
			t.Errorf("%s: %v, %v, want %d", name, readings, err, tt.want)
		}
	}
	half, ok := fanout(mute).(*traffic.Fanout)
	if !ok {
		t.Fatal("a fanout is none")
	}
	if _, err := half.Meter(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("half a fanout counts: %v, want %v", err, errors.ErrUnsupported)
	}
}
