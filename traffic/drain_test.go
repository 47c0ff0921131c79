// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

func (l *lagging) set(arm string, r traffic.Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given[arm] = r
}

func TestAnArmIsDrainedWhenNothingIsUnderWayAndNothingComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newLagging(0)
		if err := r.Apply(t.Context(), 1, at(traffic.Full)); err != nil {
			t.Fatal(err)
		}
		r.set("v1", traffic.Reading{Requests: 10, Active: 2})
		begun := time.Now()
		go func() {
			time.Sleep(20 * time.Second)
			r.set("v1", traffic.Reading{Requests: 10, Active: 0}) // the stream ends
			time.Sleep(4 * time.Second)
			r.set("v1", traffic.Reading{Requests: 11, Active: 0}) // somebody knows the address
		}()
		done, err := traffic.Drain(t.Context(), r, "v1", traffic.DrainOptions{})
		if took := time.Since(begun); err != nil || !done.Counted || took < 29*time.Second || took > 30*time.Second || done.Waited != took {
			t.Errorf("drained %+v after %v, %v, want it after the last request and five quiet seconds", done, took, err)
		}
	})
}

func TestAnArmThatCannotBeCountedIsDrainedAfterTheLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: 1, Evidence: traffic.Written, Lag: time.Minute}})
		if err := m.Apply(t.Context(), 1, at(0)); err != nil {
			t.Fatal(err)
		}
		done, err := traffic.Drain(t.Context(), m, "v2", traffic.DrainOptions{Quiet: time.Second})
		if err != nil || done.Counted || done.Waited < time.Minute+time.Second || done.Waited > time.Minute+2*time.Second {
			t.Errorf("%+v, %v, want it after the lag and the quiet, and not counted", done, err)
		}
	})
}

func TestWhatKeepsAnArmBusyIsSaid(t *testing.T) {
	t.Parallel()
	preview := at(0)
	preview.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	for name, tt := range map[string]struct {
		route traffic.Route
		arm   string
		edit  func(*testing.T, *lagging)
		says  string
		late  bool // only when time is up
	}{
		"some go there":    {at(traffic.Percent(25)), "v2", nil, "still sends it requests", false},
		"the other side":   {at(traffic.Percent(25)), "v1", nil, "still sends it requests", false},
		"a preview":        {preview, "v2", nil, "still sends it requests", false},
		"a foreign write":  {at(0), "v2", func(_ *testing.T, l *lagging) { l.Foreign(at(1), "alice") }, "written by alice", false},
		"a stream":         {at(0), "v2", func(_ *testing.T, l *lagging) { l.set("v2", traffic.Reading{Active: 3}) }, "3 requests are under way", true},
		"nobody can count": {at(0), "v2", func(_ *testing.T, l *lagging) { l.fails = errors.New("no such socket") }, "no such socket", true},
		"it is written at most": {at(0), "v2", func(t *testing.T, l *lagging) {
			t.Helper()
			l.Memory = traffic.NewMemory(traffic.Options{Settle: -1})
			_ = l.Memory.Apply(t.Context(), 1, at(0))
		}, "no more than written", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newLagging(0)
			if err := r.Apply(t.Context(), 1, tt.route); err != nil {
				t.Fatal(err)
			}
			if tt.edit != nil {
				tt.edit(t, r)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := traffic.Drain(ctx, r, tt.arm, traffic.DrainOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, context.DeadlineExceeded) != tt.late {
				t.Errorf("%s: %v, want %q, only at the deadline: %v", name, err, tt.says, tt.late)
			}
		})
	}
	if _, err := traffic.Drain(t.Context(), traffic.NewMemory(traffic.Options{}), "v3", traffic.DrainOptions{Quiet: 1}); err != nil {
		t.Errorf("an arm that no route names: %v, want it quiet", err)
	}
}
