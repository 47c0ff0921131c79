// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// lagging is a router that shows Programmed at once, while its data plane follows
// later, as old workers of a web server do. It counts requests.
type lagging struct {
	*traffic.Memory
	lag time.Duration

	mu     sync.Mutex
	chance *rand.Rand
	old    traffic.Route
	since  time.Time
	given  map[string]traffic.Reading
	fails  error // of Meter
}

func newLagging(lag time.Duration) *lagging {
	return &lagging{
		Memory: traffic.NewMemory(traffic.Options{Caps: traffic.Caps{
			Granularity: 100, Match: true, Fencing: true, Evidence: traffic.Programmed,
		}}),
		lag: lag, given: map[string]traffic.Reading{}, chance: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // a simulation
	}
}

func (l *lagging) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	was, err := l.Memory.Observe(ctx)
	if err != nil {
		return err
	}
	if err := l.Memory.Apply(ctx, fence, r); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.old, l.since = was.Route, time.Now()
	return nil
}

func (l *lagging) Meter(context.Context) (map[string]traffic.Reading, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.given), l.fails
}

// send sends one request.
func (l *lagging) send(ctx context.Context) (string, error) {
	seen, err := l.Memory.Observe(ctx)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	route := seen.Route
	if time.Since(l.since) < l.lag {
		route = l.old
	}
	arm := route.Arms.Stable
	if traffic.Weight(l.chance.Uint32N(uint32(traffic.Full))) < route.Split.Candidate {
		arm = route.Arms.Candidate
	}
	r := l.given[arm]
	r.Requests++
	l.given[arm] = r
	return arm, nil
}

// load sends requests until ctx ends.
func (l *lagging) load(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := l.send(ctx); err != nil {
			return
		}
		select {
		case <-time.After(time.Millisecond): // the bubble's time
		case <-ctx.Done():
		}
	}
}

func TestVerifyWaitsForTheDataPlaneAndNotForItsConfiguration(t *testing.T) {
	t.Parallel()
	for _, probing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			r := newLagging(10 * time.Second)
			if err := r.Apply(ctx, 1, at(traffic.Full)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			var o traffic.VerifyOptions
			if probing {
				o.Probe = r.send
			} else {
				go r.load(ctx)
			}
			fence := uint64(1)
			for _, w := range []traffic.Weight{0, traffic.Percent(25), traffic.Full, traffic.Percent(5), 0} {
				fence++
				if err := r.Apply(ctx, fence, at(w)); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				proof, err := traffic.Verify(ctx, r, at(w), o)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < r.lag {
					t.Errorf("%v was proven after %v, while the data plane follows after %v: %v", w, took, r.lag, proof)
				}
				if proof.Evidence != traffic.Effective || proof.Requests == 0 || proof.Low > w || proof.High < w {
					t.Errorf("at %v: %+v", w, proof)
				}
			}
		})
	}
}

func TestVerifySaysWhatItSawLast(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(r *lagging)
		says string
	}{
		"another route":      {func(r *lagging) { r.Foreign(at(traffic.Full), "alice") }, `in force is "100% to v2, rest to v1", written by alice`},
		"too little traffic": {func(*lagging) {}, `so far it is "25% to v2, rest to v1: programmed", want effective`},
		"a wrong split":      {nil, "requests had gone to v2"},
		"a meter that fails": {func(r *lagging) { r.fails = errors.New("no such socket") }, "no such socket"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newLagging(0)
			if err := r.Apply(t.Context(), 1, at(traffic.Percent(25))); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if tt.edit == nil {
				r.mu.Lock()
				r.old, r.lag = at(traffic.Full), time.Hour
				r.mu.Unlock()
				go r.load(ctx)
			} else {
				tt.edit(r)
			}
			_, err := traffic.Verify(ctx, r, at(traffic.Percent(25)), traffic.VerifyOptions{})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want the deadline and %q", name, err, tt.says)
			}
		})
	}
}

