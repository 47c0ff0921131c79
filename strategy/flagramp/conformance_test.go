// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagramp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/strategy/flagramp"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const key = "new-checkout"

// faulty is a store that fails in a way, like a server between.
type faulty struct {
	flags.Store
	fault atomic.Int32 // a traffictest.Fault plus one
}

var errFault = errors.New("connection refused")

// before fails what comes in.
func (s *faulty) before(ctx context.Context) error {
	switch traffictest.Fault(s.fault.Load() - 1) {
	case traffictest.Down, traffictest.Garbage:
		return errFault
	case traffictest.Hanging:
		<-ctx.Done()
		return context.Cause(ctx)
	default:
		return nil
	}
}

// after loses the reply.
func (s *faulty) after(err error) error {
	if traffictest.Fault(s.fault.Load()-1) == traffictest.Deaf {
		return errFault
	}
	return err
}

func (s *faulty) Get(ctx context.Context, key string) (*flags.Flag, error) {
	if err := s.before(ctx); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

func (s *faulty) Put(ctx context.Context, f *flags.Flag) (int64, error) {
	if err := s.before(ctx); err != nil {
		return 0, err
	}
	version, err := s.Store.Put(ctx, f)
	return version, s.after(err)
}

// subject is a flag with a client that evaluates it.
func subject(t *testing.T, f *flags.Flag, arms traffic.Arms, options flagramp.Options) traffictest.Subject {
	t.Helper()
	memory := flags.NewMemory(f)
	store := &faulty{Store: memory}
	options.Client = client(t, memory)
	again := func() *flagramp.Router {
		r, err := flagramp.New(store, key, options)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s := traffictest.Subject{
		Router: again(), Arms: arms,
		Another: func(context.Context) (traffic.Router, error) { return again(), nil },
		Break: func(_ context.Context, fault traffictest.Fault) (func(), error) {
			if fault > traffictest.Deaf {
				return nil, errors.ErrUnsupported
			}
			store.fault.Store(int32(fault) + 1)
			return func() { store.fault.Store(0) }, nil
		},
		Foreign: func(ctx context.Context, r traffic.Route, writer string) error {
			_, err := flags.Edit(ctx, memory, key, flags.Note{By: writer}, func(f *flags.Flag) error {
				variant := func(arm string) string {
					if v := options.Variants[arm]; v != "" {
						return v
					}
					return arm
				}
				share := flags.Percent(r.Split.Candidate / 10)
				f.Rollout = nil
				f.Default = &flags.Serve{Split: []flags.Share{
					{Variant: variant(r.Arms.Stable), Percent: flags.Everybody - share}, {Variant: variant(r.Arms.Candidate), Percent: share},
				}}
				return nil
			})
			return err
		},
		Rest: func(ctx context.Context) (string, error) {
			f, err := memory.Get(ctx, key)
			if err != nil {
				return "", err
			}
			delete(f.Annotations, flagramp.Annotation)
			f.Rollout, f.Default, f.Version, f.UpdatedBy, f.Why = nil, nil, 0, "", ""
			f.UpdatedAt, f.FullyOnSince = f.CreatedAt, f.CreatedAt
			if len(f.Annotations) == 0 {
				f.Annotations = nil
			}
			text, err := json.Marshal(f)
			return string(text), err
		},
		Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
			who := flags.User(fmt.Sprintf("user-%d", rand.Uint64()))
			variant := options.Client.Raw(key, &who).Variant
			for arm, v := range options.Variants {
				if v == variant {
					variant = arm
				}
			}
			return traffictest.Answer{Arm: variant}, nil
		},
	}
	s.Restart = func(context.Context) (traffictest.Subject, error) {
		next := s
		next.Router = again()
		return next, nil
	}
	return s
}

func client(t *testing.T, source flags.Source) *flags.Client {
	t.Helper()
	c, err := flags.New(source, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("a boolean with a rollout", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			t.Helper()
			f := &flags.Flag{
				Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage"},
				Extra: map[string]json.RawMessage{"team": json.RawMessage(`"checkout"`)}, Annotations: map[string]string{"other": "tool"},
			}
			return subject(t, f, traffic.Arms{Stable: "off", Candidate: "on"}, flagramp.Options{})
		})
	})
	t.Run("variants under other names", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			t.Helper()
			f := &flags.Flag{
				Key: key, Enabled: true, Description: "the button",
				Variants: map[string]json.RawMessage{"red": json.RawMessage(`"#f00"`), "blue": json.RawMessage(`"#00f"`), "none": json.RawMessage(`""`)},
				Off:      "none", Default: &flags.Serve{Variant: "red", Salt: "kept"},
			}
			return subject(t, f, traffic.Arms{Stable: "v1", Candidate: "v2"}, flagramp.Options{Variants: map[string]string{"v1": "red", "v2": "blue"}})
		})
	})
}

func TestCapsAreDeclaredForTheReadme(t *testing.T) {
	t.Parallel()
	memory := flags.NewMemory()
	with, err := flagramp.New(memory, key, flagramp.Options{Client: client(t, memory)})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(t, routertest.Row{Router: "strategy/flagramp", Note: "a flag", Caps: with.Caps()})
}
