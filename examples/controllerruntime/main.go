// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command controllerruntime carries out Rollouts from within a manager of
// sigs.k8s.io/controller-runtime: beside the controllers that a program has already, with
// its queue, its leader election, its metrics and its probes.
//
//	kubectl apply -f rollout.yaml    # a kube.CRD, whose spec has the plan
//
// Each Rollout switches the Service of its name by the label "version" of its selector.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/traffic"
	routers "github.com/rheostat-go/rheostat/traffic/kube"
)

func main() {
	log.SetLogger(zap.New())
	if err := run(signals.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "controllerruntime:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cluster, err := config.GetConfig()
	if err != nil {
		return err
	}
	m, err := manager.New(cluster, manager.Options{LeaderElection: true, LeaderElectionID: "rollouts", LeaderElectionReleaseOnCancel: true})
	if err != nil {
		return err
	}
	if err := add(m, cluster, strategy.Config{}); err != nil {
		return err
	}
	return m.Start(ctx)
}

// add gives a manager the controller of Rollouts.
func add(m manager.Manager, cluster *rest.Config, c strategy.Config) error {
	cluster = rest.CopyConfig(cluster)
	cluster.QPS = -1 // by default a client waits to make no more than a few requests a second
	client, err := dynamic.NewForConfig(cluster)
	if err != nil {
		return err
	}
	c.Log = slog.New(logr.ToSlogHandler(m.GetLogger()))
	// Of all namespaces, so that a service is named "namespace/name", as a Request prints.
	rollouts, err := kube.NewController(client, kube.ControllerOptions{Config: c, Wire: wire(client)})
	if err != nil {
		return err
	}
	// The queue is told of what people change; a turn reads the object from the API server.
	object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: kube.Rollouts.GroupVersion().String(), Kind: "Rollout"}}
	return builder.ControllerManagedBy(m).
		Named("rollouts").
		For(object, builder.OnlyMetadata, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 8}).
		Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
			wake, err := rollouts.Reconcile(ctx, r.String())
			if err != nil || wake.IsZero() {
				return reconcile.Result{}, err
			}
			return reconcile.Result{RequeueAfter: max(time.Until(wake), time.Millisecond)}, nil // 0 would be never
		}))
}

// wire gives each Rollout the Service of its name.
func wire(client dynamic.Interface) func(context.Context, kube.Rollout) (strategy.Wiring, error) {
	return func(_ context.Context, r kube.Rollout) (strategy.Wiring, error) {
		name := r.Object.GetName()
		router, err := routers.NewService(client, r.Object.GetNamespace(), name, routers.ServiceOptions{})
		return strategy.Wiring{Routers: map[string]traffic.Router{name: router}}, err
	}
}
