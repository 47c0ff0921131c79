// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// finalizer keeps an object until its rollout is home.
const finalizer = "rheostat.dev/rollout"

const firstRetry = 50 * time.Millisecond

// Controller carries out every rollout of which there is an object. Run is for a program
// that is a controller; Reconcile is for one that has a queue of its own, such as
// controller-runtime's. It is safe for concurrent use.
type Controller struct {
	client  dynamic.Interface
	options ControllerOptions
	store   *Store
	runner  *strategy.Runner
	shards  *shards
	log     *slog.Logger
	queue   workqueue.TypedRateLimitingInterface[string]
	objects cache.SharedIndexInformer
	teller  teller
}

// NewController checks the options, and names the field that is wrong.
func NewController(client dynamic.Interface, o ControllerOptions) (*Controller, error) {
	store, err := NewStore(client, o.Options)
	if err != nil {
		return nil, err
	}
	if o, err = o.check(); err != nil {
		return nil, err
	}
	c := &Controller{client: client, options: o, store: store, log: o.Config.Log}
	config := o.Config
	config.Store, config.Intent = store, store.Intent
	config.Observers = append(slices.Clone(config.Observers), store.Events())
	config.Wire = c.wire
	if c.runner, err = strategy.NewRunner(config); err != nil {
		return nil, err
	}
	c.objects = c.informer()
	if o.Sharding.Shards > 0 {
		c.shards = newShards(client, o.Sharding, c.log, c.gained)
	}
	return c, nil
}

// wire asks for the wiring of a service, and lets the turn note what it answers.
func (c *Controller) wire(ctx context.Context, service string) (strategy.Wiring, error) {
	object, err := c.store.object(ctx, service)
	if err != nil {
		return strategy.Wiring{}, err
	}
	state, err := c.store.Load(ctx, service)
	if err != nil {
		return strategy.Wiring{}, err
	}
	if object == nil {
		at, err := c.store.locate(service)
		if err != nil {
			return strategy.Wiring{}, err
		}
		object = &unstructured.Unstructured{}
		object.SetNamespace(at.namespace)
		object.SetName(at.name)
	}
	w, err := c.options.Wire(ctx, Rollout{service, object, state})
	if t := turnOf(ctx, c.store); t != nil && err == nil {
		w = t.watch(w)
	}
	return w, err
}

// Ready is nil once Run knows of every object, as a readiness probe wants to hear.
func (c *Controller) Ready() error {
	if !c.objects.HasSynced() {
		return errors.New("strategy/kube: the objects are not known yet: Run has not begun, or may not list and watch them")
	}
	return nil
}

// Store is where the states are.
func (c *Controller) Store() *Store { return c.store }

// Runner carries the rollouts out: for Explain.
func (c *Controller) Runner() *strategy.Runner { return c.runner }

// Run works until the context ends, and returns its cause. It may be called once.
func (c *Controller) Run(ctx context.Context) error {
	c.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, max(firstRetry, c.options.Config.Poll)))
	var all sync.WaitGroup
	all.Go(func() { c.objects.RunWithContext(ctx) })
	if c.shards != nil {
		all.Go(func() { c.shards.run(ctx) })
	}
	for range c.options.Workers {
		all.Go(func() { c.work(ctx) })
	}
	<-ctx.Done()
	c.queue.ShutDown()
	all.Wait()
	return fmt.Errorf("strategy/kube: %w", context.Cause(ctx))
}

// work takes one service after the other.
func (c *Controller) work(ctx context.Context) {
	for {
		service, over := c.queue.Get()
		if over {
			return
		}
		c.serve(ctx, service)
		c.queue.Done(service)
	}
}

func (c *Controller) serve(ctx context.Context, service string) {
	if ctx.Err() != nil || !c.shards.holds(service) {
		c.queue.Forget(service)
		return
	}
	wake, err := c.Reconcile(ctx, service)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("turn failed", "service", service, "err", err)
			c.queue.AddRateLimited(service)
		}
		return
	}
	c.queue.Forget(service)
	if !wake.IsZero() {
		c.queue.AddAfter(service, max(time.Until(wake), 0))
	}
}

// Reconcile gives one service a turn: it begins what the object asks for, looks, decides,
// saves, acts, and tells in the object what it waits for. It reads the object once, from
// the API server. Call it again at wake at the latest, and sooner when the object has
// changed; the zero time is only when the object has changed. After an error call it again
// after a while.
func (c *Controller) Reconcile(ctx context.Context, service string) (wake time.Time, err error) {
	ctx, t := withTurn(ctx, c.store)
	object, err := c.store.object(ctx, service)
	if err != nil {
		return time.Time{}, err
	}
	if object == nil {
		c.teller.forget(service)
		return time.Time{}, nil
	}
	deleting := object.GetDeletionTimestamp() != nil
	asked, no := false, refusal{}
	if !deleting {
		if asked, no, err = c.begin(ctx, service, object); err != nil {
			return time.Time{}, err
		}
	}
	t.consider(object.GetGeneration())
	d, err := c.runner.Reconcile(ctx, service)
	if errors.Is(err, strategy.ErrNoRun) {
		d, err = strategy.Decision{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if deleting && !d.State.Active() {
		return time.Time{}, c.guard(ctx, service, false)
	}
	if err := c.tell(ctx, service, t, d, asked, no); err != nil {
		return time.Time{}, err
	}
	return c.wake(d, no), nil
}

// wake is when the next turn is due at the latest.
func (c *Controller) wake(d strategy.Decision, no refusal) time.Time {
	wake := d.Wake
	if poll := time.Now().Add(c.options.Config.Poll); d.State.Active() && wake.After(poll) {
		wake = poll
	}
	if !no.again.IsZero() && (wake.IsZero() || no.again.Before(wake)) {
		wake = no.again
	}
	return wake
}

// guard puts the finalizer on before a rollout begins, and takes it off when it is home.
func (c *Controller) guard(ctx context.Context, service string, on bool) error {
	object, err := c.store.object(ctx, service)
	if err != nil || object == nil {
		return err
	}
	have := object.GetFinalizers()
	if slices.Contains(have, finalizer) == on || on && (c.options.Orphan || c.options.ConfigMaps) {
		return nil
	}
	want := slices.DeleteFunc(slices.Clone(have), func(f string) bool { return f == finalizer })
	if on {
		want = append(want, finalizer)
	}
	written, err := c.mend(ctx, object, map[string]any{"finalizers": want})
	if err != nil {
		return fmt.Errorf("strategy/kube: finalizer of %q: %w", service, err)
	}
	if on {
		turnOf(ctx, c.store).hold(service, written)
	}
	return nil
}

// mend changes metadata, if the object still is the one that was read.
func (c *Controller) mend(ctx context.Context, object *unstructured.Unstructured, meta map[string]any) (*unstructured.Unstructured, error) {
	meta["resourceVersion"] = object.GetResourceVersion()
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return nil, err
	}
	return c.client.Resource(c.store.gvr).Namespace(object.GetNamespace()).Patch(ctx, object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kube.Manager})
}
