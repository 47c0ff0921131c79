// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"sync"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// fleet is the instances that run. As a task of a rollout it deploys the candidate.
type fleet struct {
	base  *base
	proxy *proxy.Proxy

	mu      sync.Mutex
	running map[string]*shop
}

func (f *fleet) runs(version string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[version] != nil
}

// Status says whether the candidate runs or, on the way back, does not.
func (f *fleet) Status(_ context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	if f.runs(r.Release.Candidate.Version) != r.Back {
		return strategy.TaskDone, nil
	}
	return strategy.TaskTodo, nil
}

// Do starts the candidate.
func (f *fleet) Do(ctx context.Context, r strategy.Ref) error {
	version := r.Release.Candidate.Version
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[version] != nil {
		return nil
	}
	s, err := startShop(ctx, f.base, version)
	if err != nil {
		return err
	}
	if err := f.proxy.SetArm(version, s.url); err != nil {
		return errors.Join(err, s.stop())
	}
	f.running[version] = s
	return nil
}

// Undo stops it again. It has no traffic any more.
func (f *fleet) Undo(_ context.Context, r strategy.Ref) error {
	return f.stop(r.Release.Candidate.Version)
}

func (f *fleet) stop(version string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.running[version]
	if s == nil {
		return nil
	}
	delete(f.running, version)
	return s.stop()
}

func (f *fleet) stopAll() error {
	var errs []error
	for version := range columns {
		errs = append(errs, f.stop(version))
	}
	return errors.Join(errs...)
}