func TestVerifyRefusesWhatItCouldNeverProve(t *testing.T) {
	t.Parallel()
	written := traffic.NewMemory(traffic.Options{Caps: traffic.Caps{Granularity: 1, Evidence: traffic.Written}})
	if _, err := traffic.Verify(t.Context(), written, at(0), traffic.VerifyOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no counts and no probe: %v, want %v", err, errors.ErrUnsupported)
	}
	if _, err := traffic.Verified(written, traffic.VerifyOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no counts and no probe: %v, want %v", err, errors.ErrUnsupported)
	}
	probe := func(context.Context) (string, error) { return "v1", nil }
	if _, err := traffic.Verify(t.Context(), written, at(0), traffic.VerifyOptions{Probe: probe, Need: traffic.Programmed}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("evidence that no requests give: %v, want %v", err, errors.ErrUnsupported)
	}
	for _, o := range []traffic.VerifyOptions{{Risk: 1}, {Risk: -1}, {Within: traffic.Full}} {
		if _, err := traffic.Verify(t.Context(), traffic.NewMemory(traffic.Options{}), at(0), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := traffic.Verify(t.Context(), traffic.NewMemory(traffic.Options{}), traffic.Route{}, traffic.VerifyOptions{}); err == nil {
		t.Error("a route that names no arms was accepted")
	}
}

func TestTheRoutersOwnEvidenceIsEnoughWhereItReaches(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{})
	if err := m.Apply(t.Context(), 1, at(1)); err != nil {
		t.Fatal(err)
	}
	proof, err := traffic.Verify(t.Context(), m, at(1), traffic.VerifyOptions{})
	if err != nil || proof.Requests != 0 || proof.Evidence != traffic.Effective {
		t.Errorf("%+v, %v, want it proven without a request", proof, err)
	}
}

func TestARolloutThroughVerifiedSeesTheProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		inner := newLagging(3 * time.Second)
		r, err := traffic.Verified(inner, traffic.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Caps().Evidence; got != traffic.Effective {
			t.Fatalf("caps declare %v", got)
		}
		comes := func() time.Duration {
			for begun := time.Now(); ; time.Sleep(time.Second / 4) {
				switch seen := observe(t, r); {
				case seen.Evidence == traffic.Effective:
					return time.Since(begun)
				case time.Since(begun) > time.Hour:
					t.Fatalf("it never came: %+v", seen)
				}
			}
		}
		if err := r.Apply(ctx, 1, at(traffic.Percent(50))); err != nil {
			t.Fatal(err)
		}
		load, quiet := context.WithCancel(ctx)
		go inner.load(load)
		comes()
		if err := r.Apply(ctx, 2, at(0)); err != nil {
			t.Fatal(err)
		}
		if seen := observe(t, r); seen.Evidence != traffic.Programmed {
			t.Errorf("right after it was written: %v", seen.Evidence)
		}
		if took := comes(); took < inner.lag {
			t.Errorf("home was shown after %v, before the data plane followed", took)
		}
		// A meter that fails takes nothing away, and adds nothing.
		inner.mu.Lock()
		inner.fails = errors.New("no such socket")
		inner.mu.Unlock()
		if err := r.Apply(ctx, 3, at(traffic.Full)); err != nil {
			t.Fatal(err)
		}
		if seen := observe(t, r); seen.Evidence != traffic.Programmed || !seen.Route.Equal(at(traffic.Full)) {
			t.Errorf("with a meter that fails: %+v", seen)
		}
		inner.mu.Lock()
		inner.fails = nil
		inner.mu.Unlock()
		// Nobody asks any more: that nothing comes is shown by time alone.
		quiet()
		if took := comes(); took < 20*time.Second {
			t.Errorf("silence was a proof after %v", took)
		}
	})
}

func ExampleVerify() {
	r := newLagging(0)
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	if err := r.Apply(ctx, 1, route); err != nil {
		fmt.Println(err)
	}
	proof, err := traffic.Verify(ctx, r, route, traffic.VerifyOptions{Probe: r.send, Every: time.Millisecond})
	fmt.Println(proof, err)
	// Output: 0% to v2, rest to v1: effective, 0 of 832 requests went to v2, its share is between 0% and 0.9095% <nil>
}
