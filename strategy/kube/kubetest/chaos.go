// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"testing"
)

// Kill kills a program as kill -9 does, and waits until it is gone. The part of a control
// plane from [Shared] that is still dead at the end of tb is started again then.
func (c *Cluster) Kill(tb testing.TB, name Program) {
	tb.Helper()
	if err := c.part(tb, name).kill(); err != nil {
		tb.Fatalf("kubetest: killing %s: %v", name, err)
	}
	c.mend(tb, name)
}

// Restart starts a program that was killed, with the flags, the port and the data that it
// had, and waits until the API server is ready. A program that runs is left alone.
func (c *Cluster) Restart(tb testing.TB, name Program) {
	tb.Helper()
	p := c.part(tb, name)
	if alive, _ := p.state(); alive {
		return
	}
	if err := p.start(); err != nil {
		tb.Fatalf("kubetest: starting %s: %v", name, err)
	}
	// Without the one, the other is not ready; whoever killed both is not done yet.
	for _, needed := range c.order[:2] {
		if alive, paused := c.parts[needed].state(); !alive || paused {
			return
		}
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	if err := c.ready(ctx); err != nil {
		tb.Fatalf("kubetest: %v", err)
	}
}

// Pause stops a program where it is, as SIGSTOP does: connections stay open, and nothing
// answers. What is paused in a control plane from [Shared] goes on at the end of tb.
func (c *Cluster) Pause(tb testing.TB, name Program) {
	tb.Helper()
	if err := c.part(tb, name).pause(true); err != nil {
		tb.Fatalf("kubetest: pausing %s: %v", name, err)
	}
	c.mend(tb, name)
}

// Resume lets a program that was paused go on.
func (c *Cluster) Resume(tb testing.TB, name Program) {
	tb.Helper()
	if err := c.part(tb, name).pause(false); err != nil {
		tb.Fatalf("kubetest: resuming %s: %v", name, err)
	}
}

// KillAPIServer is [Cluster.Kill] of the API server. Controllers that have no server for a
// while wait for it.
func (c *Cluster) KillAPIServer(tb testing.TB) { tb.Helper(); c.Kill(tb, APIServer) }

// StartAPIServer is [Cluster.Restart] of the API server.
func (c *Cluster) StartAPIServer(tb testing.TB) { tb.Helper(); c.Restart(tb, APIServer) }

// PauseAPIServer is [Cluster.Pause] of the API server.
func (c *Cluster) PauseAPIServer(tb testing.TB) { tb.Helper(); c.Pause(tb, APIServer) }

// ResumeAPIServer is [Cluster.Resume] of the API server.
func (c *Cluster) ResumeAPIServer(tb testing.TB) { tb.Helper(); c.Resume(tb, APIServer) }

func (c *Cluster) part(tb testing.TB, name Program) *process {
	tb.Helper()
	p := c.parts[name]
	if p == nil {
		tb.Fatalf("kubetest: no %s runs in this control plane", name)
	}
	return p
}

// mend brings a shared part back for the tests that follow.
func (c *Cluster) mend(tb testing.TB, name Program) {
	tb.Helper()
	if !c.shared {
		return
	}
	tb.Cleanup(func() {
		p := c.parts[name]
		if _, paused := p.state(); paused {
			if err := p.pause(false); err != nil {
				tb.Errorf("kubetest: resuming %s: %v", name, err)
			}
		}
		if alive, _ := p.state(); alive {
			return
		}
		if err := p.start(); err != nil {
			tb.Errorf("kubetest: starting %s: %v", name, err)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), startLimit)
		defer cancel()
		if err := c.ready(ctx); err != nil {
			tb.Errorf("kubetest: %v", err)
		}
	})
}
