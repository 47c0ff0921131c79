// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy"
)

const (
	defaultWorkers = 8
	defaultPoll    = 5 * time.Second
)

// ControllerOptions says what a Controller works on, and how.
type ControllerOptions struct {
	// Options are those of the Store.
	Options
	// Config is the Runner's. Store, Intent and Wire are set by the Controller, and an
	// observer that writes Events is added. Poll is how often a rollout that is under way
	// is looked at when nothing else is due.
	Config strategy.Config
	// Wire gives the routers, judges and tasks of a rollout by the names that its plans
	// have for them: what the object asks for now, and the plans of its State, which a run
	// keeps. It is required.
	Wire func(ctx context.Context, r Rollout) (strategy.Wiring, error)
	// Request is what a rollout's object asks for, and false if nothing. An error is shown
	// in the object, and not tried again before the object is changed. nil is RequestOf.
	Request func(ctx context.Context, r Rollout) (strategy.Request, bool, error)
	// Sharding shares the services among replicas. The zero Sharding does not.
	Sharding Sharding
	// Workers is how many rollouts may have a turn at the same time. 0 is 8.
	Workers int
	// Orphan lets an object be deleted in the middle of its rollout, which leaves the
	// traffic where it is. Otherwise a finalizer holds it until the rollout is home.
	Orphan bool
}

// Rollout is what there is of a service when it has a turn.
type Rollout struct {
	Service string
	// Object is as the API server has it. Where it has none yet, the name is all that is
	// in it. It must not be changed.
	Object *unstructured.Unstructured
	// State is what is saved. The revision that serves is State.Serving.
	State strategy.State
}

// check fills in what zeros stand for, and names the field that is wrong.
func (o ControllerOptions) check() (ControllerOptions, error) {
	if o.Config.Store != nil || o.Config.Intent != nil {
		return o, errors.New("strategy/kube: ControllerOptions.Config.Store or Intent is set; the Controller brings its own")
	}
	if o.Config.Wire != nil {
		return o, errors.New("strategy/kube: ControllerOptions.Config.Wire is set; give ControllerOptions.Wire, which is told of the object, too")
	}
	if o.Wire == nil {
		return o, errors.New("strategy/kube: ControllerOptions.Wire is nil; it gives the routers, judges and tasks")
	}
	if o.Workers < 0 {
		return o, errors.New("strategy/kube: ControllerOptions.Workers is negative; 0 is 8")
	}
	var err error
	if o.Sharding, err = o.Sharding.check(); err != nil {
		return o, err
	}
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.Request == nil {
		o.Request = RequestOf
	}
	if o.Config.Poll == 0 {
		o.Config.Poll = defaultPoll
	}
	if o.Config.Log == nil {
		o.Config.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
